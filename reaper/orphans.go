package reaper

import (
	"os"

	"github.com/procguard/procguard/reaper/proc"
)

// children lists the orphans (and those workers that the main thread forked).
//
// The kernel walks the list in steps and can skip an entry when another one is
// reaped meanwhile. Only the waiter reaps, with mu held as here, except that a failed
// exec is reaped by its Spawn: with one of those under way the list is read twice.
func (r *Reaper) children() []int {
	if r.kids < 0 {
		return r.childrenByParent()
	}
	pids := r.siblings() // before the main thread's: they go there when theirs ends
	pids = readChildren(r.kids, pids)
	if len(r.flights) > 0 {
		pids = readChildren(r.kids, pids)
	}
	return pids
}

// siblings lists the children of the threads that forked the dead: a process made with
// CLONE_PARENT has the parent of its maker. The last child of a thread in flight is
// the one that is being started.
func (r *Reaper) siblings() (pids []int) {
	tids := map[int]bool{}
	for c := range r.pending {
		if c.tid == 0 || tids[c.tid] {
			continue
		}
		tids[c.tid] = true
		kids, _ := threadChildren(c.tid)
		if n := len(kids); n > 0 && r.flights[c.tid] {
			kids = kids[:n-1]
		}
		pids = append(pids, kids...)
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
