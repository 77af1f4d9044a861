package reaper

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func init() {
	roles["headless"] = headless
	roles["sibling"] = sibling
}

// headless lets its main thread end and lives on in the others: the kernel calls such a
// process a zombie, and shows no environment for it.
func headless() int {
	ready := make(chan bool)
	go func() {
		runtime.LockOSThread()
		for state := ""; state != "Z"; {
			b, _ := os.ReadFile("/proc/self/stat")
			state = strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))[0]
		}
		fmt.Println("headless")
		ready <- true
		time.Sleep(time.Hour)
	}()
	if unix.Gettid() == os.Getpid() {
		syscall.RawSyscall(syscall.SYS_EXIT, 0, 0, 0)
	}
	return failf("not on the main thread")
}

// sibling makes a process that is its sibling, not its child, in a session of its own.
func sibling() int {
	if _, err := forkSibling(); err != nil {
		return failf("%v", err)
	}
	fmt.Println("sibling")
	return 0
}

// forkSibling is made as forkAndExit: the child runs on a copy of the stack and makes
// raw system calls only.
//
//go:norace
//go:nosplit
//go:noinline
func forkSibling() (int, error) {
	pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD)|syscall.CLONE_PARENT, 0, 0, 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	if pid == 0 {
		syscall.RawSyscall(syscall.SYS_SETSID, 0, 0, 0)
		for {
			syscall.RawSyscall6(syscall.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
		}
	}
	return int(pid), nil
}

// trees are what a worker may have made of itself, by name. Each branch holds the
// worker's stdout and writes one line to it when it stands.
var trees = map[string]string{
	"deaf":           `sh -c 'trap "" TERM HUP INT; echo deaf; sleep 1000; sleep 1000' &`,
	"own session":    `setsid sh -c 'echo session; sleep 1000; :' &`,
	"double fork":    `sh -c 'setsid sh -c "sleep 1000 & echo double; sleep 1000" & exit'`,
	"stopped":        `sh -c 'setsid sh -c "echo stopped; kill -STOP \$\$" &'`,
	"no marker":      `env -i /bin/sh -c 'echo nomarker; /bin/sleep 1000' &`,
	"other marker":   `env PROCGUARD_INSTANCE=other sh -c 'echo other; sleep 1000; :' &`,
	"group of own":   `env -i /bin/sh -m -c '/bin/sleep 1000 & echo group; wait' &`,
	"only parent":    `setsid env -i /bin/sh -c 'echo parent; /bin/sleep 1000; :' &`,
	"storm":          `sh -c 'echo storm; i=0; while [ $i -lt 30 ]; do setsid sleep 10 & sleep 0.005; i=$((i+1)); done; wait' &`,
	"headless":       `REAPER_TEST_ROLE=headless setsid $EXE &`,
	"sibling":        `(trap "" HUP; REAPER_TEST_ROLE=sibling exec $EXE) & wait $!;`,
	"leader sibling": `exec 3>&1; REAPER_TEST_ROLE=sibling exec $EXE`,
}

// publicExe is a copy of this program that any user may execute.
func publicExe(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "reaper")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	_ = os.Chmod(dir, 0o755)
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	name := filepath.Join(dir, "reaper.test")
	to, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = io.Copy(to, from); err == nil {
		err = to.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// tree is a worker whose whole descent holds one pipe: its end is the proof, made by
// the kernel and not by the code under test, that nobody is left.
type tree struct {
	Proc
	out *os.File
}

func (g *rig) plant(exe, script string, lines int, uid int) tree {
	g.t.Helper()
	out, w, err := os.Pipe()
	if err != nil {
		g.t.Fatal(err)
	}
	s := g.sh("tree", script)
	s.Env = append(os.Environ(), "EXE="+exe)
	s.Stdout, s.Dir = w, "/"
	if uid != os.Getuid() {
		s.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
	}
	tr := tree{Proc: g.spawn(s), out: out}
	w.Close()
	tr.await(g, lines)
	return tr
}

func (tr tree) await(g *rig, lines int) {
	g.t.Helper()
	_ = tr.out.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 1)
	for lines > 0 {
		if _, err := tr.out.Read(b); err != nil {
			g.t.Fatalf("the tree does not stand: %v", err)
		}
		if b[0] == '\n' {
			lines--
		}
	}
}

// felled fails unless all who held the pipe are dead.
func (tr tree) felled(g *rig, what string) {
	g.t.Helper()
	defer tr.out.Close()
	g.gone(tr.Proc)
	_ = tr.out.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := io.Copy(io.Discard, tr.out); err == nil {
		return
	}
	g.t.Errorf("%s: declared gone, but somebody holds the pipe: %s", what, holders(tr.out))
}

// holders names and ends those who hold the other end of a pipe.
func holders(f *os.File) string {
	var st unix.Stat_t
	_ = unix.Fstat(int(f.Fd()), &st)
	var b strings.Builder
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, l := range links {
		pid, _ := strconv.Atoi(strings.Split(l, "/")[2])
		if to, _ := os.Readlink(l); to == fmt.Sprintf("pipe:[%d]", st.Ino) && pid != os.Getpid() {
			d, _ := Describe(pid)
			fmt.Fprintf(&b, "%v ppid %d %q; ", d, d.PPID, d.Cmdline)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	return b.String()
}

// How a tree may lose its leader.
var fellings = map[string]func(*rig, tree){
	"Kill": func(g *rig, tr tree) { _ = g.r.Kill(tr.Proc) },
	"from outside": func(g *rig, tr tree) { // nobody announces it: what is known is from the last sample
		g.r.Survey(tr.Proc)
		_ = syscall.Kill(tr.PID, syscall.SIGKILL)
	},
	"ladder": func(g *rig, tr tree) {
		_ = g.r.Signal(tr.Proc, syscall.SIGTERM, Leader)
		_ = g.r.Signal(tr.Proc, syscall.SIGTERM, Group)
		_ = g.r.Kill(tr.Proc)
	},
}

func TestTreesAreFelled(t *testing.T) {
	g := newRig(t)
	exe := publicExe(t)
	for _, uid := range users(t) {
		for name, script := range trees {
			for how, fell := range fellings {
				t.Run(fmt.Sprintf("%s/%s/uid %d", name, how, uid), func(t *testing.T) {
					g.t = t
					if !strings.Contains(script, "exec 3") {
						script += "\nsleep 1000 & wait"
					}
					tr := g.plant(exe, script, 1, uid)
					fell(g, tr)
					tr.felled(g, name)
				})
			}
		}
	}
	g.t = t
}

// users are those that this machine lets us run workers as.
func users(t *testing.T) []int {
	if os.Getuid() != 0 {
		t.Log("only as ourselves: another user takes root")
		return []int{os.Getuid()}
	}
	return []int{0, 1000}
}
