package reaper

import (
	"time"

	"golang.org/x/sys/unix"
)

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
	if found != envEmpty {
		delete(r.unread, pid)
	}
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
	return r.kinsman(pid)
}

// isUndecided is false once an exec has taken too long: it is taken for a stranger's.
func (r *Reaper) isUndecided(pid int) bool {
	since, seen := r.unread[pid]
	switch {
	case !seen:
		r.unread[pid] = time.Now()
	case time.Since(since) > execPatience:
		delete(r.unread, pid)
		r.orphans[pid] = ""
		return false
	}
	return true
}
