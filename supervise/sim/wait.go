package sim

import (
	"time"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/fleet"
)

// persist writes records and begins to wait for the disk, if that takes time.
// It is false if ProcGuard did not survive it.
func (w *world) persist(p fleet.Persist) bool {
	if w.tracing() {
		for i := range p.Records {
			w.tracef("  + %s", recordLine(&p.Records[i]))
		}
	}
	if w.opt.CrashAt == 0 && w.chance(w.faults.tear) && !w.calm {
		w.write(p.Records[:w.IntN(len(p.Records)+1)])
		w.crash(w.chance(w.faults.host))
		return false
	}
	if at := w.opt.CrashAt - w.crossed; at > 0 && at <= len(p.Records) {
		w.write(p.Records[:at-1])
		w.crossed += at
		w.crash(w.opt.Host)
		return false
	}
	w.crossed += len(p.Records)
	w.write(p.Records)
	if p.Sync && !w.guard.degraded {
		w.sync()
	}
	return true
}

func (w *world) write(recs []state.Record) {
	if err := w.disk.write(recs); err != nil {
		w.failf("journal: %v", err)
	}
}

// sync waits for the disk, but not for ever.
func (w *world) sync() {
	d, g := &w.disk, w.guard
	at := max(w.now, d.badUntil)
	if w.faults.disk > 0 {
		at += w.within(w.faults.disk)
	}
	switch {
	case at == w.now:
		d.durable = d.length
	case at-w.now <= syncTimeout:
		g.blocked = true
		w.queue.push(job{at: at, deed: deedSynced, life: g.life})
		w.queue.push(job{at: at, deed: deedResume, life: g.life})
	default:
		g.blocked, g.degraded = true, true
		w.later(syncTimeout, job{deed: deedResume, life: g.life})
		w.queue.push(job{at: at, deed: deedSynced, life: g.life})
	}
}

// synced: the disk has caught up, unless it has gone bad once more.
func (w *world) synced() {
	if w.guard.degraded && w.disk.badUntil > w.now {
		w.queue.push(job{at: w.disk.badUntil, deed: deedSynced, life: w.guard.life})
		return
	}
	w.disk.durable = w.disk.length
	w.guard.degraded = false
}

// resume goes on after a wait.
func (w *world) resume() {
	g := w.guard
	recs, acts := g.recs, g.next
	g.blocked, g.recs, g.next = false, nil, nil
	w.carryOut(recs, acts)
	w.pump()
}

// arm sets the loop's one timer.
func (w *world) arm() {
	g := w.guard
	at, ok := g.f.Deadline()
	if !ok || g.blocked {
		return
	}
	due := max(at.Sub(w.origin()), w.now)
	if g.ticking && g.timer <= due {
		return
	}
	g.ticking, g.timer = true, due
	late := time.Duration(0)
	if w.chance(0.1) {
		late = w.lag()
	}
	w.queue.push(job{at: due + late, deed: deedTick, life: g.life})
}

func (w *world) tick() {
	g := w.guard
	g.ticking = false
	if at, ok := g.f.Deadline(); ok && !g.blocked && !at.After(w.clock()) {
		g.inbox = append(g.inbox, fleet.Tick{})
	}
	w.pump()
}
