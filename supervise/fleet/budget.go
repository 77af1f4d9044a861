package fleet

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"time"

	"github.com/procguard/procguard/state"
)

// charge records a failure against w's budget, whole again if w had been well
// for long enough, and numbers the incident.
func (f *Fleet) charge(w *worker, c state.Cause, incident uint64) {
	f.refill(w)
	if !f.spec.Recovery.Auto && f.spent(w) {
		// Nobody restarts w at the cost of its budget while recovery is off; it
		// must not be found used up when recovery is switched on.
		f.record(state.Record{Kind: state.KindRefill, Worker: w.spec.ID})
	}
	r := state.Record{Kind: state.KindFailure, Worker: w.spec.ID, Gen: w.d.Generation, Cause: &c, Incident: incident}
	r.Unit, r.Step = w.unit(), f.furthest(w)
	if f.counts(c) {
		r.Count = f.inARow(w, c)
	}
	if r.Step == 0 && r.Count == 0 {
		r.Unit = ""
	}
	f.record(r)
}

// refill is called when a process ends, or is asked to: its health is known
// then, and the time until the next one must not count.
func (f *Fleet) refill(w *worker) {
	if f.refilled(w) {
		f.record(state.Record{Kind: state.KindRefill, Worker: w.spec.ID})
	}
	if f.recovered(w) && f.track(w).Count > 0 {
		f.record(state.Record{Kind: state.KindProgress, Worker: w.spec.ID, Unit: w.unit()})
	}
	w.ready = time.Time{}
}

// refilled says that this process has earned a whole budget.
func (f *Fleet) refilled(w *worker) bool { return w.d.BudgetUsed > 0 && f.sound(w) }

// recovered says that this process has ended a row of failures by a long life.
// Whoever tells its steps is taken at its word instead: an hour of repeating the
// same ones is no progress.
func (f *Fleet) recovered(w *worker) bool { return f.sound(w) && f.furthest(w) == 0 }

// sound says that this process was ready, and well, for reset_after. The time in
// which a hang was found does not count, or a slow check would make every hang
// look like a long life.
func (f *Fleet) sound(w *worker) bool {
	after, until := w.spec.Backoff.ResetAfter, f.now
	if w.verdict != nil && w.verdict.sick.Before(until) {
		until = w.verdict.sick
	}
	return after > 0 && !w.ready.IsZero() && until.Sub(w.ready) >= after
}

// spent says that w may not be started again.
func (f *Fleet) spent(w *worker) bool {
	return w.d.BudgetUsed > 0 && (w.spec.Restart == Never || w.d.BudgetUsed > w.spec.MaxRestarts)
}

// willBeSpent says that one more failure uses up w's budget.
func (f *Fleet) willBeSpent(w *worker) bool {
	return w.spec.Restart == Never || (w.d.BudgetUsed+1 > w.spec.MaxRestarts && !f.refilled(w)) || w.spec.MaxRestarts == 0
}

// backoff is how long w waits before its next start. The jitter is drawn from
// the worker's id and generation, so that the same history gives the same wait
// and the ranks of a large job still spread.
func (f *Fleet) backoff(w *worker) time.Duration {
	b := w.spec.Backoff
	d := float64(w.spec.RestartDelay)
	if n := w.d.BudgetUsed - 1; n > 0 && b.Factor > 1 {
		d *= math.Pow(b.Factor, float64(n))
	}
	if b.Max > 0 {
		d = min(d, float64(max(b.Max, w.spec.RestartDelay)))
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%d", w.spec.ID, w.d.Generation)
	d *= 1 + b.Jitter*(float64(h.Sum64()%2001)/1000-1)
	return time.Duration(min(d, float64(math.MaxInt64/4)))
}

// exclude takes w out for good. A spare of its type takes its place and tasks.
func (f *Fleet) exclude(w *worker) {
	why := fmt.Sprintf("max_restarts (%d) used up, last: %s", w.spec.MaxRestarts, w.d.LastError)
	if w.spec.Restart == Never {
		why = "restart: never, failed: " + w.d.LastError
	}
	f.record(state.Record{Kind: state.KindExclude, Worker: w.spec.ID, Why: why})
	f.enter(w, excluded)
	f.note(w, Note{Kind: NoteExcluded, Text: why})
	if spare := f.spareFor(w); spare != nil {
		f.replace(w, spare)
	}
}

// spareFor is a standby that could take w's place, nil if there is none.
func (f *Fleet) spareFor(w *worker) *worker {
	for _, m := range w.g.members {
		if m.d.Standby && !m.d.Held && m.state == idle && m.spec.Type == w.spec.Type && m.spec.Ranked == w.spec.Ranked {
			return m
		}
	}
	return nil
}

func (f *Fleet) replace(w, spare *worker) {
	f.count(spare, -1)
	f.record(state.Record{Kind: state.KindActivate, Worker: spare.spec.ID})
	f.count(spare, +1)
	f.note(spare, Note{Kind: NoteStandby, Text: w.spec.ID})
	if len(w.d.AssignedTasks) > 0 {
		f.move(w, map[string]string{}, w.d.AssignedTasks, spare.spec.ID)
	}
}

// unviable says why a group cannot go on without its excluded members, or "".
func (f *Fleet) unviable(g *group) string {
	lost, ranks := map[string]int{}, 0
	var last *worker
	for _, m := range g.members {
		switch {
		case m.d.Excluded:
			if last == nil || g.blames(m) {
				last = m
			}
			if !m.spec.Ranked {
				lost[m.spec.Type]++
			}
		case m.spec.Standby && !m.d.Standby && !m.spec.Ranked:
			lost[m.spec.Type]--
		}
		if m.spec.Ranked && f.fit(m) {
			ranks++
		}
	}
	if last == nil {
		return ""
	}
	if least := f.minRanks(g); ranks < least {
		return fmt.Sprintf("worker %s: %s; %d ranks are left, %d are needed", last.spec.ID, last.d.LastError, ranks, least)
	}
	for _, m := range slices.Concat(g.culprits, g.members) { // the newest loss is the reason
		if m.d.Excluded && lost[m.spec.Type] > 0 && !f.covered(g, m.spec.Type) && !f.spared(m) {
			return fmt.Sprintf("worker %s: %s; nobody can take its place", m.spec.ID, m.d.LastError)
		}
	}
	return ""
}

// spared says that w's entry can do with those that are left of it.
func (f *Fleet) spared(w *worker) bool {
	left := 0
	for _, m := range w.g.members {
		if m.spec.Entry == w.spec.Entry && f.fit(m) {
			left++
		}
	}
	return w.spec.Least > 0 && left >= w.spec.Least && !f.hasTasks(w.spec.Type)
}

func (f *Fleet) hasTasks(typ string) bool {
	return slices.ContainsFunc(f.spec.Tasks, func(t Task) bool { return t.Type == typ })
}

// covered says that the work of a type consists of tasks, and that somebody is
// left to do them.
func (f *Fleet) covered(g *group, typ string) bool {
	if !f.hasTasks(typ) || !f.spec.Recovery.Reassign {
		return false
	}
	for _, m := range g.members {
		if m.spec.Type == typ && f.fit(m) {
			return true
		}
	}
	return false
}

func (f *Fleet) minRanks(g *group) int {
	if n, ok := f.spec.MinRanks[g.name]; ok {
		return n
	}
	n := 0
	for _, m := range g.members {
		if m.spec.Ranked && !m.spec.Standby {
			n++
		}
	}
	return n
}
