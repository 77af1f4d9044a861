package fleet

import (
	"slices"
	"time"

	"github.com/procguard/procguard/state"
)

// verdict is why a living worker is not held to be well.
type verdict struct {
	cause    state.Cause
	by       ground
	incident uint64    // that tells of it, if nothing is done about it
	since    time.Time // when it was given
	sick     time.Time // since when it holds, as far as is known
}

// ground is what a verdict rests on, and so what refutes it.
type ground uint8

const (
	bySilence ground = iota + 1 // no heartbeat
	byStall                     // no step
	byStart                     // not ready in time
	byIdle                      // judged a zombie: small, idle and silent
	byProbe                     // judged by something that only the judge can see again
)

// refutes lists the signs of life that contradict a verdict. A heartbeat does
// not refute a failing health check, nor a log line a missing step.
var refutes = map[ground][]kind{
	bySilence: {evAlive, evProgressed, evExtended, evPhased, evStopping, evReady},
	byStall:   {evProgressed, evExtended, evPhased, evStopping},
	byStart:   {evReady, evExtended},
	byIdle:    {evAlive, evProgressed, evExtended, evPhased, evStopping, evReady, evCleared},
	byProbe:   {evCleared},
}

var grounds = map[state.CauseKind]ground{state.CauseZombie: byIdle, state.CauseNoProgress: byStall}

func onJudged(f *Fleet, w *worker, e Event) {
	j := e.(Judged)
	by := grounds[j.Cause.Kind]
	if by == 0 {
		by = byProbe
	}
	if classOf(j.Cause.Kind) == state.ClassHang && f.excused(w) {
		return
	}
	f.accuse(w, by, j.Cause, j.For)
}

// excused says that w has asked for time, and has it.
func (f *Fleet) excused(w *worker) bool {
	return w.phase != "" && w.phaseFor > 0 || w.until.After(f.now)
}

// accuse is a verdict on a living worker, which has held for so long: observe,
// dump, act.
func (f *Fleet) accuse(w *worker, by ground, c state.Cause, held time.Duration) {
	if c.Class == "" {
		c.Class = classOf(c.Kind)
	}
	c = signed(c)
	v := &verdict{cause: c, by: by, since: f.now, sick: f.now.Add(-held)}
	switch {
	case f.ending != nil || !f.spec.Recovery.Auto:
		f.leave(w, v)
	case c.Class == state.ClassHang && w.spec.NotifyHang:
		f.notice(w, v)
	case w.spec.DumpTimeout <= 0:
		w.verdict = v
		f.fail(w, c)
	default:
		f.toSuspect(w, v)
	}
}

// notice tells of a hang once, with an incident that nobody is charged for.
func (f *Fleet) notice(w *worker, v *verdict) {
	if w.verdict != nil {
		return
	}
	w.verdict = v
	f.putDown(w, v)
	f.markZombie(w, v.cause)
	f.note(w, Note{Kind: NoteHung, PID: w.d.PID, Cause: &v.cause, Incident: v.incident, Text: "on_hang is notify: nothing is done about it"})
	if w.spec.DumpTimeout > 0 {
		f.act(Dump{Worker: w.spec.ID, Gen: w.d.Generation, Cause: v.cause})
	}
}

// putDown gives a verdict that nothing follows from an incident of its own.
func (f *Fleet) putDown(w *worker, v *verdict) {
	v.incident = f.snap.Incidents + 1
	f.record(state.Record{Kind: state.KindNotice, Worker: w.spec.ID, Gen: w.d.Generation, Cause: &v.cause, Incident: v.incident})
}

func (f *Fleet) markZombie(w *worker, c state.Cause) {
	if c.Kind == state.CauseZombie && w.d.Status != state.Zombie {
		f.record(state.Record{Kind: state.KindStatus, Worker: w.spec.ID, Status: state.Zombie})
	}
}

// toSuspect has evidence taken before anything is done.
func (f *Fleet) toSuspect(w *worker, v *verdict) {
	w.verdict, w.before, w.dumped = v, w.state, false
	f.enter(w, suspect)
	f.alarm(w, w.spec.DumpTimeout)
	f.note(w, Note{Kind: NoteSuspected, PID: w.d.PID, Cause: &v.cause, Delay: w.spec.DumpTimeout})
	f.act(Dump{Worker: w.spec.ID, Gen: w.d.Generation, Cause: v.cause})
}

// onDumped: the evidence is there, or its time is over. Where the failure of one
// stops all, it waits for the evidence of the others who are suspected as well:
// of ranks that hang in one collective, all stacks are wanted. Nobody waits
// longer than for its own.
func onDumped(f *Fleet, w *worker, e Event) {
	w.dumped = true
	if d, ok := e.(Dumped); ok {
		w.verdict = w.verdict.with(d)
	}
	_, overdue := e.(Tick)
	all := f.suspects(w.g)
	if !f.spec.Recovery.StopAll {
		all = []*worker{w}
	}
	if !overdue && slices.ContainsFunc(all, func(m *worker) bool { return !m.dumped }) {
		return
	}
	for _, m := range all {
		if m.state == suspect && (m.dumped || m == w) {
			f.convict(m)
		}
	}
}

// with is the verdict in the light of the evidence. It is another one: who was told of the
// first must not see it change.
func (v *verdict) with(d Dumped) *verdict {
	seen := *v
	if d.Detail != "" {
		seen.cause.Detail = d.Detail
	}
	if d.Signature != "" {
		seen.cause.Signature = d.Signature
	}
	return &seen
}

// suspects are those of a group, the first one first.
func (f *Fleet) suspects(g *group) (list []*worker) {
	for _, m := range g.members {
		if m.state == suspect {
			list = append(list, m)
		}
	}
	slices.SortStableFunc(list, func(a, b *worker) int { return a.verdict.since.Compare(b.verdict.since) })
	return list
}

func (f *Fleet) convict(w *worker) {
	v := w.verdict
	if f.ending == nil && f.spec.Recovery.Auto {
		f.fail(w, v.cause)
		return
	}
	f.goOn(w)
	f.leave(w, v)
}

// leave leaves w alone, because nobody will act on a verdict as things are. It
// stands until a sign of life, and is told of once.
func (f *Fleet) leave(w *worker, v *verdict) {
	if w.verdict == nil {
		w.verdict = v
		f.judge(w, v.cause)
	}
}

// onSign: a suspect gives a sign of life. If it contradicts the verdict, the
// verdict is withdrawn: what was slow is not stuck. To kill it would cost all
// work since its last checkpoint; to be wrong costs one more timeout. Only what
// the worker says by itself counts, not the output that a dump brings about.
func onSign(f *Fleet, w *worker, e Event) {
	_, _, k, _ := about(e)
	if p, ok := e.(Progressed); ok && p.Step <= w.step {
		return
	}
	if !slices.Contains(refutes[w.verdict.by], k) {
		return
	}
	if k == evAlive {
		f.learn(w)
		w.beat = time.Time{} // learned already
	}
	v := w.verdict
	f.goOn(w)
	f.putDown(w, v)
	f.note(w, Note{Kind: NoteWell, PID: w.d.PID, Cause: &v.cause, Incident: v.incident, Text: "withdrawn: " + signNames[k]})
	f.again = true // for what the sign means to a worker that is well
}

var signNames = map[kind]string{evAlive: "a heartbeat came", evProgressed: "it has made a step", evExtended: "it asked for more time",
	evPhased: "it has told its phase", evStopping: "it says that it stops", evReady: "it is ready", evCleared: "the check passes again"}

// goOn brings a suspect back to where it was, with its deadlines.
func (f *Fleet) goOn(w *worker) {
	w.verdict = nil
	f.enter(w, w.before)
	switch {
	case w.state == running:
		f.pace(w)
	case !w.readyBy.IsZero():
		f.alarms.set(&w.wake, w.readyBy)
	}
}

// relent takes back what was told of a worker that was left alone.
func (f *Fleet) relent(w *worker, sign kind) {
	v := w.verdict
	if v != nil && !slices.Contains(refutes[v.by], sign) {
		return
	}
	if w.d.Status == state.Zombie {
		f.record(state.Record{Kind: state.KindStatus, Worker: w.spec.ID, Status: state.Running})
	}
	if v == nil {
		return
	}
	w.verdict = nil
	if w.state == running && w.stepBy.IsZero() {
		f.stepAfter(w)
		f.watch(w)
	}
	f.note(w, Note{Kind: NoteWell, PID: w.d.PID, Cause: &v.cause, Incident: v.incident, Text: signNames[sign]})
}

func onCleared(f *Fleet, w *worker, _ Event) { f.relent(w, evCleared) }

// onSuspectDied: its end wins over the verdict, which is kept beside it. If our
// own signal ended it, as a dump signal does with a program that does not know
// it, the verdict is the cause.
func onSuspectDied(f *Fleet, w *worker, e Event) {
	x, v := e.(Exited), w.verdict
	c := x.cause()
	if x.Sent && x.Signal != "" {
		how := c.String()
		c = v.cause
		c.Detail = addition(c.Detail, "while it was dumped it was "+how)
	} else {
		c.Detail = addition(c.Detail, "before that "+v.cause.String())
	}
	f.died(w, x, c)
}

func addition(text, more string) string {
	if text == "" {
		return more
	}
	return text + "; " + more
}
