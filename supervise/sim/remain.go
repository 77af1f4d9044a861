package sim

import (
	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/fleet"
)

// survive rules on records that a crash has left and that nothing had followed
// from yet: the next ProcGuard will go on from them.
func (c *checker) survive(d *disk, kept int) {
	for _, p := range c.retold {
		c.own(p)
	}
	c.recs, c.retold = nil, nil
	c.lost = d.base.Seq+uint64(kept) < c.needed
	d.each(kept, func(r *state.Record) {
		if r.Seq > c.seen {
			c.record(r)
		}
	})
}

// reload holds what came back from the disk against what had been done. Where
// the disk was known to be bad, what is on it is all that can be asked for.
func (c *checker) reload(s *state.Snapshot) {
	if !c.lost {
		c.remembered(s)
	}
	for id, b := range c.books {
		b.relearn(s.Workers[id], c.lost)
	}
	c.seen, c.needed, c.epoch = s.Seq, s.Seq, s.Epoch
	if c.lost {
		c.opened = s.Incidents
	}
}

// remembered: no budget, generation, epoch or exclusion was reset by a crash.
func (c *checker) remembered(s *state.Snapshot) {
	if s.Epoch < c.epoch {
		c.w.failf("after the crash it is epoch %d, it was %d", s.Epoch, c.epoch)
	}
	for id, b := range c.books {
		d := s.Workers[id]
		switch {
		case d == nil:
		case d.BudgetUsed < b.used:
			c.w.failf("worker %s: after the crash %d failures are known, %d were charged", id, d.BudgetUsed, b.used)
		case d.Generation < b.gen:
			c.w.failf("worker %s: after the crash generation %d is known, %d was spawned", id, d.Generation, b.gen)
		case b.excluded && !d.Excluded, b.held && !d.Held:
			c.w.failf("worker %s: after the crash it is not ruled out any more", id)
		}
	}
}

// relearn takes over what is on disk.
func (b *book) relearn(d *state.Worker, lost bool) {
	if d == nil {
		d = &state.Worker{}
	}
	b.used, b.excluded, b.held, b.written = d.BudgetUsed, d.Excluded, d.Held, d.Generation
	if lost {
		b.gen = d.Generation
	}
	// Whoever lives on although its failure was charged is not known to the next
	// ProcGuard as one that is being stopped; its death counts as another failure.
	b.failed = 0
	b.ready, b.readyAt = 0, 0
	if d.ReadyTime > 0 {
		b.ready, b.readyAt = d.Generation, int64(d.ReadyTime*1000)
	}
}

// booting takes over the phases of the chains that will be resumed.
func (c *checker) booting(s *state.Snapshot) {
	clear(c.phase)
	for g, r := range s.Recovery {
		c.phase[g] = r.Phase
		if len(r.Culprits) > 0 {
			c.opened = max(c.opened, r.Incident)
		}
	}
}

// exited rules on the end of a run, and starts another one now and then.
func (w *world) exited(a fleet.Exit) {
	g := w.guard
	w.res.Exits++
	w.tracef("exit %d: %s", a.Code, a.Why)
	if acts := g.f.Step(w.clock(), fleet.Tick{}); acts != nil {
		w.failf("something follows Exit: %v", acts)
	}
	w.check.upTo("", 0)
	w.check.leftovers(g.f)
	w.check.code(g, a)
	w.guard = nil
	if err := w.disk.cut(w.disk.length); err != nil {
		w.failf("the journal does not load: %v", err)
		return
	}
	w.check.reload(w.disk.base)
	if w.calm || w.res.Exits > 3 || w.chance(0.3) {
		w.over = true
		return
	}
	w.down(w.chance(w.faults.host))
}

// leftovers: nothing outlives Exit but what cannot be killed.
func (c *checker) leftovers(f *fleet.Fleet) {
	for _, p := range c.w.kern.all {
		if st, ok := f.Worker(p.worker); !ok || st.State != "stuck" {
			c.w.failf("generation %d of %s (%s) outlives Exit", p.gen, p.worker, st.State)
		}
	}
}

// code: 0 means that all is done or that somebody asked for the end.
func (c *checker) code(g *guard, a fleet.Exit) {
	s := g.f.Snapshot()
	why, bad := c.unfinished(g.f, s)
	switch {
	case a.Code != 0 && a.Code != 10 && a.Code != fleet.NoProgress:
		c.w.failf("exit code %d", a.Code)
	case a.Code == fleet.NoProgress && !g.before && !c.again:
		c.w.failf("exit code %d (%s) although nothing was repeated", a.Code, a.Why)
	case a.Code == 0 && bad && !g.asked:
		c.w.failf("exit code 0 (%s) although %s", a.Why, why)
	case a.Code == 10 && !bad && !g.before && !g.stuck:
		c.w.failf("exit code 10 (%s) although all is done", a.Why)
	case !g.asked && !g.stuck && (s.Finished == nil || s.Finished.Code != a.Code):
		c.w.failf("exit code %d, on record is %+v", a.Code, s.Finished)
	}
}

// unfinished says what is not as it should be at the end of a job.
func (c *checker) unfinished(f *fleet.Fleet, s *state.Snapshot) (string, bool) {
	for _, t := range s.Tasks {
		if t.Status != state.TaskDone {
			return "task " + t.TaskID + " is " + string(t.Status), true
		}
	}
	for g, r := range s.Recovery {
		if r.Phase == state.GaveUp {
			return "group " + g + " was given up", true
		}
	}
	for _, w := range f.Status().Workers {
		if w.State == "stuck" || w.State == "failed" || (w.State == "idle" && !w.Standby) {
			return "worker " + w.WorkerID + " is " + w.State, true
		}
	}
	return "", false
}
