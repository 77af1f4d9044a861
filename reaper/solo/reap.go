package solo

import (
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/catch"
	"github.com/procguard/procguard/reaper/proc"
)

// reap is the waiter's. It leaves the command's zombie alone: while that is there, its
// number is its own, and signals may go to it. It ends when the command has.
func (s *solo) reap() {
	runtime.LockOSThread()
	catch.HideThread()
	var pace pace
	for {
		c, err := proc.Peek(unix.P_ALL, 0, waitFlags)
		for ; err == nil && c.PID != 0; c, err = proc.PeekNow(unix.P_ALL, 0, waitFlags) {
			if !s.takeChild(c) {
				return
			}
		}
		if err != nil { // ECHILD
			s.q.post(catch.Record{Code: recEmpty})
			return
		}
		pace.keep()
	}
}

const waitFlags = unix.WEXITED | unix.WSTOPPED | unix.WCONTINUED | unix.WNOWAIT

// takeChild is false when the command is dead.
func (s *solo) takeChild(c proc.Child) bool {
	switch {
	case c.Code >= proc.Trapped:
		s.takeStop(c.PID)
	case c.PID == s.pid:
		s.q.post(catch.Record{Code: recEnded})
		return false
	default:
		s.reapOrphan(c.PID)
	}
	return true
}

// pace makes a storm of deaths cheap: after stormWakes in a row that each came within nap, the
// waiter naps, so that the next look finds many. It costs the command's exit that much
// time, and only in a storm.
type pace struct {
	last  time.Time
	wakes int
}

const (
	stormWakes = 16
	nap        = time.Millisecond
)

func (p *pace) keep() {
	now := time.Now()
	if now.Sub(p.last) > 2*nap {
		p.wakes = 0
	}
	p.last = now
	if p.wakes++; p.wakes > stormWakes {
		ts := unix.NsecToTimespec(nap.Nanoseconds())
		_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
		p.last = p.last.Add(nap)
	}
}

// takeStop consumes a stop or continuation, which would else be shown for ever.
func (s *solo) takeStop(pid int) {
	c, err := proc.Peek(unix.P_PID, pid, unix.WSTOPPED|unix.WCONTINUED|unix.WNOHANG)
	if err != nil || c.PID == 0 || pid != s.pid {
		return
	}
	if c.Code == proc.Continued {
		s.q.post(catch.Record{Code: recContinued})
		return
	}
	s.q.post(catch.Record{Code: recStopped, Value: uint64(c.Signal)})
}

func (s *solo) reapOrphan(pid int) {
	s.mu.Lock()
	status := proc.ReapNow(pid)
	hook := pid == s.hookPID
	if hook {
		s.hookPID = 0
	}
	s.mu.Unlock()
	switch {
	case hook:
		s.q.post(catch.Record{Code: recHooked})
	case s.o.WarnReaped || s.o.Verbose >= 3:
		s.q.post(catch.Record{Code: recReaped, PID: int32(pid), Value: uint64(status)})
	}
}

// bury reaps the command, which is dead unless even KILL has not ended it.
func (s *solo) bury() {
	if s.o.Pause || s.reaped {
		return
	}
	if c, err := proc.Peek(unix.P_PID, s.pid, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG); err != nil || c.PID == 0 {
		s.status = syscall.WaitStatus(syscall.SIGKILL)
		return
	}
	s.status, _ = proc.Reap(s.pid, nil)
	s.pid, s.reaped = 0, true
}
