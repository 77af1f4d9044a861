package reaper

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/proc"
)

// settle finds and kills what the dead left behind, then reports. The waiter calls it,
// and reaps in between; the watch calls it without: one goroutine reaps.
//
// Why it is complete: we are the reaper of all our descendants, so each living one
// has a chain of parents that ends in a child of ours. A dead worker's descendants are
// therefore below (or are) orphans re-parented to us, at the latest when what stands
// between has died, and that death is seen by the waiter, which settles again.
func (r *Reaper) settle(reap bool) {
	for round := 1; ; round++ {
		r.mu.Lock()
		zombies, unread := r.look(round >= maxRounds)
		if !zombies && !unread || round >= maxRounds || !reap && !unread {
			r.decide(zombies)
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		if unread {
			time.Sleep(unreadPause)
		}
		if reap {
			r.drain()
		}
	}
}

// A process in the middle of its exec shows no environment for some microseconds.
// So little patience is enough, and bounded: the waiter has others to serve.
const (
	maxRounds   = 8
	unreadPause = 100 * time.Microsecond
)

// look goes once over the orphans and kills those that belong to a pending child. It
// says whether it saw unknown zombies (their own orphans may have come to us
// after the list was read) or processes with no readable environment. On the last
// look the latter are taken for strangers. mu is held.
func (r *Reaper) look(last bool) (zombies, unread bool) {
	for c := range r.pending {
		c.left = 0
		r.checkReuse(c)
	}
	struck := map[int]bool{}
	for _, pid := range r.children() {
		if r.live[pid] != nil || len(r.pending) == 0 {
			continue
		}
		c, known := r.attribute(pid)
		switch {
		case c != nil && c.dead && !c.keep:
			r.condemn(c, pid, struck)
		case c == nil && known == isZombie:
			zombies = true
			if r.postponed != nil {
				// It stays for now. The next list is read after its death and has its
				// orphans, so it will be no cause for doubt then.
				r.postponed[pid] = true
			} else if !last {
				// There may be thousands behind it, in a storm. Reap, look again.
				return true, false
			}
		case c == nil && known == isUnread && last:
			r.orphans[pid] = ""
		case c == nil && known == isUnread:
			unread = true
		}
	}
	return zombies, unread
}

// checkReuse gives up a group number that a new process has. While a group or session
// has members its number is taken; a living process with the number of a reaped
// leader proves that the group has ended.
func (r *Reaper) checkReuse(c *child) {
	if c.group != 0 && unix.Kill(c.group, 0) != unix.ESRCH && !c.isZombieLeader() {
		r.dropGroup(c)
	}
}

// isZombieLeader: an adopted leader is reaped by its own parent, maybe late.
func (c *child) isZombieLeader() bool {
	if !c.adopted {
		return false
	}
	st, err := proc.ReadStat(c.PID)
	return err == nil && st.Start == c.StartTicks
}

func (r *Reaper) dropGroup(c *child) {
	if r.groups[c.group] == c {
		delete(r.groups, c.group)
	}
	c.group = 0
}

type known int

const (
	isKnown known = iota
	isZombie
	isUnread
)

// attribute says whose orphan pid is, alive or dead. Group and session come first:
// two system calls, and they work for a zombie. The marker is read once per orphan:
// as long as we have not reaped it its pid is its own, and what it inherited holds
// even if it drops its environment later.
func (r *Reaper) attribute(pid int) (*child, known) {
	if c := r.ownerOf(pid); c != nil {
		return c, isKnown
	}
	if _, seen := r.orphans[pid]; seen || !r.proc {
		return nil, isKnown
	}
	value, found := readMarkers(pid, r.opt.Marker)
	switch found {
	case envRead:
		return r.remember(pid, value), isKnown
	case envDenied:
		r.orphans[pid] = ""
		return nil, isKnown
	}
	switch {
	case r.postponed[pid]:
		return nil, isKnown
	case dead(pid):
		return nil, isZombie
	}
	return nil, isUnread
}

// remember keeps the first of an orphan's markers that is one of ours: its own, or one
// that a supervisor below us passed on.
func (r *Reaper) remember(pid int, values []string) *child {
	for _, v := range values {
		if c := r.instances[v]; c != nil {
			r.orphans[pid] = v
			return c
		}
	}
	r.orphans[pid] = ""
	return nil
}

// ownerOf is attribute without reading anything.
func (r *Reaper) ownerOf(pid int) *child {
	if c := r.leftovers[pid]; c != nil {
		return c
	}
	if sid, err := unix.Getsid(pid); err == nil {
		if c := r.groups[sid]; c != nil && c.session {
			return c
		}
	}
	if pgid, err := unix.Getpgid(pid); err == nil {
		if c := r.groups[pgid]; c != nil {
			return c
		}
	}
	if v := r.orphans[pid]; v != "" {
		return r.instances[v]
	}
	return nil
}

// condemn kills an orphan that belongs to c, and its group where that cannot hold
// anybody else. The pid is safe: only the waiter could reap it, and mu is held.
//
// A KILL to a group visits each member, so the work would be quadratic if each of them
// had it sent. An orphan is killed once, in the look that finds it; a group once
// per look (struck), as somebody of its session may have joined it since; and the
// worker's own group not at all: bury has killed it, atomically against fork.
func (r *Reaper) condemn(c *child, pid int, struck map[int]bool) {
	c.left++
	if r.leftovers[pid] == c {
		return
	}
	r.leftovers[pid] = c
	r.kill(pid)
	pgid, err := unix.Getpgid(pid)
	if err != nil || struck[pgid] || pgid == c.group && !c.adopted {
		return
	}
	if r.killableGroup(c, pid, pgid) {
		struck[pgid] = true
		r.kill(-pgid)
	}
}

// kill counts, as the cost of a sweep is the number of these calls.
func (r *Reaper) kill(pid int) {
	r.kills++
	_ = unix.Kill(pid, unix.SIGKILL)
}

// killableGroup says whether all members of an escapee's group descend from c: a group
// it leads, or one in a session that is neither ours nor another worker's.
// Group 0 and 1 are those of processes outside our namespace and of PID 1.
func (r *Reaper) killableGroup(c *child, pid, pgid int) bool {
	if pgid <= 1 || pgid == unix.Getpgrp() {
		return false
	}
	if o := r.groups[pgid]; o != nil && o != c {
		return false
	}
	if pgid == pid {
		return true
	}
	sid, err := unix.Getsid(pid)
	own, _ := unix.Getsid(0)
	o := r.groups[sid]
	return err == nil && sid != own && sid > 1 && (o == nil || o == c)
}

// decide reports the newly dead in the order of their deaths, then those of whom the
// last leftover has died meanwhile. In doubt nobody is declared gone; the
// zombie that caused the doubt brings the waiter back. mu is held.
func (r *Reaper) decide(doubt bool) {
	for _, c := range r.fresh {
		c.exit.Gone = r.isGone(c, doubt)
		c.exit.Leftovers = c.left + len(c.strays) + len(c.killed)
		c.reported = true
		e := c.exit
		r.queue = append(r.queue, event{exit: &e, to: c.to})
		if e.Gone {
			r.forget(c)
		}
	}
	r.fresh = r.fresh[:0]
	for c := range r.pending {
		if !r.isGone(c, doubt) {
			continue
		}
		r.queue = append(r.queue, event{to: c.to, gone: &Gone{
			PID: c.PID, ID: c.id, Gen: c.gen, Instance: c.instance, Killed: c.killed, Time: time.Now(),
		}})
		r.forget(c)
	}
}

func (r *Reaper) isGone(c *child, doubt bool) bool {
	switch {
	case c.keep:
		return true
	case c.left > 0 || len(c.strays) > 0 || doubt && !c.adopted:
		return false
	case !c.adopted && (c.group == 0 || unix.Kill(-c.group, 0) == unix.ESRCH):
		return true
	}
	// Somebody is in the group who is not below us, or c was not our child.
	return r.track(c) == 0
}

func (r *Reaper) forget(c *child) {
	delete(r.pending, c)
	delete(r.all, c.seq)
	if r.instances[c.instance] == c {
		delete(r.instances, c.instance)
	}
	r.dropGroup(c)
	c.closePidfd()
}

func (c *child) closePidfd() {
	if c.pidfd >= 0 {
		_ = unix.Close(c.pidfd)
		c.pidfd = -1
	}
}

// children lists the orphans (and those workers that the main thread forked).
//
// The kernel walks the list in steps and can skip an entry when another one is
// reaped meanwhile. Only the waiter reaps, with mu held as here, except that a failed
// exec is reaped by its Spawn: with one of those under way the list is read twice.
func (r *Reaper) children() []int {
	if r.kids < 0 {
		return r.childrenByParent()
	}
	pids := readChildren(r.kids, nil)
	if len(r.flights) > 0 {
		pids = readChildren(r.kids, pids)
	}
	return pids
}

// childrenByParent is for kernels without CONFIG_PROC_CHILDREN.
func (r *Reaper) childrenByParent() []int {
	if !r.proc {
		return nil
	}
	var pids []int
	self := os.Getpid()
	for _, pid := range listProcs() {
		if st, err := proc.ReadStat(pid); err == nil && st.PPID == self {
			pids = append(pids, pid)
		}
	}
	return pids
}
