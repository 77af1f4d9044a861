package reaper

import (
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
			r.decide(zombies || unread)
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

// A process in the middle of its exec shows no environment, mostly for some
// microseconds: the first looks wait for that. If the program comes from a slow file
// server it takes longer. Then the deaths are reported, and standBy looks again
// until it can be told whose it is, or for execPatience.
const (
	maxRounds    = 8
	unreadPause  = 100 * time.Microsecond
	execPatience = time.Second
)

// look goes once over the orphans and kills those that belong to a pending child. It
// says whether it saw unknown zombies (their own orphans may have come to us
// after the list was read) or processes with no readable environment. mu is held.
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
		case c == nil && known == isUnread:
			unread = r.isUndecided(pid) || unread
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
	r.noteDescent(c, pid)
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
	case c.left > 0 || len(c.strays) > 0 || doubt && !c.adopted || r.isPopulated(c):
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
	r.dropKin(c)
	r.unwatchCgroup(c)
	c.closePidfd()
}

func (c *child) closePidfd() {
	if c.pidfd >= 0 {
		_ = unix.Close(c.pidfd)
		c.pidfd = -1
	}
}
