package reaper

import (
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/cgroup"
	"github.com/procguard/procguard/reaper/proc"
)

// child is a process that Spawn or Adopt registered. All fields but the identity are
// guarded by Reaper.mu.
type child struct {
	Proc
	id       string
	gen      uint64
	instance string
	group    int  // id of its own process group, 0 if it has none or the number was reused
	session  bool // group is its session id as well
	keep     bool // what it leaves behind is not ours to kill
	adopted  bool // not our child
	pidfd    int  // of an adopted process, else -1
	cgroup   *cgroup.Group
	watching bool // cgroup's events are in the epoll set
	tid      int  // the thread that forked it, 0 for an adopted one
	dead     bool // reaped (or, adopted, seen dead)
	reported bool // its Exit is in the queue
	to       *runner

	sent   syscall.Signal
	sentAt time.Time
	exit   Exit
	killed []int
	left   int          // leftovers found by the last look
	strays map[int]bool // leftovers that are not our children, watched by pidfd
	kin    []int        // pids of its descendants on record in Reaper.kin
}

// wait is the waiter: it peeks, and lets batch sweep and reap.
func (r *Reaper) wait() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(r.done)
	for {
		p, ok := r.peek()
		if !ok {
			return
		}
		r.batch(p)
		r.flush()
		r.standBy()
	}
}

func (r *Reaper) waitFlags() int {
	f := unix.WEXITED | unix.WNOWAIT
	if r.opt.OnStop != nil {
		f |= unix.WSTOPPED | unix.WCONTINUED
	}
	return f
}

// peek blocks until a child is dead and leaves it a zombie; false after Close.
func (r *Reaper) peek() (proc.Child, bool) {
	for {
		// Close sets closed, then makes a zombie: whoever is not seen here is seen
		// by waitid, also if drain has reaped that zombie as an orphan.
		if r.isClosed() {
			return proc.Child{}, false
		}
		p, err := proc.Peek(unix.P_ALL, 0, r.waitFlags())
		switch {
		case r.isClosed():
			return proc.Child{}, false
		case err == nil:
			return p, true
		}
		r.idle() // ECHILD: no children at all
	}
}

// idle waits, without a single wake-up, until there may be children again. They come
// from Spawn, which pokes, or from outside: a process that was entered into
// our PID namespace (docker exec) leaves its children to us. Nothing tells of
// their arrival, but their death is a SIGCHLD, so it is asked for, only here: as
// long as we have children waitid sees everything at a lower cost.
func (r *Reaper) idle() {
	signal.Notify(r.chld, unix.SIGCHLD)
	defer signal.Stop(r.chld)
	// Look again: a death between the ECHILD and Notify sent no signal to us.
	if _, err := proc.Peek(unix.P_ALL, 0, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG); err != unix.ECHILD {
		return
	}
	select {
	case <-r.chld:
	case <-r.wake:
	}
}

func (r *Reaper) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// batch takes what is dead now: many deaths may be one wake-up. They are reaped
// first, then one look at the list of orphans serves them all.
func (r *Reaper) batch(p proc.Child) {
	r.take(p)
	r.drain()
	r.settlePending()
}

func (r *Reaper) settlePending() {
	r.mu.Lock()
	settle := len(r.pending) > 0
	r.mu.Unlock()
	if settle {
		r.settle(true)
	}
}

// drain takes the dead children without blocking, for a bounded time: under a
// storm of orphans there is always one more, and the workers among the dead wait.
func (r *Reaper) drain() {
	for end := time.Now().Add(drainBound); time.Now().Before(end); {
		p, err := proc.Peek(unix.P_ALL, 0, r.waitFlags()|unix.WNOHANG)
		if err != nil || p.PID == 0 {
			return
		}
		if !r.take(p) {
			r.takeKnown() // waitid(P_ALL) would show the same zombie again
			return
		}
	}
}

const drainBound = 2 * time.Millisecond

// take is false if the zombie must be left for now.
func (r *Reaper) take(p proc.Child) bool {
	if p.Code >= proc.Trapped {
		r.takeStop(p)
		return true
	}
	r.mu.Lock()
	c := r.live[p.PID]
	if c != nil {
		r.bury(c)
	}
	r.mu.Unlock()
	return c != nil || r.takeUnknown(p.PID)
}

// bury sweeps and reaps a dead child. mu is held: Signal cannot run between the reap
// and the removal from live, so it never reaches a reused pid.
func (r *Reaper) bury(c *child) {
	c.exit = c.newExit()
	if c.group != 0 && !c.keep {
		// The zombie still holds its number, so this group is its group. KILL to a
		// group is atomic against fork: a member cannot slip out by forking.
		_ = unix.Kill(-c.group, unix.SIGKILL)
	}
	r.killCgroup(c)
	c.exit.Status, _ = proc.Reap(c.PID, &c.exit.Rusage)
	delete(r.live, c.PID)
	r.died(c)
}

func (c *child) newExit() Exit {
	return Exit{
		PID: c.PID, ID: c.id, Gen: c.gen, Instance: c.instance,
		Sent: c.sent, SentAt: c.sentAt, Start: c.Start, Time: time.Now(),
	}
}

// died makes c pending until settle decides what is left of it.
func (r *Reaper) died(c *child) {
	c.dead = true
	r.stats.Exits++
	r.pending[c] = true
	r.fresh = append(r.fresh, c)
}

// takeUnknown reaps a zombie that is not registered: an orphan, or the child of a failed
// exec. It is false for one that may be the child of a Spawn on its way, which is
// registered, or reaped by syscall.ForkExec, when that Spawn ends. All is one hold of
// mu: no Spawn can register meanwhile.
func (r *Reaper) takeUnknown(pid int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !dead(pid) {
		return true // a failed Spawn was quicker
	}
	if c := r.live[pid]; c != nil {
		r.bury(c)
		return true
	}
	if r.suspect(pid) {
		if r.postponed == nil {
			r.postponed = map[int]bool{}
		}
		r.postponed[pid] = true
		return false
	}
	owner := r.ownerOf(pid)
	e := Exit{PID: pid, Time: time.Now()}
	var err error
	if e.Status, err = proc.Reap(pid, &e.Rusage); err == nil {
		r.reapedUnknown(owner, e)
	}
	return true
}

func (r *Reaper) reapedUnknown(owner *child, e Exit) {
	delete(r.orphans, e.PID)
	delete(r.unread, e.PID)
	delete(r.leftovers, e.PID)
	if owner != nil && owner.dead {
		owner.killed = append(owner.killed, e.PID)
		r.stats.Leftovers++
		return
	}
	r.stats.Orphans++
	if owner != nil {
		e.ID, e.Gen, e.Instance = owner.id, owner.gen, owner.instance
	}
	if r.opt.OnOrphan != nil {
		r.queue = append(r.queue, event{orphan: &e})
	}
}

// takeStop consumes a stop or continuation, which would else be shown for ever.
func (r *Reaper) takeStop(p proc.Child) {
	flags := unix.WSTOPPED | unix.WCONTINUED | unix.WNOHANG
	got, err := proc.Peek(unix.P_PID, p.PID, flags)
	if err != nil || got.PID == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.live[p.PID]; c != nil {
		r.queue = append(r.queue, event{stop: &Stop{
			PID: p.PID, ID: c.id, Gen: c.gen, Signal: syscall.Signal(got.Signal), Continued: got.Code == proc.Continued,
		}})
	}
}
