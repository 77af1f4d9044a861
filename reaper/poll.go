package reaper

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/proc"
)

// pidfdOpen is a variable for the tests: kernels before 5.3 and seccomp filters of
// container runtimes have none.
var pidfdOpen = unix.PidfdOpen

// noProcess says whether pidfd_open(2) found no process: EINVAL is for a pid that is
// that of a mere thread by now.
func noProcess(err error) bool { return err == unix.ESRCH || err == unix.EINVAL }

// identify checks that pid is still the living process that started at ticks. It is
// os.ErrProcessDone if certainly not, another error if that cannot be known.
func identify(pid int, ticks uint64) error {
	st, err := proc.ReadStat(pid)
	switch {
	case err != nil:
		return unidentified(pid, err)
	case st.Start != ticks || ended(pid, st.State):
		return os.ErrProcessDone
	}
	return nil
}

// unidentified tells a process that has died from one whose stat cannot be read (no
// descriptors left, a /proc mounted with hidepid).
func unidentified(pid int, err error) error {
	if unix.Kill(pid, 0) == unix.ESRCH || errors.Is(err, unix.ESRCH) {
		return os.ErrProcessDone
	}
	return fmt.Errorf("identify pid %d: %w", pid, err)
}

// killByTicks is for want of a pidfd. Between the check and the kill the process could
// die, be reaped, and its pid be given out anew, which takes the kernel a whole turn
// of the pid space: the window is some microseconds.
func killByTicks(pid int, ticks uint64, sig syscall.Signal) error {
	if err := identify(pid, ticks); err != nil {
		return err
	}
	switch err := unix.Kill(pid, sig); err {
	case nil:
		return nil
	case unix.ESRCH:
		return os.ErrProcessDone
	default:
		return os.NewSyscallError("kill", err)
	}
}

// pollEvery bounds how late a death without a pidfd is seen.
const pollEvery = 100 * time.Millisecond

// poll watches a process without a pidfd. One goroutine does it for all, and exists
// only as long as there are any. mu is held.
func (r *Reaper) poll(w *watched) error {
	if r.closed {
		return ErrClosed
	}
	r.polled[w.pid] = w
	if r.pollQuit == nil {
		r.pollQuit, r.pollDone = make(chan struct{}), make(chan struct{})
		go r.pollLoop(r.pollQuit, r.pollDone)
	}
	return nil
}

// stopPoll returns what is closed when the poller has ended. mu is held.
func (r *Reaper) stopPoll() <-chan struct{} {
	if r.pollQuit == nil {
		return nil
	}
	close(r.pollQuit)
	r.pollQuit = nil
	clear(r.polled)
	return r.pollDone
}

func (r *Reaper) pollLoop(quit <-chan struct{}, done chan<- struct{}) {
	defer close(done)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-quit:
			return
		case <-tick.C:
		}
		if r.pollAll() {
			r.settle(false)
			r.flush()
		}
		if r.pollIdle() {
			return
		}
	}
}

// pollAll takes the deaths since the last time. A process that cannot be identified
// just now counts as alive.
func (r *Reaper) pollAll() (any bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for pid, w := range r.polled {
		if identify(pid, w.ticks) != os.ErrProcessDone {
			continue
		}
		any = true
		delete(r.polled, pid)
		if w.leader {
			r.leaderGone(w.c)
		} else {
			r.strayGone(w)
		}
	}
	return any
}

// pollIdle ends the poller in the same hold of mu that sees nobody left, so that the
// next poll starts another one.
func (r *Reaper) pollIdle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.polled) > 0 || r.closed {
		return false
	}
	r.pollQuit = nil
	return true
}

// pollPid is trackPid without a pidfd.
func (r *Reaper) pollPid(c *child, pid int) bool {
	st, err := proc.ReadStat(pid)
	if err != nil || r.polled[pid] != nil || !r.isLeftover(c, pid) {
		return false
	}
	if r.poll(&watched{c: c, pid: pid, ticks: st.Start}) != nil {
		return false
	}
	if c.strays == nil {
		c.strays = map[int]bool{}
	}
	c.strays[pid] = true
	r.noteDescent(c, pid)
	_ = killByTicks(pid, st.Start, unix.SIGKILL)
	return true
}
