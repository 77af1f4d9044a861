package reaper

import (
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Proc identifies a process that Spawn or Adopt returned, for good: its methods'
// targets never change to another process that got the same pid. A Proc made of
// PID and StartTicks alone (from a state file) is looked up by both.
type Proc struct {
	PID        int
	StartTicks uint64    // field 22 of /proc/PID/stat, in USER_HZ ticks since boot; 0 without /proc
	Start      time.Time // when fork returned; for an adopted one derived from StartTicks
	seq        uint64
}

// Exit is the end of a process, with everything that is known about it.
type Exit struct {
	PID      int
	ID       string
	Gen      uint64
	Instance string
	Status   syscall.WaitStatus // raw; see Code, Signal, CoreDumped
	Rusage   syscall.Rusage     // of the process and the children it waited for
	// Sent is the last signal we delivered to it before it died, 0 if none. A death
	// by a signal other than Sent was somebody else's doing.
	Sent   syscall.Signal
	SentAt time.Time
	Start  time.Time
	Time   time.Time // when the waiter saw it
	// Gone says that nothing of it is left: no Gone event follows.
	Gone bool
	// Leftovers is how many of its descendants, as far as visible then, outlived it,
	// if only for the moment until we killed them: it may be more than 0 with Gone.
	Leftovers int
	// Unknown says that the status cannot be known: it was not our child.
	Unknown bool
}

// Code is the exit code, or -1 if it was killed by a signal or is unknown.
func (e Exit) Code() int {
	if e.Unknown || !e.Status.Exited() {
		return -1
	}
	return e.Status.ExitStatus()
}

// Signal is the signal that killed it, 0 if none did or it is unknown.
func (e Exit) Signal() syscall.Signal {
	if e.Unknown || !e.Status.Signaled() {
		return 0
	}
	return e.Status.Signal()
}

// CoreDumped says whether the kernel wrote a core file.
func (e Exit) CoreDumped() bool { return !e.Unknown && e.Status.CoreDump() }

// ShellCode is the code a shell would report: the exit code, or 128 plus the
// signal; 125 if it is unknown.
func (e Exit) ShellCode() int {
	switch {
	case e.Unknown:
		return 125
	case e.Status.Signaled():
		return 128 + int(e.Status.Signal())
	}
	return e.Status.ExitStatus()
}

// String says how it ended, for people.
func (e Exit) String() string {
	switch {
	case e.Unknown:
		return "ended, status unknown"
	case !e.Status.Signaled():
		return fmt.Sprintf("exit code %d", e.Status.ExitStatus())
	}
	s := fmt.Sprintf("killed by %s", unix.SignalName(e.Status.Signal()))
	if e.Status.CoreDump() {
		s += ", core dumped"
	}
	return s
}

// Gone says that the last leftover of a dead process has died.
type Gone struct {
	PID      int
	ID       string
	Gen      uint64
	Instance string
	Killed   []int // pids of the leftovers that we saw die
	Time     time.Time
}

// Stop is a job-control event of a running process.
type Stop struct {
	PID       int
	ID        string
	Gen       uint64
	Signal    syscall.Signal // what stopped it; SIGCONT if it goes on
	Continued bool
}

// event is what waits for delivery: exactly one of the pointers is set.
type event struct {
	exit   *Exit
	gone   *Gone
	stop   *Stop
	orphan *Exit
	to     *runner // a Run that wants it instead of the callbacks
}

// flush delivers queued events. mu orders them, emit keeps that order while two
// goroutines (waiter and watch) deliver; mu is not held during a callback, so
// that callbacks may call Signal, Kill and Spawn.
func (r *Reaper) flush() {
	r.emit.Lock()
	defer r.emit.Unlock()
	for {
		r.mu.Lock()
		q := r.queue
		r.queue = nil
		r.mu.Unlock()
		if len(q) == 0 {
			return
		}
		for i := range q {
			r.deliver(&q[i])
		}
	}
}

func (r *Reaper) deliver(ev *event) {
	switch {
	case ev.to != nil:
		ev.to.take(ev)
	case ev.exit != nil && r.opt.OnExit != nil:
		r.opt.OnExit(*ev.exit)
	case ev.gone != nil && r.opt.OnGone != nil:
		r.opt.OnGone(*ev.gone)
	case ev.orphan != nil && r.opt.OnOrphan != nil:
		r.opt.OnOrphan(*ev.orphan)
	case ev.stop != nil && r.opt.OnStop != nil:
		r.opt.OnStop(*ev.stop)
	}
}
