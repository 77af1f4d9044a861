package reaper

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/proc"
)

// watched is a process that is not our child, seen through a pidfd or, without one, by
// polling: an adopted worker, or a leftover whose parent lives.
type watched struct {
	c      *child
	pid    int
	ticks  uint64 // start time, for polling
	leader bool
	cgroup bool // the descriptor is that of c's cgroup.events
}

// watch adds a pidfd to the epoll set; the first one starts the watch. mu is held. The
// epoll descriptor is itself polled by the runtime, so the watch costs a goroutine
// and no thread, and closing the file ends it.
func (r *Reaper) watch(fd int, w *watched) error {
	if r.closed {
		return ErrClosed
	}
	if r.epoll == nil {
		if err := r.startWatch(); err != nil {
			return err
		}
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(fd)}
	if w.cgroup {
		ev.Events = unix.EPOLLPRI | unix.EPOLLONESHOT
	}
	var err error
	ctlErr := r.controlEpoll(func(ep uintptr) {
		err = unix.EpollCtl(int(ep), unix.EPOLL_CTL_ADD, fd, &ev)
	})
	if ctlErr != nil || err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	r.watched[int32(fd)] = w
	return nil
}

func (r *Reaper) controlEpoll(f func(uintptr)) error {
	rc, err := r.epoll.SyscallConn()
	if err != nil {
		return err
	}
	return rc.Control(f)
}

func (r *Reaper) startWatch() error {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(ep, true); err != nil {
		_ = unix.Close(ep)
		return err
	}
	r.epoll, r.watchDone = os.NewFile(uintptr(ep), "pidfds"), make(chan struct{})
	go r.watchLoop(r.epoll)
	return nil
}

// stopWatch ends the watch and closes all pidfds. mu is held.
func (r *Reaper) stopWatch() {
	if r.epoll == nil {
		return
	}
	_ = r.epoll.Close()
	for fd, w := range r.watched {
		if !w.leader && !w.cgroup {
			_ = unix.Close(int(fd))
		}
	}
	clear(r.watched)
	for _, c := range r.all {
		c.closePidfd()
	}
}

func (r *Reaper) watchLoop(ep *os.File) {
	defer close(r.watchDone)
	rc, err := ep.SyscallConn()
	if err != nil {
		return
	}
	events := make([]unix.EpollEvent, 128)
	for {
		n := 0
		err := rc.Read(func(fd uintptr) bool {
			n, _ = unix.EpollWait(int(fd), events, 0)
			return n > 0
		})
		if err != nil {
			return // closed
		}
		r.seen(events[:n])
		r.settle(false)
		r.flush()
	}
}

// seen takes deaths of watched processes. The waiter may settle at the same time: the
// last look and the decision are one hold of mu, and who is reported is forgotten.
func (r *Reaper) seen(events []unix.EpollEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	for _, ev := range events {
		w := r.watched[ev.Fd]
		if w == nil {
			continue
		}
		if w.cgroup {
			r.unwatchCgroup(w.c) // the look that follows asks, and watches again if need be
			continue
		}
		delete(r.watched, ev.Fd)
		if w.leader {
			r.unwatch(int(ev.Fd))
			r.leaderGone(w.c)
			continue
		}
		_ = unix.Close(int(ev.Fd))
		r.strayGone(w)
	}
}

func (r *Reaper) strayGone(w *watched) {
	delete(w.c.strays, w.pid)
	w.c.killed = append(w.c.killed, w.pid)
	r.stats.Leftovers++
}

// leaderGone buries an adopted process; its own parent reaps it. The pidfd stays open
// until forget, as the group number is checked against it.
func (r *Reaper) leaderGone(c *child) {
	c.exit = c.newExit()
	c.exit.Unknown = true
	r.killCgroup(c)
	r.died(c)
}

// unwatch takes a pidfd that stays open out of the epoll set.
func (r *Reaper) unwatch(fd int) {
	_ = r.controlEpoll(func(ep uintptr) {
		_ = unix.EpollCtl(int(ep), unix.EPOLL_CTL_DEL, fd, nil)
	})
}

// track searches all processes for leftovers of c that are not our children, kills
// them and watches them die; it returns how many are alive. mu is held. It
// looks at everything, so it is for adopted workers and odd cases only.
func (r *Reaper) track(c *child) int {
	if !r.proc {
		return r.groupMembers(c)
	}
	// A leftover may fork between being found and being killed: look until a search
	// finds nobody new. What the last round missed is found when a stray dies.
	for range maxRounds {
		if r.trackOnce(c) == 0 {
			break
		}
	}
	return len(c.strays)
}

func (r *Reaper) groupMembers(c *child) int {
	if c.group != 0 && unix.Kill(-c.group, 0) != unix.ESRCH {
		return 1
	}
	return 0
}

// trackOnce returns how many new leftovers it found.
func (r *Reaper) trackOnce(c *child) int {
	found := 0
	for _, pid := range listProcs() {
		if pid == os.Getpid() || r.live[pid] != nil || c.strays[pid] || !r.isLeftover(c, pid) {
			continue
		}
		if r.trackPid(c, pid) {
			found++
		}
	}
	return found
}

func (r *Reaper) isLeftover(c *child, pid int) bool {
	st, err := proc.ReadStat(pid)
	if err != nil || ended(pid, st.State) {
		return false
	}
	if c.group != 0 && (st.Group == c.group || c.session && st.Session == c.group) {
		return true
	}
	if k := r.kin[pid]; k.c == c && k.ticks == st.Start {
		return true
	}
	if c.instance == "" {
		return false
	}
	values, _ := readMarkers(pid, r.opt.Marker)
	return slices.Contains(values, c.instance)
}

// trackPid holds the process before it looks again: the pid may be another's by now.
func (r *Reaper) trackPid(c *child, pid int) bool {
	fd, err := pidfdOpen(pid, 0)
	if err != nil {
		return !noProcess(err) && r.pollPid(c, pid)
	}
	if !r.isLeftover(c, pid) || r.watch(fd, &watched{c: c, pid: pid}) != nil {
		_ = unix.Close(fd)
		return false
	}
	if c.strays == nil {
		c.strays = map[int]bool{}
	}
	c.strays[pid] = true
	r.noteDescent(c, pid)
	_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	return true
}

// pollDead says whether the process of a pidfd has ended.
func pollDead(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(p, 0)
	return err == nil && n == 1
}
