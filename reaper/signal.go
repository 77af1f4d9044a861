package reaper

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Target says who of a worker gets a signal.
type Target int

const (
	Leader Target = iota // the process that was spawned
	Group                // all of its process group
)

// Signal sends sig. It never reaches a process that was reaped, nor one that has
// reused its pid: the lock is the one under which the waiter reaps. If the process is
// dead already the error is os.ErrProcessDone, also if its exit is not delivered yet.
// A stopped process gets its signal when it is continued: send SIGCONT too. Before a
// signal that may end it the process's descendants are recorded, see Survey.
func (r *Reaper) Signal(p Proc, sig syscall.Signal, to Target) error {
	if sig != 0 && sig != syscall.SIGCONT {
		r.Survey(p)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	c := r.find(p)
	if c == nil || c.dead || c.isDead() {
		return os.ErrProcessDone
	}
	if err := c.send(sig, to); err != nil {
		if err == unix.ESRCH || err == os.ErrProcessDone {
			return os.ErrProcessDone
		}
		return os.NewSyscallError("kill", err)
	}
	if sig != 0 {
		if sig != syscall.SIGCONT { // it ends nothing, and follows each stop signal
			c.sent, c.sentAt = sig, time.Now()
		}
	}
	return nil
}

// find looks a process up by handle, or by pid and start time.
func (r *Reaper) find(p Proc) *child {
	if p.seq != 0 {
		return r.all[p.seq]
	}
	if p.StartTicks == 0 {
		return nil
	}
	for _, c := range r.all {
		if c.PID == p.PID && c.StartTicks == p.StartTicks {
			return c
		}
	}
	return nil
}

// isDead says whether it is a zombie that the waiter has not taken yet: kill(2) would
// succeed, and Exit.Sent would name a signal that had no effect.
func (c *child) isDead() bool {
	switch {
	case c.pidfd >= 0:
		return pollDead(c.pidfd)
	case c.adopted:
		return identify(c.PID, c.StartTicks) == os.ErrProcessDone
	}
	return dead(c.PID)
}

func (c *child) send(sig syscall.Signal, to Target) error {
	if to == Group && c.group != 0 {
		return unix.Kill(-c.group, sig)
	}
	if c.pidfd >= 0 {
		return unix.PidfdSendSignal(c.pidfd, sig, nil, 0)
	}
	if c.adopted {
		return killByTicks(c.PID, c.StartTicks, sig)
	}
	return unix.Kill(c.PID, sig)
}

// Kill sends KILL to the process and its group, which also ends a stopped one; what
// escaped the group is killed when the process is dead. If it is dead already and
// something of it is pending, that is killed once more; if nothing is, the error
// is os.ErrProcessDone.
func (r *Reaper) Kill(p Proc) error {
	err := r.Signal(p, unix.SIGKILL, Group)
	if err != os.ErrProcessDone {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.find(p)
	if c == nil {
		return err
	}
	if c.dead && !c.keep {
		r.killAgain(c)
	}
	return nil
}

// killAgain serves a caller whose leftovers do not die. The numbers are safe: orphans
// are reaped under mu only, strays are held by pidfd.
func (r *Reaper) killAgain(c *child) {
	r.killCgroup(c)
	for pid, owner := range r.leftovers {
		if owner == c {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
	for fd, w := range r.watched {
		if w.c == c && !w.leader && !w.cgroup {
			_ = unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0)
		}
	}
	for pid, w := range r.polled {
		if w.c == c && !w.leader {
			_ = killByTicks(pid, w.ticks, unix.SIGKILL)
		}
	}
}

// Leftovers lists the pids that keep a dead process pending, for Describe.
func (r *Reaper) Leftovers(p Proc) []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.find(p)
	if c == nil || !c.dead {
		return nil
	}
	var pids []int
	for pid, owner := range r.leftovers {
		if owner == c {
			pids = append(pids, pid)
		}
	}
	for pid := range c.strays {
		pids = append(pids, pid)
	}
	return pids
}
