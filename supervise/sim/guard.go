package sim

import (
	"time"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/fleet"
)

// guard is one life of ProcGuard: the machine and a loop around it that does
// what the real one does.
type guard struct {
	f     *fleet.Fleet
	life  int
	inbox []fleet.Event
	head  int // inbox before this is taken

	blocked  bool           // waits for the disk, or was stalled
	recs     []state.Record // written; rule on them when the wait is over
	next     []fleet.Action // to be carried out then
	degraded bool           // the disk has not answered in time, and has not since
	timer    time.Duration  // of the earliest tick that is queued
	ticking  bool
	asked    bool // to stop everything
	stuck    bool // a worker could not be killed: the run ends, but not for good
	before   bool // the run before this one ended without success
}

// syncTimeout is how long the loop waits for the disk.
const syncTimeout = 500 * time.Millisecond

// watched says that a living ProcGuard looks after p.
func (w *world) watched(p *proc) bool { return w.guard != nil && p.life == w.guard.life }

// tell sends an event about p to whoever watches it. Events of one instance
// arrive in the order in which they happened.
func (w *world) tell(p *proc, e fleet.Event) {
	if w.watched(p) {
		w.tellAfter(p, w.lag(), e)
	}
}

func (w *world) tellAfter(p *proc, after time.Duration, e fleet.Event) {
	at := w.now + after
	if p != nil {
		at = max(at, p.told)
		p.told = at
	}
	w.queue.push(job{at: at, deed: deedDeliver, life: w.guard.life, event: e})
}

// take is the next event of the inbox; sometimes several as one. Commands and
// ticks come alone.
func (w *world) take(g *guard) fleet.Event {
	n := 1
	if waits := len(g.inbox) - g.head; waits > 1 && w.chance(0.5) {
		for n < min(waits, 1+w.IntN(64)) && joins(g.inbox[g.head+n-1]) && joins(g.inbox[g.head+n]) {
			n++
		}
	}
	part := g.inbox[g.head : g.head+n]
	g.head += n
	if g.head == len(g.inbox) {
		g.inbox, g.head = g.inbox[:0], 0
	}
	if n == 1 {
		return part[0]
	}
	return append(fleet.Batch{}, part...)
}

// joins says that an event may be part of a Batch.
func joins(e fleet.Event) bool {
	switch e.(type) {
	case fleet.Exited, fleet.Gone, fleet.Started, fleet.SpawnFailed, fleet.Ready, fleet.Alive, fleet.Judged,
		fleet.Cleared, fleet.Extended, fleet.Phased, fleet.Progressed, fleet.Stopping, fleet.Dumped:
		return true
	}
	return false
}

// pump lets the loop go on until it has to wait.
func (w *world) pump() {
	g := w.guard
	for g != nil && g == w.guard && !g.blocked && g.head < len(g.inbox) && w.res.Err == nil {
		w.step(w.take(g))
	}
	if g != nil && g == w.guard {
		w.arm()
	}
}

// step gives the machine one event and carries out what it decides.
func (w *world) step(e fleet.Event) {
	g := w.guard
	w.count(e)
	if w.tracing() {
		w.tracef("> %T%+v", e, e)
	}
	acts := w.decide(g, e)
	if w.opt.Tamper != nil {
		acts = w.opt.Tamper(acts)
	}
	var recs []state.Record
	if len(acts) > 0 {
		if p, ok := acts[0].(fleet.Persist); ok {
			recs, acts = p.Records, acts[1:]
			if !w.persist(p) {
				return
			}
		}
	}
	if g.blocked {
		g.recs, g.next = recs, acts
		return
	}
	w.carryOut(recs, acts)
}

// decide is Step; a configuration that it takes over is the world's from then on.
func (w *world) decide(g *guard, e fleet.Event) []fleet.Action {
	w.check.amnesty = false
	switch e := e.(type) {
	case fleet.Reload:
		if g.f.CanReload(e.Spec) == nil {
			w.configure(e.Spec)
			w.edited = true
		}
		w.check.amnesty = w.edited
	case fleet.Boot:
		w.check.amnesty = w.edited
	case fleet.StartWorker:
		w.check.pardon(e.Worker)
	case fleet.RestartWorker:
		w.check.pardon(e.Worker)
	}
	return g.f.Step(w.clock(), e)
}

// carryOut does what a step has decided, and holds it against the rules.
func (w *world) carryOut(recs []state.Record, acts []fleet.Action) {
	g := w.guard
	w.check.follow(recs)
	for _, a := range acts {
		if w.res.Err != nil || g != w.guard {
			return
		}
		if _, talk := a.(fleet.Emit); !talk && !w.begins(a) {
			return
		}
		w.act(a)
	}
	if g != w.guard {
		return
	}
	w.check.upTo("", 0)
	w.check.settleClaims()
	w.edited = false
	w.check.often()
}

// begins is false if ProcGuard dies before it can do a.
func (w *world) begins(a fleet.Action) bool {
	if w.tracing() {
		w.tracef("  ! %T%+v", a, a)
	}
	if w.boundary() {
		return false
	}
	w.check.justified(a)
	return true
}

func (w *world) act(a fleet.Action) {
	switch a := a.(type) {
	case fleet.Spawn:
		w.check.spawn(a)
		w.spawn(a)
	case fleet.Adopt:
		w.adopt(a)
	case fleet.Signal:
		if p := w.check.target(a.Worker, a.Gen); p != nil {
			w.signal(p, a.Signal, a.Group)
		}
	case fleet.Kill:
		if p := w.check.target(a.Worker, a.Gen); p != nil {
			w.kill(p)
		}
	case fleet.Retask:
		w.retask(a)
	case fleet.Dump:
		w.dump(a)
	case fleet.Emit:
		w.check.note(&a.Note)
	case fleet.Exit:
		w.exited(a)
	default:
		w.failf("unexpected action %T", a)
	}
}

func (w *world) adopt(a fleet.Adopt) {
	p := w.check.target(a.Worker, a.Gen)
	if p == nil || !p.leader {
		w.tellAfter(p, w.lag(), fleet.Exited{Worker: a.Worker, Gen: a.Gen, Lost: true, Gone: p == nil})
		if p != nil {
			p.life = w.guard.life
			w.kill(p)
		}
		return
	}
	p.life, p.adopted = w.guard.life, true
	if p.ready {
		w.tell(p, fleet.Ready{Worker: p.worker, Gen: p.gen})
	}
}

func (w *world) retask(a fleet.Retask) {
	p := w.check.target(a.Worker, a.Gen)
	if p == nil {
		return
	}
	p.tasks = p.tasks[:0:0]
	for _, t := range w.guard.f.Tasks(a.Worker) {
		p.tasks = append(p.tasks, t.TaskID)
	}
	w.check.retasked(p)
}
