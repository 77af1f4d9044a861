package reaper

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func init() { roles["first"] = firstSupervisor }

// firstSupervisor starts a worker and waits to be killed.
func firstSupervisor() int {
	r, err := Start(Options{})
	if err != nil {
		return failf("%v", err)
	}
	p, err := r.Spawn(Spec{Instance: os.Getenv("FIRST_INSTANCE"), Argv: []string{"/bin/sh", "-c", os.Getenv("FIRST_SCRIPT")}})
	if err != nil {
		return failf("%v", err)
	}
	fmt.Println(p.PID, p.StartTicks)
	time.Sleep(time.Hour)
	return 0
}

// killedSupervisor runs a worker under a first supervisor and kills the latter with -9.
// No Reaper may run here yet: the orphaned worker must not become our child.
func killedSupervisor(t *testing.T, instance, script string) (pid int, ticks uint64) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	first := exec.Command(exe)
	first.Env = append(os.Environ(), "REAPER_TEST_ROLE=first", "FIRST_INSTANCE="+instance, "FIRST_SCRIPT="+script)
	out, _ := first.StdoutPipe()
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if _, scanErr := fmt.Sscan(line, &pid, &ticks); err != nil || scanErr != nil {
		t.Fatalf("first supervisor said %q: %v", line, err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-pid, syscall.SIGKILL) })
	time.Sleep(50 * time.Millisecond) // let the worker start its children
	_ = first.Process.Kill()
	_ = first.Wait()
	return pid, ticks
}

func survivorOf(t *testing.T, g *rig, instance string, pid int) Survivor {
	t.Helper()
	found, err := g.r.Survivors(instance)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range found {
		if s.PID == pid {
			return s
		}
	}
	t.Fatalf("worker %d is not among %+v", pid, found)
	return Survivor{}
}

func TestAdoptAfterSupervisorsDeath(t *testing.T) {
	prefix := fmt.Sprintf("adopt/%d/", os.Getpid())
	instance := prefix + "w#1"
	pid, ticks := killedSupervisor(t, instance,
		`trap "exit 0" TERM; sleep 1000 & setsid sleep 1000 & sh -c "setsid sleep 1000 &"; while :; do sleep 0.05; done`)
	g := newRig(t)
	g.ns = prefix
	s := survivorOf(t, g, prefix, pid)
	if s.StartTicks != ticks || s.Instance != instance || !s.Leader || s.PPID == os.Getpid() || s.Comm != "sh" {
		t.Errorf("got %+v", s)
	}
	wrong := s
	wrong.StartTicks++
	if _, err := g.r.Adopt(wrong, "w", 1); err == nil || !strings.Contains(err.Error(), "already finished") {
		t.Errorf("another process with the pid was adopted: %v", err)
	}
	p, err := g.r.Adopt(s, "w", 7)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.r.Adopt(s, "w", 8); err == nil {
		t.Error("adopted twice")
	}
	if age := time.Since(p.Start); age < 0 || age > time.Minute {
		t.Errorf("start time %v", p.Start)
	}
	if err := g.r.Signal(Proc{PID: pid, StartTicks: ticks}, syscall.SIGTERM, Leader); err != nil {
		t.Fatal(err)
	}
	gone := g.gone(p)
	e := g.exit(p)
	if !e.Unknown || e.ID != "w" || e.Gen != 7 || e.Sent != syscall.SIGTERM || e.Code() != -1 || e.Leftovers < 3 || len(gone.Killed) < 3 {
		t.Errorf("exit %+v, gone %+v", e, gone)
	}
	g.noStragglers()
}

func TestAdoptKill(t *testing.T) {
	instance := fmt.Sprintf("adoptkill/%d/w#1", os.Getpid())
	pid, _ := killedSupervisor(t, instance, `sleep 1000`)
	g := newRig(t)
	g.ns = instance
	p, err := g.r.Adopt(survivorOf(t, g, instance, pid), "w", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.r.Kill(p); err != nil {
		t.Fatal(err)
	}
	g.gone(p)
	if err := g.r.Signal(p, syscall.SIGTERM, Leader); err != os.ErrProcessDone {
		t.Errorf("signal to the dead: %v", err)
	}
}

// A program that executes itself anew keeps its children: their status is known.
func TestAdoptOwnChild(t *testing.T) {
	g := newRig(t)
	s := g.sh("w", `sleep 0.1; exit 6`)
	p := g.spawn(s)
	if err := g.r.Close(); err != nil {
		t.Fatal(err)
	}
	h := newRig(t)
	q, err := h.r.Adopt(survivorOf(t, h, s.Instance, p.PID), "w", 2)
	if err != nil {
		t.Fatal(err)
	}
	if e := h.exit(q); e.Code() != 6 || e.Unknown || e.Gen != 2 {
		t.Errorf("got %+v", e)
	}
	g.r = h.r
}

func TestEndSurvivor(t *testing.T) {
	instance := fmt.Sprintf("end/%d/w#1", os.Getpid())
	pid, _ := killedSupervisor(t, instance, `sleep 1000`)
	g := newRig(t)
	g.ns = instance
	s := survivorOf(t, g, instance, pid)
	wrong := s
	wrong.StartTicks++
	if err := wrong.End(syscall.SIGKILL); err != os.ErrProcessDone {
		t.Errorf("another process was signalled: %v", err)
	}
	found, _ := g.r.Survivors(instance)
	for _, s := range found {
		if err := s.End(syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
	g.eventually("survivors dead", func() bool { return len(g.marked()) == 0 })
}
