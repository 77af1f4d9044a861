package fleet

import (
	"fmt"

	"github.com/procguard/procguard/state"
)

// unit names what makes progress together: ranks of a group do, everybody else
// does alone.
func (w *Worker) unit() string {
	if w.Ranked {
		return state.RankUnit(w.Group)
	}
	return w.ID
}

func (w *worker) unit() string { return w.spec.unit() }

// track is what is on record of w's unit.
func (f *Fleet) track(w *worker) state.Track {
	if t := f.snap.Tracks[w.unit()]; t != nil {
		return *t
	}
	return state.Track{}
}

// furthest is the greatest step that w's unit has ever made, 0 if it tells none.
func (f *Fleet) furthest(w *worker) int64 { return max(f.steps[w.unit()], f.track(w).Step) }

// onProgressed: a greater step than this process's last one restarts the clock;
// a greater one than ever is progress. A smaller one begins a new count, such as
// that of an epoch.
func onProgressed(f *Fleet, w *worker, e Event) {
	step := e.(Progressed).Step
	grew := step > w.step
	w.step = step
	if grew && w.state == running {
		f.relent(w, evProgressed)
		f.stepAfter(w)
		if !w.beatBy.IsZero() && w.patience() > 0 {
			w.beatBy = later(w.beatBy, f.now.Add(w.patience()))
		}
		f.watch(w)
	}
	if step > f.furthest(w) {
		f.further(w, step)
	}
}

// onLastStep: what is saved on the way down is progress as well. A hang whose
// every stop saves a few more steps gets somewhere.
func onLastStep(f *Fleet, w *worker, e Event) {
	if w.step = e.(Progressed).Step; w.step > f.furthest(w) {
		f.further(w, w.step)
	}
}

// further is progress: whoever makes it gets a whole budget, and the row of
// failures is over. There is a record only if that changes anything.
func (f *Fleet) further(w *worker, step int64) {
	f.steps[w.unit()] = step
	for _, m := range w.g.members {
		mine := m == w || (w.spec.Ranked && m.spec.Ranked)
		if mine && !m.d.Excluded && (m.d.BudgetUsed > 0 || (m == w && f.track(w).Count > 0)) {
			f.record(state.Record{Kind: state.KindProgress, Worker: m.spec.ID, Unit: w.unit(), Step: step})
		}
	}
}

// counts says that a failure of this kind, again and again, is a lack of
// progress. Failed starts are bounded by max_restarts; what somebody else
// brought about says nothing about the work.
func (f *Fleet) counts(c state.Cause) bool {
	switch c.Class {
	case state.ClassRuntime, state.ClassHang, state.ClassLimit:
		return f.spec.Recovery.SameFailures > 0 && f.spec.Recovery.Auto
	}
	return false
}

// inARow is how often w's unit has failed like this, with this time.
func (f *Fleet) inARow(w *worker, c state.Cause) int {
	if t := f.track(w); t.Signature == c.Signature {
		return t.Count + 1
	}
	return 1
}

// stalled is why the run ends because w makes no progress, "" if it does not:
// where the others can do without w, its budget decides, as ever.
func (f *Fleet) stalled(w *worker) string {
	t, limit := f.track(w), f.spec.Recovery.SameFailures
	if limit <= 0 || t.Count < limit || w.d.Excluded || !f.missed(w) {
		return ""
	}
	since := ""
	if t.Step > 0 {
		since = fmt.Sprintf(", no step beyond %d", t.Step)
	}
	return fmt.Sprintf("no progress: %s failed %d times in a row in the same way (%s)%s", w.who(), t.Count, t.Signature, since)
}

func (w *worker) who() string {
	if w.spec.Ranked {
		return w.unit() + ", last " + w.spec.ID + ","
	}
	return "worker " + w.spec.ID
}

// willBeStalled says that one more failure like c is the last.
func (f *Fleet) willBeStalled(w *worker, c state.Cause) bool {
	return f.counts(c) && !f.recovered(w) && f.inARow(w, c) >= f.spec.Recovery.SameFailures && f.missed(w)
}

// missed says that w's group could not go on if w were excluded.
func (f *Fleet) missed(w *worker) bool {
	if f.spareFor(w) != nil {
		return false
	}
	defer func(was bool) { w.d.Excluded = was }(w.d.Excluded)
	w.d.Excluded = true
	return f.unviable(w.g) != ""
}
