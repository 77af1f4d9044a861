package reaper

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func init() {
	roles["unprivileged"] = unprivileged
	roles["blind"] = blind
}

// forest is a worker with every branch at once, some 20 processes and a storm of 30.
func forest() (script string, lines int) {
	var b strings.Builder
	for name, branch := range trees {
		if name != "leader sibling" {
			b.WriteString(branch + "\n")
			lines++
		}
	}
	return b.String() + "sleep 1000 & wait", lines
}

// A thousand workers with all that a worker can leave behind, ended in each way, as
// root and as another user: the kernel confirms that nobody is left.
func TestFellingCycles(t *testing.T) {
	g := newRig(t)
	exe := publicExe(t)
	script, lines := forest()
	ids := users(t)
	n := soak(30, 1000)
	for i := 0; i < n && !t.Failed(); {
		for how, fell := range fellings {
			tr := g.plant(exe, script, lines, ids[i%len(ids)])
			fell(g, tr)
			tr.felled(g, how)
			i++
		}
	}
	t.Logf("%d cycles, stats %+v", n, g.r.Stats())
}

// The first rung reaches the leader alone: its children must serve the checkpoint that
// its handler writes, and live until it is dead.
func TestLadderSparesTheChildrenOfALivingLeader(t *testing.T) {
	g := newRig(t)
	f := g.file("f")
	s := g.sh("trainer", `
		checkpoint() {
			echo asking >>$F
			read answer <$F.from           # the child does the work
			echo "saved $answer" >>$F
			exit 0
		}
		trap checkpoint TERM
		mkfifo $F.to $F.from
		setsid sh -c 'while read x; do echo "by $$" >$F.from; done' <>$F.to &
		sleep 1000 & echo $! >>$F
		wait; wait`)
	s.Env = append(os.Environ(), "F="+f)
	p := g.spawn(s)
	sleeper, _ := strconv.Atoi(g.read(f, 1)[0])
	if err := g.r.Signal(p, syscall.SIGTERM, Leader); err != nil {
		t.Fatal(err)
	}
	g.read(f, 2) // the leader is in its handler
	if d, err := Describe(sleeper); err != nil || d.State == 'Z' {
		t.Errorf("child died with the leader in its handler: %v, %v", d, err)
	}
	if len(g.exitsOf(p)) != 0 {
		t.Error("the leader did not wait for its child")
	}
	to, err := os.OpenFile(f+".to", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	fmt.Fprintln(to, "write it")
	if lines := g.read(f, 3); !strings.HasPrefix(lines[2], "saved by ") {
		t.Errorf("checkpoint: %q", lines)
	}
	if e := g.exit(p); e.Code() != 0 || e.Leftovers == 0 {
		t.Errorf("got %v, %d leftovers", e, e.Leftovers)
	}
	g.gone(p)
}

// The second rung, when grace is over and the leader has not died.
func TestLadderReachesTheGroup(t *testing.T) {
	g := newRig(t)
	f := g.file("f")
	s := g.sh("deaf", `trap : TERM; sh -c 'trap "echo child >>$F; exit" TERM; echo ready >>$F; while :; do sleep 0.01; done' & while :; do sleep 1000; done`)
	s.Env = append(os.Environ(), "F="+f)
	p := g.spawn(s)
	g.read(f, 1)
	_ = g.r.Signal(p, syscall.SIGTERM, Leader)
	_ = g.r.Signal(p, syscall.SIGTERM, Group)
	if lines := g.read(f, 2); lines[1] != "child" {
		t.Errorf("got %q", lines)
	}
	if err := g.r.Kill(p); err != nil {
		t.Error(err)
	}
	g.gone(p)
}

// The leader has been dead for long when the next supervisor comes: its children are
// found by their markers, whoever they run as.
func TestSurvivorsOfALongDeadLeader(t *testing.T) {
	for _, uid := range users(t) {
		t.Run(fmt.Sprint(uid), func(t *testing.T) { longDead(t, uid) })
	}
}

func longDead(t *testing.T, uid int) {
	out, w, _ := os.Pipe()
	defer out.Close()
	marker := fmt.Sprintf("%s/%d/%d", t.Name(), os.Getpid(), uid)
	cmd := exec.Command("/bin/sh", "-c", `setsid sh -c "sleep 1000 & echo up; exec sleep 1000" & exit 0`)
	cmd.Env, cmd.Stdout, cmd.Dir = append(os.Environ(), DefaultMarker+"="+marker), w, "/"
	if uid != os.Getuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	_, _ = bufio.NewReader(out).ReadString('\n')
	g := newRig(t)
	var found []Survivor
	g.eventually("two survivors", func() bool {
		found, _ = g.r.Survivors(marker)
		return len(found) == 2
	})
	for _, s := range found {
		if err := s.End(syscall.SIGKILL); err != nil && err != os.ErrProcessDone {
			t.Error(err)
		}
	}
	_ = out.SetReadDeadline(time.Now().Add(patience))
	if _, err := out.Read(make([]byte, 1)); os.IsTimeout(err) {
		t.Errorf("left: %s", holders(out))
	}
}

// unprivileged gives up the capability that containers do not have either.
func unprivileged() int {
	for _, c := range []uintptr{unix.CAP_SYS_PTRACE, unix.CAP_SYS_ADMIN} {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return failf("%v", err)
		}
	}
	_ = os.Setenv("REAPER_TEST_ROLE", "blind")
	return failf("%v", syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
}

// blind runs a worker as another user and ends it.
func blind() int {
	gone := make(chan Exit, 2)
	r, err := Start(Options{OnExit: func(e Exit) {
		if e.Gone {
			gone <- e
		}
	}, OnGone: func(Gone) { gone <- Exit{} }})
	if err != nil {
		return failf("%v", err)
	}
	p, err := r.Spawn(Spec{Instance: "blind", Argv: []string{"/bin/sh", "-c",
		`setsid sh -c 'sh -c "setsid sleep 1000 & :"; echo up; sleep 1000' & wait`}, Dir: "/", Stdout: os.Stdout,
		Credential: &syscall.Credential{Uid: 1000, Gid: 1000}})
	if err != nil {
		return failf("%v", err)
	}
	_, _ = os.Stdin.Read(make([]byte, 1))
	_ = syscall.Kill(p.PID, syscall.SIGKILL) // not announced: the markers must be read
	<-gone
	if uid, gid := unix.Geteuid(), unix.Getegid(); uid != 0 || gid != 0 {
		return failf("changed to %d:%d", uid, gid)
	}
	b, _ := os.ReadFile("/proc/thread-self/status")
	if !strings.Contains(string(b), "Uid:\t0\t0\t0\t0") {
		return failf("%s", b)
	}
	return 0
}

// Without CAP_SYS_PTRACE root cannot read the environment of other users' processes,
// so that what left its session would be taken for a stranger.
func TestLeftoversOfAnotherUserWithoutPtrace(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to run a worker as another user")
	}
	out, w, _ := os.Pipe()
	in, hand, _ := os.Pipe()
	defer out.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "REAPER_TEST_ROLE=unprivileged")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, w, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	hand.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	_ = out.SetReadDeadline(time.Now().Add(time.Second))
	if n, err := out.Read(make([]byte, 1)); n != 0 || os.IsTimeout(err) {
		t.Errorf("left: %s", holders(out))
	}
}
