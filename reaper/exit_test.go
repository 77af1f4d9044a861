package reaper

import (
	"errors"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/proc"
)

func TestExitStatuses(t *testing.T) {
	g := newRig(t)
	tests := []struct {
		script string
		code   int
		signal syscall.Signal
		shell  int
	}{
		{"exit 0", 0, 0, 0},
		{"exit 1", 1, 0, 1},
		{"exit 255", 255, 0, 255},
		{"kill -TERM $$", -1, syscall.SIGTERM, 143},
		{"kill -KILL $$", -1, syscall.SIGKILL, 137},
		{"kill -HUP $$", -1, syscall.SIGHUP, 129},
	}
	for _, tt := range tests {
		s := g.sh("w", tt.script)
		e := g.exit(g.spawn(s))
		if e.Code() != tt.code || e.Signal() != tt.signal || e.ShellCode() != tt.shell {
			t.Errorf("%q: got code %d signal %d shell %d", tt.script, e.Code(), e.Signal(), e.ShellCode())
		}
		if e.ID != "w" || e.Gen != s.Gen || e.Instance != s.Instance || !e.Gone || e.Unknown || e.Sent != 0 {
			t.Errorf("%q: got %+v", tt.script, e)
		}
		if e.Time.Before(e.Start) || e.Rusage.Maxrss == 0 {
			t.Errorf("%q: times or rusage missing: %+v", tt.script, e)
		}
	}
}

func TestExitCoreDumped(t *testing.T) {
	g := newRig(t)
	s := g.sh("w", "kill -SEGV $$")
	s.Dir = t.TempDir()
	s.Rlimits = []Rlimit{{unix.RLIMIT_CORE, 1 << 30, 1 << 30}}
	e := g.exit(g.spawn(s))
	if e.Signal() != syscall.SIGSEGV {
		t.Fatalf("got %v", e)
	}
	if !e.CoreDumped() {
		t.Skip("needs a kernel that writes core files here (core_pattern)")
	}
	if e.String() != "killed by SIGSEGV, core dumped" {
		t.Errorf("got %q", e)
	}
}

func TestExitSent(t *testing.T) {
	g := newRig(t)
	p := g.spawn(g.spec("w", "sleep", "1000"))
	if err := g.r.Signal(p, syscall.SIGTERM, Leader); err != nil {
		t.Fatal(err)
	}
	e := g.exit(p)
	if e.Sent != syscall.SIGTERM || e.SentAt.IsZero() || e.Signal() != syscall.SIGTERM {
		t.Errorf("ours: %+v", e)
	}
	p = g.spawn(g.spec("w", "sleep", "1000"))
	if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil { // somebody else's doing
		t.Fatal(err)
	}
	if e = g.exit(p); e.Sent != 0 || e.Signal() != syscall.SIGKILL {
		t.Errorf("theirs: %+v", e)
	}
}

func TestSignalTheDead(t *testing.T) {
	g := newRig(t)
	p := g.spawn(g.sh("w", "exit 0"))
	g.exit(p)
	if err := g.r.Signal(p, syscall.SIGTERM, Leader); err != os.ErrProcessDone {
		t.Errorf("Signal: %v", err)
	}
	if err := g.r.Kill(p); err != os.ErrProcessDone {
		t.Errorf("Kill: %v", err)
	}
}

// While the waiter is held up a dead process stays a zombie. A signal to it would
// succeed, do nothing, and be named as the cause of its death.
func TestSignalToZombie(t *testing.T) {
	held, release := make(chan struct{}), make(chan struct{})
	exits := make(chan Exit, 2)
	r, err := Start(Options{OnExit: func(e Exit) {
		if e.ID == "first" {
			close(held)
			<-release
		}
		exits <- e
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	second, err := r.Spawn(Spec{ID: "second", Argv: []string{"sleep", "1000"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Spawn(Spec{ID: "first", Argv: []string{"true"}}); err != nil {
		t.Fatal(err)
	}
	<-held
	_ = syscall.Kill(second.PID, syscall.SIGKILL)
	for !dead(second.PID) {
		time.Sleep(time.Millisecond)
	}
	if err := r.Signal(second, syscall.SIGTERM, Leader); err != os.ErrProcessDone {
		t.Errorf("got %v", err)
	}
	close(release)
	<-exits
	if e := <-exits; e.ID != "second" || e.Sent != 0 || e.Signal() != syscall.SIGKILL {
		t.Errorf("got %+v", e)
	}
}

// A pid that is reused by another worker must not be reached through the old handle.
func TestSignalAfterPidReuse(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to choose the next pid")
	}
	g := newRig(t)
	old := g.spawn(g.sh("old", "exit 0"))
	g.exit(old)
	again := g.spawnAs(old.PID)
	if again.PID != old.PID {
		t.Skipf("needs to get pid %d again, somebody else has it", old.PID)
	}
	if err := g.r.Signal(old, syscall.SIGKILL, Group); err != os.ErrProcessDone {
		t.Errorf("old handle: %v", err)
	}
	if err := g.r.Signal(again, 0, Leader); err != nil {
		t.Errorf("new process was hit: %v", err)
	}
	byTicks := Proc{PID: again.PID, StartTicks: again.StartTicks}
	if err := g.r.Signal(byTicks, syscall.SIGTERM, Leader); err != nil {
		t.Errorf("by start time: %v", err)
	}
	if e := g.exit(again); e.ID != "new" {
		t.Errorf("got %+v", e)
	}
}

// spawnAs tries to get a pid by telling the kernel which one was the last.
func (g *rig) spawnAs(pid int) Proc {
	for range 50 {
		if os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0) != nil {
			break
		}
		p := g.spawn(g.spec("new", "sleep", "1000"))
		if p.PID == pid {
			return p
		}
		_ = g.r.Kill(p)
		g.exit(p)
	}
	return Proc{}
}

func TestKillStopped(t *testing.T) {
	g := newRig(t)
	p := g.spawn(g.spec("w", "sleep", "1000"))
	if err := g.r.Signal(p, syscall.SIGSTOP, Leader); err != nil {
		t.Fatal(err)
	}
	g.eventually("stop reported", func() bool { g.mu.Lock(); defer g.mu.Unlock(); return len(g.stops) == 1 })
	if d, err := Describe(p.PID); err != nil || d.State != 'T' || d.Comm != "sleep" || d.Cmdline != "sleep 1000" {
		t.Errorf("got %+v, %v", d, err)
	}
	if err := g.r.Signal(p, syscall.SIGCONT, Leader); err != nil {
		t.Fatal(err)
	}
	g.eventually("continuation reported", func() bool { g.mu.Lock(); defer g.mu.Unlock(); return len(g.stops) == 2 })
	if s := g.stops[0]; s.Signal != syscall.SIGSTOP || s.Continued || s.ID != "w" {
		t.Errorf("stop: %+v", s)
	}
	if s := g.stops[1]; s.Signal != syscall.SIGCONT || !s.Continued {
		t.Errorf("continuation: %+v", s)
	}
	_ = g.r.Signal(p, syscall.SIGSTOP, Leader)
	if err := g.r.Kill(p); err != nil {
		t.Fatal(err)
	}
	if e := g.exit(p); e.Signal() != syscall.SIGKILL || e.Sent != syscall.SIGKILL {
		t.Errorf("got %+v", e)
	}
}

func TestSignalGroupOrLeader(t *testing.T) {
	g := newRig(t)
	f := g.file("out")
	script := `sh -c 'trap "echo child >>` + f + `; exit" USR1; echo ready >>` + f + `; while :; do sleep 0.01; done' &
		trap "echo leader >>` + f + `" USR1; echo ready >>` + f + `; while :; do wait; done`
	p := g.spawn(g.sh("w", script))
	g.read(f, 2)
	_ = g.r.Signal(p, syscall.SIGUSR1, Leader)
	if l := g.read(f, 3); l[2] != "leader" {
		t.Errorf("got %q", l)
	}
	time.Sleep(20 * time.Millisecond)
	if l := g.read(f, 3); len(l) != 3 {
		t.Errorf("signal to the leader reached others: %q", l)
	}
	_ = g.r.Signal(p, syscall.SIGUSR1, Group)
	g.read(f, 5)
	_ = g.r.Kill(p)
	g.gone(p)
}

func TestStartTwiceAndClosed(t *testing.T) {
	g := newRig(t)
	if _, err := Start(Options{}); err == nil {
		t.Error("a second reaper was started")
	}
	p := g.spawn(g.spec("w", "sleep", "1000"))
	_ = g.r.Kill(p)
	g.gone(p)
	if err := g.r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := g.r.Spawn(g.sh("w", "exit 0")); !errors.Is(err, ErrClosed) {
		t.Errorf("Spawn after Close: %v", err)
	}
	if err := g.r.Signal(p, syscall.SIGTERM, Leader); !errors.Is(err, ErrClosed) {
		t.Errorf("Signal after Close: %v", err)
	}
}

// Close must wake a waiter that is blocked with children, between children, and idle.
func TestCloseRepeatedly(t *testing.T) {
	for i := range 50 {
		r, err := Start(Options{})
		if err != nil {
			t.Fatal(err)
		}
		var p Proc
		if i%3 > 0 {
			if p, err = r.Spawn(Spec{Argv: []string{"sleep", "1000"}}); err != nil {
				t.Fatal(err)
			}
		}
		if i%3 > 1 {
			_ = r.Kill(p) // its exit races with Close
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if p.PID != 0 {
			_ = syscall.Kill(p.PID, syscall.SIGKILL)
			_, _ = proc.Reap(p.PID, nil)
		}
	}
}
