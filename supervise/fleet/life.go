package fleet

import (
	"fmt"
	"time"

	"github.com/procguard/procguard/state"
)

// life is what a living process has said of itself, and until when it has to
// say something again. Another process begins with a new one.
type life struct {
	born    time.Time
	readyBy time.Time // of a start that has a deadline
	beatBy  time.Time // a heartbeat must have come; zero: not judged
	stepBy  time.Time // a greater step must have come; zero: not judged
	until   time.Time // the time that it asked for is over

	beaten   bool      // there was a heartbeat
	beat     time.Time // the last one; zero if the time since then says nothing about the next
	phase    string
	phaseFor time.Duration
	step     int64
	parting  bool // it has said that it ends by itself, before we stopped it
}

const (
	// longest is the most that a worker can ask for at a time; what is more is
	// taken for a mistake, and would overflow.
	longest = 7 * 24 * time.Hour
	// partingPhase is the phase of a worker that has said that it stops.
	partingPhase = "stopping"
)

// patience is how long the next heartbeat may take; 0 is for ever.
func (w *worker) patience() time.Duration {
	switch {
	case w.phase != "" && w.phaseFor > 0:
		return w.phaseFor
	case !w.spec.HeartbeatAuto:
		return w.spec.HeartbeatTimeout
	case w.d.HeartbeatMS == 0:
		return w.spec.StartupTimeout // too little is known
	}
	return max(w.spec.HeartbeatFloor, multiple*w.learned())
}

const (
	// multiple of the longest interval that a learned timeout is: the usual safe
	// choice for training jobs, whose slowest step is seldom five times slower
	// than their slowest one so far.
	multiple = 5
	// enough intervals make a measure.
	enough = 10
)

func (w *worker) learned() time.Duration { return time.Duration(w.d.HeartbeatMS) * time.Millisecond }

// learn takes the time since the last heartbeat for a measure. It is none if a
// phase or an asked-for time lay in between, or if we ourselves come late and do
// not know when the heartbeat came. A tenth more is not worth a record.
func (f *Fleet) learn(w *worker) {
	if !w.spec.HeartbeatAuto || w.beat.IsZero() || w.until.After(w.beat) || (w.state == running && f.late(w)) {
		return
	}
	gap := f.now.Sub(w.beat)
	if w.d.HeartbeatMS == 0 {
		w.gaps, w.widest = w.gaps+1, max(w.widest, gap)
		if w.gaps >= enough {
			f.learnt(w, w.widest)
		}
		return
	}
	if gap > w.learned()+w.learned()/10 {
		f.learnt(w, gap)
	}
}

func (f *Fleet) learnt(w *worker, gap time.Duration) {
	ms := max(1, (gap + time.Millisecond - 1).Milliseconds())
	f.record(state.Record{Kind: state.KindBeat, Worker: w.spec.ID, Millis: ms})
}

// late says that w's deadline went by and nobody was there to see it.
func (f *Fleet) late(w *worker) bool { return w.wake.index != 0 && f.now.Sub(w.wake.at) > pardon }

// onAlive: the first heartbeat starts the clock of the next one.
func onAlive(f *Fleet, w *worker, _ Event) {
	f.relent(w, evAlive)
	f.learn(w)
	w.beaten = true
	if w.phase == "" {
		w.beat = f.now
	}
	f.beatAfter(w, w.patience())
}

// beatAfter gives w so much time for its next sign; 0 is for ever.
func (f *Fleet) beatAfter(w *worker, d time.Duration) {
	w.beatBy = time.Time{}
	if d > 0 {
		w.beatBy = later(f.now.Add(d), w.until)
	}
	f.watch(w)
}

// stepAfter gives w its time for the next step, if it is to be judged by that.
func (f *Fleet) stepAfter(w *worker) {
	w.stepBy = time.Time{}
	if w.spec.ProgressTimeout > 0 && w.step > 0 && (w.phase == "" || w.phaseFor == 0) {
		w.stepBy = later(f.now.Add(w.spec.ProgressTimeout), w.until)
	}
}

// watch sets the alarm of a running worker to the first of its deadlines.
func (f *Fleet) watch(w *worker) {
	at := w.firstDeadline()
	if at.IsZero() {
		f.alarms.clear(&w.wake)
		return
	}
	f.alarms.set(&w.wake, at)
}

func (w *worker) firstDeadline() time.Time {
	if w.beatBy.IsZero() || (!w.stepBy.IsZero() && w.stepBy.Before(w.beatBy)) {
		return w.stepBy
	}
	return w.beatBy
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// pace gives w its whole time again for everything.
func (f *Fleet) pace(w *worker) {
	f.stepAfter(w)
	d := time.Duration(0)
	if w.beaten || w.phaseFor > 0 {
		d = w.patience()
	}
	f.beatAfter(w, d)
}

// silent is the verdict on a running worker whose deadline has come.
func (f *Fleet) silent(w *worker) {
	switch {
	case f.now.Sub(w.wake.at) > pardon:
		f.pace(w)
	case !w.beatBy.IsZero() && !w.beatBy.After(f.now):
		f.beatAfter(w, 0)
		c := state.Cause{Kind: state.CauseUnresponsive, Detail: w.silence()}
		f.accuse(w, bySilence, c, w.patience())
	default:
		w.stepBy = time.Time{} // until there is a step again, or another verdict that stood is taken back
		f.watch(w)
		c := state.Cause{Kind: state.CauseNoProgress, Detail: fmt.Sprintf("none for %s after step %d", w.spec.ProgressTimeout, w.step)}
		f.accuse(w, byStall, c, w.spec.ProgressTimeout)
	}
}

// silence says which time has run out.
func (w *worker) silence() string {
	d := w.patience()
	switch {
	case w.phase != "" && w.phaseFor > 0:
		return fmt.Sprintf("no sign of life for %s in its phase %s", d, w.phase)
	case !w.spec.HeartbeatAuto:
		return "no heartbeat for " + d.String()
	case w.d.HeartbeatMS == 0:
		return fmt.Sprintf("no heartbeat for %s (startup_timeout, until enough have been seen)", d)
	}
	return fmt.Sprintf("no heartbeat for %s (the longest time between two was %s)", d, w.learned())
}

// onPhased: a phase has its own time, from now on and from each heartbeat in it.
// Steps are not asked for meanwhile.
func onPhased(f *Fleet, w *worker, e Event) {
	f.relent(w, evPhased)
	w.enterPhase(e.(Phased))
	f.pace(w)
}

// onStartPhased: what lasts that long makes the start last at least as long.
func onStartPhased(f *Fleet, w *worker, e Event) {
	w.enterPhase(e.(Phased))
	f.longerStart(w, w.phaseFor)
}

func (w *worker) enterPhase(p Phased) {
	w.phase, w.phaseFor, w.beat = p.Name, 0, time.Time{}
	if p.Name == "" {
		return
	}
	if w.phaseFor = p.Timeout; p.Timeout <= 0 {
		w.phaseFor = w.spec.Phases[p.Name]
	}
	w.phaseFor = min(w.phaseFor, longest)
}

// onReadyAgain: whoever says that it is ready is in no phase any more.
func onReadyAgain(f *Fleet, w *worker, _ Event) {
	f.relent(w, evReady)
	if w.phase != "" {
		w.enterPhase(Phased{})
		f.pace(w)
	}
}

// onExtended moves the deadlines of a running worker. Until the time it asked
// for is over no heartbeat makes them earlier again.
func onExtended(f *Fleet, w *worker, e Event) {
	f.relent(w, evExtended)
	w.until = later(w.until, f.now.Add(clamp(e.(Extended).For)))
	if !w.beatBy.IsZero() {
		w.beatBy = later(w.beatBy, w.until)
	}
	if !w.stepBy.IsZero() {
		w.stepBy = later(w.stepBy, w.until)
	}
	f.watch(w)
}

func clamp(d time.Duration) time.Duration { return min(max(d, 0), longest) }

func onLongerStart(f *Fleet, w *worker, e Event) { f.longerStart(w, clamp(e.(Extended).For)) }

// longerStart moves the deadline of a start that has one, and gives the group
// that comes back the same time.
func (f *Fleet) longerStart(w *worker, d time.Duration) {
	if !w.spec.NeedsReady || w.spec.StartupTimeout <= 0 {
		return
	}
	w.readyBy = later(w.readyBy, f.now.Add(d))
	f.alarms.set(&w.wake, w.readyBy)
	if at := w.readyBy.Add(f.spec.Recovery.Timeout); w.g.deadline.index != 0 && at.After(w.g.deadline.at) {
		f.alarms.set(&w.g.deadline, at)
	}
}

// onLongerStop moves the end of the grace; what comes after it is no matter of
// the worker's wishes.
func onLongerStop(f *Fleet, w *worker, e Event) {
	if at := f.now.Add(clamp(e.(Extended).For)); w.rung == rungAsk && at.After(w.wake.at) {
		f.alarms.set(&w.wake, at)
	}
}

// onStopping: it ends by itself. A worker that is judged by its heartbeats has
// its startup_timeout for that, or what is configured for the phase "stopping".
func onStopping(f *Fleet, w *worker, _ Event) {
	f.relent(w, evStopping)
	w.parting = true
	w.enterPhase(Phased{Name: partingPhase})
	if w.phaseFor == 0 && w.beaten {
		w.phaseFor = w.spec.StartupTimeout
	}
	if w.state != running {
		return
	}
	w.stepBy = time.Time{}
	f.beatAfter(w, w.phaseFor)
}
