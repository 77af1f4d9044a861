package reaper

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/proc"
)

// A flight is a Spawn between its fork and the registration of the child. Its exec
// may hang for as long as a dead file server does, so nobody waits for a flight: the
// waiter leaves alone a zombie that may come from one, and serves the others.

// fly runs f on a thread that is known to fork and nothing else. It is never the main
// thread, whose children are the orphans too.
func (r *Reaper) fly(f func(tid int)) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tid := unix.Gettid()
	if tid == os.Getpid() {
		// While we hold the main thread the new goroutine must run on another one.
		done := make(chan struct{})
		go func() { defer close(done); r.fly(f) }()
		<-done
		return
	}
	r.mu.Lock()
	r.flights[tid] = true
	r.mu.Unlock()
	defer r.land(tid)
	f(tid)
}

// land ends a flight that failed; that of a registered child has ended already, and
// the thread was locked, so no other flight has its number.
func (r *Reaper) land(tid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.flights, tid)
}

// suspect says whether an unknown zombie may be the child of a flight. The kernel lists
// the children of each thread on their own, so only the forking thread's list has
// it. Without these lists each flight makes every unknown zombie suspect. A leftover
// never is: it was seen alive, with a dead owner. mu is held, so nothing that we
// reap can make the kernel skip an entry of a list.
func (r *Reaper) suspect(pid int) bool {
	if len(r.flights) == 0 || r.leftovers[pid] != nil {
		return false
	}
	for tid := range r.flights {
		kids, err := threadChildren(tid)
		if r.kids < 0 || err != nil || slices.Contains(kids, pid) {
			return true
		}
	}
	return false
}

func threadChildren(tid int) ([]int, error) {
	fd, err := unix.Open("/proc/self/task/"+strconv.Itoa(tid)+"/children", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return readChildren(fd, nil), nil
}

// flightPause is how long a zombie waits for another try, if no Spawn ends earlier.
const flightPause = 5 * time.Millisecond

// standBy serves the known children while a zombie is postponed, as waitid(P_ALL) would
// show that zombie for ever, or while an orphan is in the middle of its exec. It
// returns when these can be judged, and none of its wake-ups happens otherwise.
func (r *Reaper) standBy() {
	for r.isUnsettled() {
		pause := time.NewTimer(flightPause)
		select {
		case <-r.wake:
		case <-pause.C:
		}
		pause.Stop()
		r.retry()
		r.takeKnown()
		r.settlePending()
		r.flush()
	}
}

func (r *Reaper) isUnsettled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for pid, since := range r.unread {
		if len(r.pending) == 0 || time.Since(since) > 2*execPatience { // nobody asks, or listed no more
			delete(r.unread, pid)
		}
	}
	return len(r.postponed)+len(r.unread) > 0 && !r.closed
}

// retry takes the postponed zombies that can be judged now; the others are postponed
// again by takeUnknown. The set is made anew each time, as a pid of it may be reaped
// by its Spawn and be reused.
func (r *Reaper) retry() {
	r.mu.Lock()
	pids := r.postponed
	r.postponed = nil
	r.mu.Unlock()
	for pid := range pids {
		r.takeUnknown(pid)
	}
}

// takeKnown takes the dead among those that are certainly not of a flight.
func (r *Reaper) takeKnown() {
	r.mu.Lock()
	pids := make([]int, 0, len(r.live)+len(r.leftovers))
	for pid := range r.live {
		pids = append(pids, pid)
	}
	for pid := range r.leftovers {
		pids = append(pids, pid)
	}
	r.mu.Unlock()
	for _, pid := range pids {
		p, err := proc.Peek(unix.P_PID, pid, r.waitFlags()|unix.WNOHANG)
		if err == nil && p.PID == pid {
			r.take(p)
		}
	}
}
