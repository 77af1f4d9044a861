package sim

import (
	"time"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/fleet"
)

// crash is the death of ProcGuard. With host its processes live on, else the
// container is gone with everything in it.
func (w *world) crash(host bool) {
	w.tracef("ProcGuard dies; host=%v", host)
	w.res.Crashes++
	w.guard = nil
	d := &w.disk
	keep := d.durable + w.IntN(d.length-d.durable+1)
	w.check.survive(d, keep)
	if err := d.cut(keep); err != nil {
		w.failf("the journal does not load: %v", err)
		return
	}
	w.check.reload(d.base)
	w.down(host)
}

// down waits for somebody to start ProcGuard again.
func (w *world) down(host bool) {
	if !host {
		w.wipe()
	}
	for _, p := range w.kern.all {
		p.life = 0
	}
	if w.chance(w.faults.edit) {
		w.configure(w.plan.edited(w.dice))
		w.edited = true
	}
	if !host || w.chance(0.3) {
		w.skew += w.between(-time.Hour, time.Hour)
	}
	w.later(w.between(0, 20*time.Second), job{deed: deedBoot})
}

// boundary is passed before each action, as others are before each record. It
// is true if ProcGuard dies there.
func (w *world) boundary() bool {
	w.crossed++
	if w.crossed != w.opt.CrashAt {
		return false
	}
	w.crash(w.opt.Host)
	return true
}

// boot starts ProcGuard, once all that it must not meet has been ended.
func (w *world) boot() {
	survivors, orphans := w.survivors()
	if orphans {
		w.later(100*time.Millisecond, job{deed: deedBoot})
		return
	}
	snap := w.disk.base.Clone()
	f, err := fleet.New(w.plan.spec, snap)
	if err != nil {
		w.failf("cannot start: %v", err)
		return
	}
	w.lives++
	end := w.disk.base.Finished
	w.guard = &guard{f: f, life: w.lives, before: end != nil && end.Code != 0}
	w.tracef("ProcGuard starts, %d survivors", len(survivors))
	w.check.booting(w.disk.base)
	w.guard.inbox = append(w.guard.inbox, fleet.Boot{Volume: "vol", Survivors: survivors})
	w.pump()
	if w.calm {
		w.quitBy = 0
	}
}

// survivors are the living leaders that the disk knows. All other remains are
// orphans, which are killed here.
func (w *world) survivors() (known []fleet.Survivor, orphans bool) {
	for _, p := range w.kern.all {
		d := w.disk.base.Workers[p.worker]
		if p.leader && d != nil && d.Generation == p.gen && w.workers[p.worker] != nil {
			known = append(known, fleet.Survivor{Worker: p.worker, Gen: p.gen, PID: p.pid, Ticks: uint64(p.pid) * 7})
			continue
		}
		orphans = true
		if !p.doomed {
			p.doomed = true
			w.kill(p)
		}
	}
	return known, orphans
}

// trouble is what befalls the machine on which all this runs.
func (w *world) trouble() {
	switch w.IntN(4) {
	case 0:
		w.disk.badUntil = w.now + w.between(0, 2*time.Second)
	case 1:
		w.disk.badUntil = w.now + w.between(time.Second, time.Minute)
	case 2:
		w.leap()
	case 3:
		w.stall()
	}
	w.tracef("trouble: disk bad until %v, clock off by %v", w.disk.badUntil, w.skew)
}

// leap moves the clock forward: a laptop that slept, a virtual machine that was
// moved. Within one life time never runs backwards.
func (w *world) leap() {
	w.skew += w.between(0, time.Minute)
	if w.guard != nil {
		w.guard.ticking = false
		w.arm()
	}
}

// stall keeps ProcGuard from running for a while.
func (w *world) stall() {
	if g := w.guard; g != nil && !g.blocked {
		g.blocked = true
		w.later(w.between(0, 10*time.Second), job{deed: deedResume})
	}
}

// disturb adds events of generations that are no more, as late messages and
// slow probes do.
func (w *world) disturb(e fleet.Event) {
	s, ok := e.(fleet.Started)
	if !ok || s.Gen < 2 || !w.chance(w.faults.stale) {
		return
	}
	id, old := s.Worker, s.Gen-1
	w.guard.inbox = append(w.guard.inbox, pick[fleet.Event](w.dice,
		fleet.Exited{Worker: id, Gen: old, Code: 1, Gone: true}, fleet.Gone{Worker: id, Gen: old},
		fleet.Ready{Worker: id, Gen: old}, fleet.Alive{Worker: id, Gen: old},
		fleet.SpawnFailed{Worker: id, Gen: old}, fleet.Started{Worker: id, Gen: old, PID: 1},
		fleet.Dumped{Worker: id, Gen: old}, fleet.Progressed{Worker: id, Gen: old, Step: 1 << 40}, fleet.Stopping{Worker: id, Gen: old},
		fleet.Judged{Worker: id, Gen: old, Cause: state.Cause{Kind: state.CauseZombie}}))
}

// judge has a living process convicted, rightly or wrongly.
func (w *world) judge(p *proc) {
	w.tell(p, fleet.Judged{Worker: p.worker, Gen: p.gen, Cause: state.Cause{Kind: pick(w.dice, state.CauseZombie, state.CauseUnresponsive, state.CauseMemory, state.CauseLog)}})
}

// command is the operator at the door.
func (w *world) command() {
	if w.guard == nil {
		return
	}
	w.res.Commands++
	id := w.plan.spec.Workers[w.IntN(len(w.plan.spec.Workers))].ID
	var e fleet.Event
	switch n := w.IntN(100); {
	case n < 25:
		e = fleet.StopWorker{Worker: id, Force: w.chance(0.3)}
	case n < 50:
		e = w.start(id)
	case n < 65:
		e = fleet.RestartWorker{Worker: id}
	case n < 72:
		e = fleet.RestartHealthy{Exclude: pick(w.dice, nil, []string{id}, []string{id, "nobody"})}
	case n < 82:
		e = fleet.Fail{Workers: []string{id}, Detail: "says the operator"}
	case n < 97:
		e = fleet.Reload{Spec: w.plan.edited(w.dice)}
	default:
		e = w.quit(w.chance(0.3))
	}
	w.queue.push(job{at: w.now, deed: deedDeliver, life: w.guard.life, event: e})
}

// start is for any worker, most of all for one that is held.
func (w *world) start(id string) fleet.Event {
	for _, s := range w.plan.spec.Workers {
		if st, ok := w.guard.f.Worker(s.ID); ok && st.Held && w.chance(0.5) {
			id = s.ID
			break
		}
	}
	return fleet.StartWorker{Worker: id}
}

func (w *world) quit(now bool) fleet.Event {
	w.guard.asked = true
	return fleet.StopFleet{Now: now}
}
