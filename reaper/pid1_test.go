package reaper

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inNamespace runs this binary again as PID 1 of a new PID namespace in a role.
func inNamespace(t *testing.T, role string, env ...string) string {
	t.Helper()
	if err := exec.Command("unshare", "--pid", "--fork", "--mount-proc", "true").Run(); err != nil {
		t.Skipf("needs permission to make a PID namespace: %v", err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", exe)
	cmd.Env = append(append(os.Environ(), "REAPER_TEST_ROLE="+role), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

func init() { roles["pid1"] = pid1 }

// TestPID1 runs the scenario of pid1 below in a real PID namespace.
func TestPID1(t *testing.T) {
	out := inNamespace(t, "pid1")
	if !strings.HasSuffix(out, "all well\n") {
		t.Error(out)
	}
	t.Log(out)
}

// failf reports from a role process; the test sees the output and the code.
func failf(format string, args ...any) int {
	fmt.Printf("FAIL: "+format+"\n", args...)
	return 1
}

// pid1 is an init: workers with escapees, a stranger that must live, orphans that come
// while there are no children at all, and pids that wrap round.
func pid1() int {
	if os.Getpid() != 1 {
		return failf("not PID 1")
	}
	exits, gones, orphans := make(chan Exit, 1000), make(chan Gone, 1000), make(chan Exit, 1000)
	r, err := Start(Options{
		OnExit: func(e Exit) { exits <- e }, OnGone: func(g Gone) { gones <- g }, OnOrphan: func(e Exit) { orphans <- e },
	})
	if err != nil {
		return failf("%v", err)
	}
	steps := []func() int{
		func() int { return pid1Stranger(r, exits, gones) },
		func() int { return pid1Orphans(r, exits, orphans) },
		func() int { return pid1Idle(r, exits, orphans) },
		func() int { return pid1Wrap(r, exits) },
	}
	for _, f := range steps {
		if code := f(); code != 0 {
			return code
		}
	}
	if err := r.Close(); err != nil {
		return failf("%v", err)
	}
	fmt.Println("all well")
	return 0
}

func pid1Stranger(r *Reaper, exits chan Exit, gones chan Gone) int {
	// As docker exec leaves it: re-parented to PID 1, without marker.
	out, w, _ := os.Pipe()
	_, err := r.Spawn(Spec{Argv: []string{"/bin/sh", "-c", `setsid env -i sleep 1000 >/dev/null & echo $!`}, Stdout: w, Keep: true})
	w.Close()
	if err != nil {
		return failf("%v", err)
	}
	<-exits
	var stranger int
	_, _ = fmt.Fscan(out, &stranger)
	for i := range 20 {
		_, err := r.Spawn(Spec{Instance: fmt.Sprintf("pid1/%d", i),
			Argv: []string{"/bin/sh", "-c", `sleep 1000 & setsid sleep 1000 & sh -c "setsid sleep 1000 &"; exit 3`}})
		if err != nil {
			return failf("%v", err)
		}
		e := <-exits
		if e.Code() != 3 || e.Leftovers == 0 {
			return failf("exit %v, leftovers %d", e, e.Leftovers)
		}
		if e.Gone {
			continue
		}
		if g := <-gones; len(g.Killed) == 0 {
			return failf("killed %v", g.Killed)
		}
	}
	names, _ := os.ReadDir("/proc")
	for _, n := range names {
		pid, err := strconv.Atoi(n.Name())
		if err != nil || pid == 1 || pid == stranger {
			continue
		}
		if d, err := Describe(pid); err == nil {
			return failf("straggler %v", d)
		}
	}
	if err := syscall.Kill(stranger, 0); err != nil {
		return failf("the stranger was killed")
	}
	_ = syscall.Kill(stranger, syscall.SIGKILL)
	return 0
}

func pid1Orphans(r *Reaper, exits, orphans chan Exit) int {
	for len(orphans) > 0 {
		<-orphans
	}
	before := r.Stats().Orphans
	_, err := r.Spawn(Spec{Instance: "storm", Argv: []string{"/bin/sh", "-c",
		`i=0; while [ $i -lt 300 ]; do (sh -c 'exit 5' &); i=$((i+1)); done; sleep 0.3; exit 6`}})
	if err != nil {
		return failf("%v", err)
	}
	go func() {
		for range orphans {
		}
	}()
	if e := <-exits; e.Code() != 6 {
		return failf("main child taken for an orphan: %v", e)
	}
	if n := r.Stats().Orphans - before; n < 300 {
		return failf("%d orphans reaped of 300", n)
	}
	if b, _ := os.ReadFile("/proc/1/task/1/children"); len(bytes.TrimSpace(b)) > 0 {
		return failf("zombies left: %s", b)
	}
	return 0
}

// pid1Idle: with no children the waiter sleeps in idle, and must wake for a spawn.
func pid1Idle(r *Reaper, exits, _ chan Exit) int {
	for range 20 {
		time.Sleep(5 * time.Millisecond)
		if _, err := r.Spawn(Spec{Argv: []string{"true"}}); err != nil {
			return failf("%v", err)
		}
		select {
		case <-exits:
		case <-time.After(patience):
			return failf("a spawn did not wake the idle waiter")
		}
	}
	return 0
}

// pid1Wrap hands out the same few pids again and again.
func pid1Wrap(r *Reaper, exits chan Exit) int {
	for i := range 200 {
		_ = os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte("400"), 0)
		p, err := r.Spawn(Spec{Gen: uint64(i), Argv: []string{"/bin/sh", "-c", "exit 4"}})
		if err != nil {
			return failf("%v", err)
		}
		if e := <-exits; e.Gen != uint64(i) || e.PID != p.PID || e.Code() != 4 {
			return failf("spawn %d as %d: %+v", i, p.PID, e)
		}
	}
	return 0
}

// A process that entered the namespace from outside (docker exec) leaves us a child
// while we have none: it must be reaped although no Spawn ever wakes the waiter.
func TestPID1ReapsEnteredOrphans(t *testing.T) {
	if err := exec.Command("unshare", "--pid", "--fork", "--mount-proc", "true").Run(); err != nil {
		t.Skipf("needs permission to make a PID namespace: %v", err)
	}
	exe, _ := os.Executable()
	cmd := exec.Command("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", exe)
	cmd.Env = append(os.Environ(), "REAPER_TEST_ROLE=idle1")
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); _ = cmd.Wait() }()
	if f, ok := out.(*os.File); ok {
		_ = f.SetReadDeadline(time.Now().Add(patience))
	}
	buf := make([]byte, 64)
	if n, err := out.Read(buf); err != nil || string(buf[:n]) != "ready\n" {
		t.Fatalf("got %q, %v", buf[:n], err)
	}
	kids, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
	if err != nil {
		t.Skipf("needs CONFIG_PROC_CHILDREN: %v", err)
	}
	init := strings.TrimSpace(string(kids))
	for i := range 5 {
		enter := exec.Command("nsenter", "-t", init, "-p", "-m", "/bin/sh", "-c", `(sleep 0.02; exit 9) & exit 0`)
		if b, err := enter.CombinedOutput(); err != nil {
			t.Fatalf("nsenter: %v %s", err, b)
		}
		n, err := out.Read(buf)
		if want := fmt.Sprintf("orphan %d code 9\n", i+1); err != nil || string(buf[:n]) != want {
			t.Fatalf("got %q, %v, want %q", buf[:n], err, want)
		}
	}
}

func init() { roles["idle1"] = idle1 }

func idle1() int {
	n := 0
	r, err := Start(Options{OnOrphan: func(e Exit) { n++; fmt.Printf("orphan %d code %d\n", n, e.Code()) }})
	if err != nil {
		return failf("%v", err)
	}
	fmt.Println("ready")
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the test ends
	_ = r.Close()
	return 0
}
