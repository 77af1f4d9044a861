package reaper

import (
	"bytes"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// heldExec makes every exec of file hang until release, as that of a program on a dead
// file server does.
func heldExec(t *testing.T, file string) (release func()) {
	t.Helper()
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC, unix.O_RDONLY)
	if err != nil {
		t.Skipf("needs fanotify with permission events: %v", err)
	}
	if err := unix.FanotifyMark(fd, unix.FAN_MARK_ADD, unix.FAN_OPEN_EXEC_PERM, unix.AT_FDCWD, file); err != nil {
		_ = unix.Close(fd)
		t.Skipf("needs fanotify with permission events: %v", err)
	}
	open := true
	release = func() {
		if open {
			_ = unix.Close(fd) // the kernel then permits what waits
		}
		open = false
	}
	t.Cleanup(release)
	return release
}

// orphan starts a process that belongs to no worker and ends at once, and returns when
// its worker has been reported.
func (g *rig) orphan() {
	g.t.Helper()
	g.exit(g.spawn(Spec{Argv: []string{"/bin/sh", "-c", `setsid env -i sleep 0.05 & exit`}, Keep: true}))
}

func (g *rig) orphansReaped() int { return int(g.r.Stats().Orphans) }

// While an exec hangs, deaths are reported, orphans reaped, and other workers started.
func TestHungExecHoldsUpNobody(t *testing.T) {
	g := newRig(t)
	prog := g.file("prog")
	sh, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(prog, sh, 0o755); err != nil {
		t.Fatal(err)
	}
	release := heldExec(t, prog)
	hung := g.spec("hung", prog, "-c", "exit 9")
	// By the shim: a plain fork is a vfork, which keeps a P of the Go runtime until the
	// exec, and the next garbage collection would wait for it.
	umask := 0o22
	hung.Umask = &umask
	type result struct {
		p   Proc
		err error
	}
	done := make(chan result, 1)
	go func() { p, err := g.r.Spawn(hung); done <- result{p, err} }()
	g.eventually("the exec hangs", func() bool { g.r.mu.Lock(); defer g.r.mu.Unlock(); return len(g.r.flights) == 1 })
	for i := range 3 {
		g.orphan()
		g.eventually("orphan reaped", func() bool { return g.orphansReaped() > i })
		p := g.spawn(g.sh("w", "sleep 1000 & setsid sleep 1000 & exit 3"))
		if e := g.exit(p); e.Code() != 3 {
			t.Errorf("got %+v", e)
		}
		g.gone(p)
	}
	select {
	case <-done:
		t.Fatal("the exec did not hang: this test shows nothing")
	default:
	}
	release()
	got := <-done
	if got.err != nil {
		t.Fatal(got.err)
	}
	if e := g.exit(got.p); e.Code() != 9 {
		t.Errorf("got %+v", e)
	}
}

// Where the kernel does not list children by thread any zombie may be the hung
// Spawn's: it waits, all others do not.
func TestPostponedZombie(t *testing.T) {
	g := newRig(t)
	const flight = -1 // no thread has that number, so its children cannot be read
	g.r.mu.Lock()
	g.r.flights[flight] = true
	g.r.mu.Unlock()
	before := g.spawn(g.sh("before", "sleep 0.3; exit 4"))
	g.orphan()
	g.eventually("zombie postponed", func() bool { g.r.mu.Lock(); defer g.r.mu.Unlock(); return len(g.r.postponed) > 0 })
	if e := g.exit(before); e.Code() != 4 {
		t.Errorf("got %+v", e)
	}
	p := g.spawn(g.sh("w", "sleep 1000 & setsid sleep 1000 & exit 3"))
	if e := g.exit(p); e.Code() != 3 {
		t.Errorf("got %+v", e)
	}
	g.gone(p)
	if _, err := g.r.Spawn(g.spec("missing", "/dev/null")); err == nil {
		t.Error("/dev/null was executed")
	}
	if n := g.orphansReaped(); n != 0 {
		t.Errorf("%d orphans reaped during the flight", n)
	}
	g.r.land(flight)
	g.r.poke()
	g.eventually("orphan reaped", func() bool { return g.orphansReaped() == 1 })
	g.eventually("nothing postponed", func() bool { return !g.r.isUnsettled() })
}

// The main thread's children are the orphans too: no flight may be on it.
func TestFlightIsNeverOnTheMainThread(t *testing.T) {
	r := newReaper(Options{})
	for range 50 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.fly(func(tid int) {
				if tid == os.Getpid() || tid != unix.Gettid() || !r.flights[tid] {
					t.Errorf("flight on thread %d of %d", tid, unix.Gettid())
				}
			})
		}()
		<-done
	}
	if len(r.flights) != 0 {
		t.Errorf("flights left: %v", r.flights)
	}
}

// sweepCost runs a worker that leaves n children in its own group, and returns how many
// KILLs their sweep took.
func (g *rig) sweepCost(n int, own bool) (kills uint64) {
	g.t.Helper()
	f := g.file("f")
	s := g.spec("many", os.Args[0])
	s.Env = append(os.Environ(), "F="+f, "REAPER_TEST_ROLE=many", "N="+string(bytes.Repeat([]byte{'x'}, n)))
	if !own {
		s.Env = append(s.Env, "FOREIGN=1")
	}
	count := func() uint64 { g.r.mu.Lock(); defer g.r.mu.Unlock(); return g.r.kills }
	before, start := count(), time.Now()
	p := g.spawn(s)
	e := g.exit(p)
	gone := g.gone(p)
	g.noStragglers()
	if e.Code() != 0 || e.Leftovers < n && len(gone.Killed) < n {
		g.t.Errorf("%d children: exit %+v, %d seen to die", n, e, len(gone.Killed))
	}
	g.t.Logf("%d children, own group %v: %d KILLs, %v", n, own, count()-before, time.Since(start))
	return count() - before
}

func init() {
	roles["many"] = func() int {
		attr := &syscall.ProcAttr{Env: append(os.Environ(), "REAPER_TEST_ROLE=")}
		group := 0
		for range len(os.Getenv("N")) {
			if os.Getenv("FOREIGN") != "" {
				attr.Sys = &syscall.SysProcAttr{Setpgid: true, Pgid: group}
			}
			pid, err := syscall.ForkExec("/bin/sleep", []string{"sleep", "1000"}, attr)
			if err != nil {
				return failf("%v", err)
			}
			if group == 0 {
				group = pid
			}
		}
		return 0
	}
}

// A sweep costs one KILL for each leftover, and one for each of their groups per look:
// a KILL to a group visits all its members, so one for each of them is quadratic.
func TestSweepIsLinear(t *testing.T) {
	g := newRig(t)
	n := soak(700, 2000)
	for _, own := range []bool{true, false} {
		for _, size := range []int{n, 2 * n} {
			// The looks that find new leftovers are few; 50 is generous.
			if kills := g.sweepCost(size, own); kills > uint64(size)+50 {
				t.Errorf("%d leftovers took %d KILLs", size, kills)
			}
		}
	}
}

// failOpen replaces pidfd_open(2) before a Reaper runs.
func failOpen(t *testing.T, err error) {
	was := pidfdOpen
	pidfdOpen = func(int, int) (int, error) { return -1, err }
	t.Cleanup(func() { pidfdOpen = was })
}

func TestAdoptWithoutPidfd(t *testing.T) {
	for _, errno := range []error{unix.ENOSYS, unix.EPERM, unix.EMFILE} {
		t.Run(errno.Error(), func(t *testing.T) {
			failOpen(t, errno)
			prefix := "nopidfd/" + t.Name() + time.Now().String() + "/"
			instance := prefix + "w#1"
			pid, ticks := killedSupervisor(t, instance, `trap "exit 0" TERM; sleep 1000 & setsid sleep 1000 & while :; do sleep 0.05; done`)
			g := newRig(t)
			g.ns = prefix
			s, ok := g.r.Living(pid, ticks)
			if !ok || !s.Leader || s.Group != pid || s.Session != pid || s.Comm != "sh" || s.Instance != "" {
				t.Fatalf("Living: %+v, %v", s, ok)
			}
			s.Instance = instance
			wrong := s
			wrong.StartTicks++
			if _, err := g.r.Adopt(wrong, "w", 1); !errors.Is(err, os.ErrProcessDone) {
				t.Errorf("another process with the pid: %v", err)
			}
			p, err := g.r.Adopt(s, "w", 2)
			if err != nil {
				t.Fatal(err)
			}
			if err := g.r.Signal(p, syscall.SIGTERM, Leader); err != nil {
				t.Fatal(err)
			}
			gone := g.gone(p)
			if e := g.exit(p); !e.Unknown || e.Gen != 2 || e.Sent != syscall.SIGTERM || e.Leftovers < 2 {
				t.Errorf("exit %+v, gone %+v", e, gone)
			}
			if err := g.r.Signal(p, syscall.SIGTERM, Leader); err != os.ErrProcessDone {
				t.Errorf("signal to the dead: %v", err)
			}
			g.noStragglers()
			g.eventually("poller ended", func() bool { g.r.mu.Lock(); defer g.r.mu.Unlock(); return g.r.pollQuit == nil })
		})
	}
}

func TestEndWithoutPidfd(t *testing.T) {
	failOpen(t, unix.EPERM)
	g := newRig(t)
	p := g.spawn(g.spec("w", "sleep", "1000"))
	s, ok := g.r.Living(p.PID, p.StartTicks)
	if !ok {
		t.Fatal("a living process was not found")
	}
	if _, ok := g.r.Living(p.PID, p.StartTicks+1); ok {
		t.Error("another process's start time was accepted")
	}
	wrong := s
	wrong.StartTicks++
	if err := wrong.End(syscall.SIGKILL); err != os.ErrProcessDone {
		t.Errorf("another process: %v", err)
	}
	if err := s.End(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if e := g.exit(p); e.Signal() != syscall.SIGTERM {
		t.Errorf("got %+v", e)
	}
	if err := s.End(syscall.SIGTERM); err != os.ErrProcessDone {
		t.Errorf("the dead was signalled: %v", err)
	}
	if _, ok := g.r.Living(p.PID, p.StartTicks); ok {
		t.Error("the dead lives")
	}
}

// A Reaper closed while it polls ends the poller and leaves the process alone.
func TestCloseWhilePolling(t *testing.T) {
	failOpen(t, unix.ENOSYS)
	pid, ticks := killedSupervisor(t, "polled/"+time.Now().String(), `sleep 1000`)
	r, err := Start(Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := r.Living(pid, ticks)
	if _, err := r.Adopt(s, "w", 1); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if bytes.Contains([]byte(stacks()), []byte("pollLoop")) {
		t.Error("the poller runs after Close")
	}
	if err := identify(pid, ticks); err != nil {
		t.Errorf("the process did not survive Close: %v", err)
	}
}
