package sim

import (
	"time"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/fleet"
)

// book is what the world knows of a worker, from what was carried out.
type book struct {
	gen      uint64 // newest generation that was spawned
	written  uint64 // newest generation with a spawn record
	failed   uint64 // newest generation that was charged
	ready    uint64 // newest generation that was ready
	readyAt  int64  // milliseconds
	used     int    // of the budget
	excluded bool
	held     bool
	dumped   uint64 // newest generation of which evidence was asked for
	pardoned bool   // an operator has started it again
}

// checker holds what is done against the truth of the world.
type checker struct {
	w       *world
	books   map[string]*book
	phase   map[string]state.Phase
	given   map[string]*proc // task -> who was told to work on it last
	recs    []state.Record   // of this step, not yet ruled on
	retold  []*proc          // told of other tasks in this step
	seen    uint64           // Seq of the newest record ruled on
	needed  uint64           // Seq of the newest record that must be durable before anything else is done
	epoch   uint64
	opened  uint64 // newest incident that was acted upon
	lost    bool   // a crash took what had been acted upon, while the disk was known to be bad
	amnesty bool   // this step takes over another configuration: it may clear whom it rules out
	again   bool   // somebody has failed so often in the same way that the run may end for it
	checked int    // step of the last full check
}

func newChecker(w *world) checker {
	return checker{w: w, books: map[string]*book{}, phase: map[string]state.Phase{}, given: map[string]*proc{}}
}

func (c *checker) book(id string) *book {
	b := c.books[id]
	if b == nil {
		b = &book{}
		c.books[id] = b
	}
	return b
}

func (c *checker) pardon(id string) { c.book(id).pardoned = true }

// first are the records which what follows relies on: they say what is about to
// be done or what is used up. This is the world's own list, on purpose.
func first(r *state.Record) bool {
	switch r.Kind {
	case state.KindRun, state.KindSpawn, state.KindFailure, state.KindEpoch, state.KindAssign, state.KindSetAside,
		state.KindDone, state.KindExclude, state.KindActivate, state.KindHold, state.KindFinish, state.KindNotice:
		return true
	case state.KindPhase:
		return r.Phase == state.StopAll || r.Phase == state.Reassign || r.Phase == state.Restart || r.Phase == state.GaveUp
	}
	return false
}

// follow begins to rule on what was written, now that actions follow from it.
func (c *checker) follow(recs []state.Record) {
	c.recs = recs
	for i := range recs {
		if first(&recs[i]) {
			c.needed = recs[i].Seq
		}
	}
}

// upTo rules on records up to the spawn of an instance: those after it were
// decided later, by another event of the same batch maybe. Without a worker it
// rules on all that are left.
func (c *checker) upTo(worker string, gen uint64) {
	for len(c.recs) > 0 {
		r := &c.recs[0]
		c.recs = c.recs[1:]
		c.seen = r.Seq
		c.record(r)
		if worker != "" && r.Kind == state.KindSpawn && r.Worker == worker && r.Gen == gen {
			return
		}
	}
}

func (c *checker) record(r *state.Record) {
	switch r.Kind {
	case state.KindSpawn:
		c.spawnRecord(r)
	case state.KindReady:
		b := c.book(r.Worker)
		b.ready, b.readyAt = r.Gen, r.Time
	case state.KindFailure:
		c.failure(r)
	case state.KindRefill:
		c.refill(r)
	case state.KindProgress:
		c.progress(r)
	case state.KindNotice:
		c.notice(r)
	case state.KindHold:
		c.hold(r)
	case state.KindExclude:
		c.book(r.Worker).excluded = true
	case state.KindWorker, state.KindForget:
		c.member(r)
	case state.KindRun:
		for _, b := range c.books {
			b.used, b.excluded, b.held = 0, false, false
		}
	case state.KindEpoch:
		if r.Epoch <= c.epoch {
			c.w.failf("epoch %d follows %d", r.Epoch, c.epoch)
		}
		c.epoch = r.Epoch
	case state.KindPhase:
		c.phaseRecord(r)
	}
}

func (c *checker) spawnRecord(r *state.Record) {
	b := c.book(r.Worker)
	if r.Gen <= b.gen || r.Gen <= b.written {
		c.w.failf("worker %s: generation %d is written after %d", r.Worker, r.Gen, max(b.gen, b.written))
	}
	b.written = r.Gen
}

func (c *checker) failure(r *state.Record) {
	if r.Incident <= c.opened {
		c.w.failf("incident number %d is used again, %d was the last", r.Incident, c.opened)
	}
	c.opened = r.Incident
	c.judgedRight(r)
	b := c.book(r.Worker)
	b.used++
	s := c.w.workers[r.Worker]
	switch {
	case r.Gen == b.failed:
		c.w.failf("worker %s: generation %d is charged twice", r.Worker, r.Gen)
	case s != nil && b.used > s.MaxRestarts+1 && c.w.plan.spec.Recovery.Auto:
		c.w.failf("worker %s: %d failures charged, %d restarts allowed", r.Worker, b.used, s.MaxRestarts)
	}
	b.failed = r.Gen
}

// refill: only the process that was ready for reset_after earns it.
func (c *checker) refill(r *state.Record) {
	b, s := c.book(r.Worker), c.w.workers[r.Worker]
	switch {
	case !c.w.plan.spec.Recovery.Auto: // budgets do not matter
	case b.ready != b.written:
		c.w.failf("worker %s: budget refilled, but generation %d was never ready", r.Worker, b.written)
	case s != nil && time.Duration(r.Time-b.readyAt+1)*time.Millisecond < s.Backoff.ResetAfter:
		c.w.failf("worker %s: budget refilled %d ms after it was ready", r.Worker, r.Time-b.readyAt)
	}
	b.used = 0
}

func (c *checker) hold(r *state.Record) {
	b := c.book(r.Worker)
	b.held = r.Held
	if r.Held {
		return
	}
	if !b.pardoned && !c.amnesty && !c.lost {
		c.w.failf("worker %s: cleared although nobody asked for it", r.Worker)
	}
	b.used, b.excluded, b.pardoned = 0, false, false
}

// member: the configuration names a worker anew, or as another program, or not
// at all any more.
func (c *checker) member(r *state.Record) {
	b := c.book(r.Worker)
	b.used, b.excluded = 0, false
	if r.Kind == state.KindForget {
		b.held = false // whoever gets this name later is somebody else, but not another instance
	}
}

// phaseRecord: nothing comes back before all of the group is gone.
func (c *checker) phaseRecord(r *state.Record) {
	c.phase[r.Group] = r.Phase
	if r.Phase == state.Restart && c.w.plan.spec.Recovery.StopAll && c.w.kern.inGroup[r.Group] > 0 {
		c.w.failf("group %s comes back while %d of it live", r.Group, c.w.kern.inGroup[r.Group])
	}
}

// justified: what an action relies on is on disk, or the disk is known to be bad.
func (c *checker) justified(a fleet.Action) {
	if safe := c.w.disk.safe(); safe < c.needed && !c.w.guard.degraded {
		c.w.failf("%T is carried out before record %d is on disk (%d is)", a, c.needed, safe)
	}
}

func (c *checker) spawn(a fleet.Spawn) {
	c.upTo(a.Worker, a.Gen)
	w, b := c.w, c.book(a.Worker)
	s := w.workers[a.Worker]
	switch {
	case w.kern.of[a.Worker] != nil:
		w.failf("worker %s is spawned while generation %d of it lives", a.Worker, w.kern.of[a.Worker].gen)
	case b.written != a.Gen:
		w.failf("worker %s: generation %d is spawned, %d is on record", a.Worker, a.Gen, b.written)
	case a.Gen <= b.gen && !c.lost:
		w.failf("worker %s: generation %d is spawned after %d", a.Worker, a.Gen, b.gen)
	case b.excluded || b.held:
		w.failf("worker %s is spawned although it is ruled out", a.Worker)
	case s != nil && b.used > s.MaxRestarts && w.plan.spec.Recovery.Auto:
		w.failf("worker %s is spawned after %d failures, %d restarts allowed", a.Worker, b.used, s.MaxRestarts)
	case a.Epoch != c.epoch:
		w.failf("worker %s is spawned in epoch %d, it is %d", a.Worker, a.Epoch, c.epoch)
	case s != nil && w.plan.spec.Recovery.StopAll && (c.phase[s.Group] == state.StopAll || c.phase[s.Group] == state.Reassign):
		w.failf("worker %s is spawned while its group is %s", a.Worker, c.phase[s.Group])
	}
	b.gen = a.Gen
	c.claim(a.Tasks, nil)
}

// claim: nobody else who lives was told to work on these tasks.
func (c *checker) claim(tasks []string, p *proc) {
	for _, id := range tasks {
		other := c.given[id]
		if other == nil || other == p || !other.tree() {
			continue
		}
		for _, t := range other.tasks {
			if t == id {
				c.w.failf("task %s is given away while generation %d of %s works on it", id, other.gen, other.worker)
			}
		}
	}
}

// own notes what p was told to work on.
func (c *checker) own(p *proc) {
	for _, id := range p.tasks {
		c.given[id] = p
	}
}

// retasked: p was told of other tasks. Of two who live, the one that gets a task
// may be told a moment before the one that loses it, so this is ruled on when
// the step is over.
func (c *checker) retasked(p *proc) { c.retold = append(c.retold, p) }

func (c *checker) settleClaims() {
	for _, p := range c.retold {
		c.claim(p.tasks, p)
		c.own(p)
	}
	c.retold = c.retold[:0]
}

// target is the process that an action is about, nil if it is dead. An action
// about an instance that is not the worker's newest must never be.
func (c *checker) target(id string, gen uint64) *proc {
	if b := c.book(id); gen != b.gen {
		c.w.failf("worker %s: something is done to generation %d, the newest is %d", id, gen, b.gen)
		return nil
	}
	return c.w.kern.instance(id, gen)
}

// note counts the recoveries, and sees who could not be killed.
func (c *checker) note(n *fleet.Note) {
	switch {
	case n.Kind == fleet.NotePhase && n.Phase == state.Detected:
		c.w.res.Chains++
	case n.Kind == fleet.NoteStuck:
		c.w.guard.stuck = true
	}
}
