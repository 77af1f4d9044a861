package solo

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/catch"
	"github.com/procguard/procguard/reaper/trim"
)

// solo is the one command and all that is done about it. The main thread owns it.
type solo struct {
	o *Options
	m machine
	q *queue
	terminal

	pid    int  // of the command
	group  bool // its pid is also the number of its process group
	reaped bool // its pid is no longer its own
	status syscall.WaitStatus
	dir    string // where we were started, if there is a pre-stop command
	next   event  // what an action has led to

	mu      sync.Mutex // held from the fork of the pre-stop command until its pid is known
	hookPID int        // 0: it does not run
}

// Run runs the command and returns when it, and whatever else Options ask for, has ended.
// It must be called on the main goroutine, before anything else has asked for signals.
func Run(o Options) Result {
	runtime.LockOSThread()
	s := &solo{o: &o}
	if err := s.prepare(); err != nil {
		return Result{Err: err}
	}
	if o.Pause {
		s.log(2, "nothing to run: reaping until SIGTERM or SIGINT comes")
		reapAll() // who died before we listened
	} else if err := s.start(); err != nil {
		return Result{Err: err}
	}
	return s.loop()
}

func (s *solo) prepare() error {
	if len(s.o.Argv) == 0 && !s.o.Pause {
		return errors.New("solo: no command")
	}
	var err error
	if s.q, err = openQueue(s.o.Pause); err != nil { // else the waiter sees the children
		return err
	}
	s.m = machine{o: s.o, alone: os.Getpid() == 1, shell: underShell(), leader: leadsSession()}
	return s.enlist()
}

// enlist asks the kernel for what prctl(2) gives.
func (s *solo) enlist() error {
	if s.o.ParentDeath != 0 {
		if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(s.o.ParentDeath), 0, 0, 0); err != nil {
			return fmt.Errorf("solo: ask for a signal at our parent's death: %w", err)
		}
	}
	// Who is to kill all that is left must be its parent.
	must := s.o.KillOrphans || s.o.Grace > 0
	if s.m.alone || !s.o.Subreaper && !must {
		return nil
	}
	err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	if err != nil && must {
		return fmt.Errorf("solo: become a subreaper: %w", err)
	} else if err != nil {
		s.log(1, fmt.Sprintf("cannot become a subreaper, orphans will not come to us: %v", err))
	}
	return nil
}

// underShell: a shell with job control gives each job a process group in its session.
func underShell() bool {
	parent := os.Getppid()
	sid, err := unix.Getsid(parent)
	if own, _ := unix.Getsid(0); err != nil || sid != own {
		return false
	}
	pgid, err := unix.Getpgid(parent)
	return err == nil && pgid != unix.Getpgrp()
}

func leadsSession() bool {
	sid, _ := unix.Getsid(0)
	return sid == os.Getpid()
}

func (s *solo) start() error {
	if len(s.o.PreStop) > 0 {
		s.dir, _ = os.Getwd()
	}
	if err := s.spawn(); err != nil {
		return err
	}
	s.spareThreads()
	// Our own working directory would keep a volume from being unmounted.
	_ = unix.Chdir("/")
	hideThreads()
	return nil
}

// spareThreads makes the Go runtime create now the threads that it may need, and keep
// them: it aborts when it cannot have one, and a container whose command has used
// up the pids is just when an init is needed. One is the waiter's; at most two run
// Go code at once. The command, which has just been executed, is not that fast.
func (s *solo) spareThreads() {
	if runtime.GOMAXPROCS(0) > 2 {
		runtime.GOMAXPROCS(2)
	}
	var ready sync.WaitGroup
	done := make(chan struct{})
	ready.Add(3)
	for range 2 {
		go func() {
			runtime.LockOSThread() // a locked goroutine that waits keeps its thread
			defer runtime.UnlockOSThread()
			catch.HideThread()
			ready.Done()
			<-done
		}()
	}
	go func() {
		ready.Done()
		s.reap()
	}()
	ready.Wait()
	close(done)
}

// settled is how long nothing has to happen before the start counts as over: threads that
// are still starting would bring the pages back that trim gives away.
const settled = 50 * time.Millisecond

// loop is the main thread's: it takes what has come in, asks the machine, and acts.
func (s *solo) loop() Result {
	for trimmed := false; s.m.phase != over; {
		if !trimmed && s.m.deadline.IsZero() && !s.q.wait(settled) {
			trim.Pages()
			trimmed = true
		}
		for _, rec := range s.q.take(s.m.deadline) {
			s.take(rec)
		}
		for set := catch.TakeMissed(); set != 0; set &= set - 1 {
			s.step(caught{sig: syscall.Signal(bits.TrailingZeros64(set) + 1)})
		}
		if d := s.m.deadline; !d.IsZero() && !time.Now().Before(d) {
			s.step(tick{})
		}
	}
	return Result{Status: s.status, Killed: s.m.killed}
}

func (s *solo) take(rec catch.Record) {
	if rec.Signo != 0 {
		s.takeSignal(rec)
		return
	}
	switch rec.Code {
	case recEnded:
		s.step(ended{})
	case recStopped:
		s.step(stopped{sig: syscall.Signal(rec.Value), ours: s.foreground()})
	case recContinued:
		s.step(continued{})
	case recReaped:
		s.sayReaped(rec)
	case recHooked:
		s.step(hooked{})
	case recEmpty:
		s.step(empty{})
	}
}

func (s *solo) takeSignal(rec catch.Record) {
	sig := syscall.Signal(rec.Signo)
	if sig == syscall.SIGCHLD { // asked for only where there is no waiter
		reapAll()
		return
	}
	s.step(caught{
		sig: sig, kernel: rec.Code > 0, self: rec.BySelf(),
		queued: rec.Code == catch.Queued, value: rec.Value,
	})
}

func reapAll() {
	for {
		if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 && err != syscall.EINTR {
			return
		}
	}
}

func (s *solo) step(e event) {
	for ; e != nil; e, s.next = s.next, nil {
		for _, a := range s.m.step(time.Now(), e) {
			s.perform(a)
		}
	}
}

func (s *solo) perform(a action) {
	switch a := a.(type) {
	case send:
		s.send(a)
	case sendRest:
		s.sendRest(a.sig)
	case killAll:
		s.killAll()
	case hook:
		s.runHook()
	case killHook:
		s.killHook()
	case stopSelf:
		_ = unix.Kill(os.Getpid(), unix.SIGSTOP)
	case lend:
		s.lend(s.pid)
	case takeBack:
		s.takeBack(s.pid)
	case watchRest:
		s.bury()
		go s.reap()
	case finish:
		s.bury()
	case say:
		s.log(a.level, a.text)
	}
}

func (s *solo) log(level int, text string) {
	if s.o.Log != nil && level <= s.o.Verbose {
		s.o.Log(level, text)
	}
}

func (s *solo) sayReaped(rec catch.Record) {
	level := 3
	if s.o.WarnReaped {
		level = 1
	}
	s.log(level, fmt.Sprintf("reaped the orphan %d: %s", rec.PID, describe(syscall.WaitStatus(rec.Value))))
}

func describe(st syscall.WaitStatus) string {
	if st.Signaled() {
		return "killed by " + name(st.Signal())
	}
	return fmt.Sprintf("exit code %d", st.ExitStatus())
}
