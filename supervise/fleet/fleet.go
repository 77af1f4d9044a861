package fleet

import (
	"fmt"
	"strings"
	"time"

	"github.com/procguard/procguard/state"
)

// Fleet is the machine. It must be used by one goroutine.
type Fleet struct {
	spec    Spec
	snap    *state.Snapshot
	workers map[string]*worker
	order   []*worker // in the order of the file
	groups  map[string]*group
	glist   []*group // in the order of first mention

	alarms alarms
	n      [nStates]int     // workers by state
	steps  map[string]int64 // greatest step of each unit, as far as it is not on record
	spares int              // idle standbys: the fleet may finish without them
	booted bool
	ending *ending // set once the whole fleet stops
	exited bool

	// what the current Step has decided
	now  time.Time
	recs []state.Record
	sync bool
	acts []Action

	again bool // the event is to be seen once more, by the state it has led to
}

// ending is why and how the fleet stops.
type ending struct {
	code  int
	why   string
	final bool // the job has ended; else it only rests until the next boot
	now   bool // no more patience

	killed []string // workers that had to be killed on the way
}

// New makes a machine that continues from snap, which it takes over: the caller
// must not use snap any more. The first event must be Boot.
func New(spec Spec, snap *state.Snapshot) (*Fleet, error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	if err := snap.Validate(); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	f := &Fleet{spec: spec, snap: snap, workers: map[string]*worker{}, groups: map[string]*group{}, steps: map[string]int64{}}
	return f, nil
}

// Step takes one event at time now and returns what is to be done, in order.
// The result is the caller's to keep.
func (f *Fleet) Step(now time.Time, e Event) []Action {
	if f.exited {
		return nil
	}
	f.now, f.recs, f.acts, f.sync = now, nil, nil, false
	f.take(e)
	f.finish()
	out := f.acts
	if len(f.recs) > 0 {
		out = append([]Action{Persist{Records: f.recs, Sync: f.sync}}, f.acts...)
	}
	f.recs, f.acts = nil, nil
	return out
}

func (f *Fleet) take(e Event) {
	if batch, ok := e.(Batch); ok {
		for _, one := range batch {
			f.take(one)
		}
		return
	}
	if boot, ok := e.(Boot); ok {
		f.boot(boot)
		return
	}
	if !f.booted {
		return
	}
	if id, gen, kind, ok := about(e); ok {
		if w := f.find(id, gen); w != nil {
			table[w.state][kind](f, w, e)
			if f.again {
				f.again = false
				table[w.state][kind](f, w, e)
			}
			f.settle(w)
		}
		return
	}
	f.command(e)
}

// find is the one place where events of an old generation, or of workers that
// are no more, are dropped.
func (f *Fleet) find(id string, gen uint64) *worker {
	w := f.workers[id]
	if w == nil || w.d.Generation != gen {
		return nil
	}
	return w
}

func (f *Fleet) command(e Event) {
	switch e := e.(type) {
	case Tick:
		f.tick()
	case StopFleet:
		f.stopFleet(e)
	case StartWorker:
		f.onWorker(e.Worker, f.startWorker)
	case StopWorker:
		f.onWorker(e.Worker, func(w *worker) { f.hold(w, e.Force) })
	case RestartWorker:
		f.onWorker(e.Worker, f.restartWorker)
	case RestartHealthy:
		f.restartHealthy(e.Exclude)
	case Fail:
		for _, id := range e.Workers {
			f.onWorker(id, func(w *worker) { f.report(w, e.Detail) })
		}
	case Reload:
		f.reload(e.Spec)
	}
}

func (f *Fleet) onWorker(id string, do func(*worker)) {
	if w := f.workers[id]; w != nil && f.ending == nil && w.then != forgotten {
		do(w)
		f.settle(w)
	}
}

// tick fires everything that is due.
func (f *Fleet) tick() {
	for a := f.alarms.due(f.now); a != nil; a = f.alarms.due(f.now) {
		a.fire(f)
	}
}

// Deadline is when Step wants a Tick; ok is false if never, as things are.
func (f *Fleet) Deadline() (at time.Time, ok bool) {
	if f.exited || len(f.alarms.list) == 0 {
		return time.Time{}, false
	}
	return f.alarms.list[0].at, true
}

// Snapshot is a copy of the durable truth.
func (f *Fleet) Snapshot() *state.Snapshot { return f.snap.Clone() }

// settle lets a worker's group, and the stop, go on as far as they can.
func (f *Fleet) settle(w *worker) { f.advance(w.g) }

// record makes r true and has it persisted. Apply refuses only what would be a
// bug in this package; there is no way to go on from that.
func (f *Fleet) record(r state.Record) {
	r.Seq, r.Time = f.snap.Seq+1, f.now.UnixMilli()
	if err := state.Apply(f.snap, &r); err != nil {
		panic("fleet: " + err.Error())
	}
	f.recs = append(f.recs, r)
	f.sync = f.sync || needsDisk(&r)
}

// durable are the kinds of records that must be on disk before what follows:
// those that say what is about to be done or what is used up. The others tell
// of facts, which a restarted ProcGuard finds out again.
var durable = map[state.Kind]bool{
	state.KindRun: true, state.KindSpawn: true, state.KindFailure: true, state.KindPhase: true,
	state.KindEpoch: true, state.KindAssign: true, state.KindSetAside: true, state.KindDone: true,
	state.KindExclude: true, state.KindActivate: true, state.KindHold: true, state.KindFinish: true,
	state.KindNotice: true,
}

// needsDisk: what a lost record costs. The last two phases are facts as well: a
// chain resumed there starts its members again, as after any crash.
func needsDisk(r *state.Record) bool {
	return durable[r.Kind] && (r.Kind != state.KindPhase || (r.Phase != state.Verify && r.Phase != state.Steady))
}

func (f *Fleet) act(a Action) { f.acts = append(f.acts, a) }

// note tells of w in its group; the incident is the group's while it recovers.
func (f *Fleet) note(w *worker, n Note) {
	n.Time = f.now
	if w != nil {
		n.Worker, n.Group, n.Epoch = w.spec.ID, w.g.name, f.snap.Epoch
		if n.Gen == 0 {
			n.Gen = w.d.Generation
		}
		if w.g.phase != state.Steady && n.Incident == 0 {
			n.Incident = w.g.incident
		}
	}
	f.act(Emit{n})
}

func (f *Fleet) alive() int {
	return f.n[spawning] + f.n[starting] + f.n[running] + f.n[suspect] + f.n[stopping] + f.n[sweeping]
}

// finish ends the run when nothing is left that could change.
func (f *Fleet) finish() {
	if !f.booted || f.exited || f.alive() > 0 {
		return
	}
	if f.ending == nil {
		rest := f.n[done] + f.n[excluded] + f.n[stuck] + f.spares
		if !f.spec.Recovery.Auto && f.n[failed] > 0 {
			rest += f.n[failed]
			if len(f.alarms.list) == 0 {
				rest += f.n[waiting] // for what has failed: nothing will wake them
			}
		}
		if rest < len(f.order) {
			return
		}
		f.ending = f.verdict()
	}
	f.exit()
}

// verdict judges a fleet in which everyone has come to an end.
func (f *Fleet) verdict() *ending {
	for _, w := range f.order {
		if w.state == failed {
			return &ending{code: 10, final: true, why: fmt.Sprintf("worker %s failed (%s) and enable_auto_recovery is off", w.spec.ID, w.d.LastError)}
		}
	}
	if why := f.unfinished(); why != "" {
		return &ending{code: 10, final: true, why: why}
	}
	return &ending{code: 0, final: true, why: "all work done"}
}

func (f *Fleet) exit() {
	end := f.ending
	why := end.why
	if len(end.killed) > 0 {
		why += "; had to be killed: " + strings.Join(end.killed, ", ")
	}
	if s := f.unkillable(); s != "" {
		end.code, why = 10, why+"; "+s
	}
	if end.final {
		f.record(state.Record{Kind: state.KindFinish, Code: end.code, Why: why})
	}
	f.note(nil, Note{Kind: NoteFinished, Code: end.code, Text: why})
	f.act(Exit{Code: end.code, Why: why})
	f.exited = true
}
