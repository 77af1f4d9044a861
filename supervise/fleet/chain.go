package fleet

import (
	"fmt"
	"strings"
	"time"

	"github.com/procguard/procguard/state"
)

// group is a failure domain and its recovery chain.
type group struct {
	name    string
	members []*worker // in the order of the file
	n       [nStates]int
	doomed  int // spawning members that are to be stopped at once

	phase    state.Phase
	incident uint64
	attempt  int
	culprits []*worker
	deadline alarm
	longest  time.Duration // the longest start that its members asked for
	world    int           // ranks of the current epoch
	meeting  string        // names the ranks' rendezvous
	code     int           // exit code, once it has given up
}

// ending counts the members that are on their way down.
func (g *group) ending() int { return g.n[stopping] + g.n[sweeping] + g.doomed }

func (g *group) culpritIDs() []string {
	ids := make([]string, len(g.culprits))
	for i, w := range g.culprits {
		ids[i] = w.spec.ID
	}
	return ids
}

// phase is the only place where a group's phase changes.
func (f *Fleet) phase(g *group, p state.Phase, why string) {
	g.phase = p
	f.record(state.Record{Kind: state.KindPhase, Group: g.name, Phase: p, Incident: g.incident,
		Attempt: g.attempt, Culprits: g.culpritIDs(), Why: why, Code: g.code})
	shown := p
	if p == state.Steady {
		shown = state.Completed
	}
	f.act(Emit{Note{Kind: NotePhase, Time: f.now, Group: g.name, Phase: shown, Incident: g.incident,
		Attempt: g.attempt, Epoch: f.snap.Epoch, Text: why}})
}

// judge writes down what nobody will act on.
func (f *Fleet) judge(w *worker, c state.Cause) {
	f.markZombie(w, c)
	f.note(w, Note{Kind: NotePhase, Phase: state.Detected, PID: w.d.PID, Cause: &c, Culprit: true, Text: "alive, and nothing is done about it"})
}

// fail deals with a failure of w, which is down, on its way down, or to be
// taken down now.
func (f *Fleet) fail(w *worker, c state.Cause) {
	g := w.g
	c = f.classed(w, c)
	switch {
	case f.ending != nil:
	case !f.spec.Recovery.Auto:
		f.charge(w, c, f.snap.Incidents+1)
		f.note(w, Note{Kind: NotePhase, Phase: state.Detected, Cause: &c, Culprit: true, Incident: f.snap.Incidents,
			Text: "enable_auto_recovery is off: nothing is done about it"})
	case g.phase == state.Steady:
		f.open(g, w, c)
	case g.phase == state.StopAll && !f.spec.Recovery.StopAll:
		// Nobody stopped this one: it failed by itself, beside the other.
		g.culprits = append(g.culprits, w)
		f.stopGroup(g, w, &c)
	case g.phase == state.StopAll:
		// Whoever dies while its group is being stopped for an earlier failure
		// is taken for collateral, and costs it nothing.
		f.stop(w, restIdle)
		f.becomeOf(w, restIdle, 0)
	default:
		f.relapse(g, w, c)
	}
}

// becomeOf sets what w becomes: now if it is down, else when it is.
func (f *Fleet) becomeOf(w *worker, then fate, delay time.Duration) {
	w.then, w.delay = then, delay
	if w.hasProcess() {
		return
	}
	if then == startAgain {
		f.toWaiting(w, delay)
		return
	}
	f.enter(w, idle)
}

// open begins a chain: Record, then StopAll. The chain's record comes before
// the failure's: should the disk tear the batch between them, the chain goes on
// and the worker was charged one failure too few, not the other way round.
func (f *Fleet) open(g *group, w *worker, c state.Cause) {
	g.incident, g.attempt, g.culprits = f.snap.Incidents+1, 1, []*worker{w}
	if f.spec.Recovery.StopAll {
		f.stopEvery(g, w, &c)
	} else {
		f.stopGroup(g, w, &c)
	}
	f.advance(g)
}

// stopGroup enters StopAll; w and c are nil if nobody failed.
func (f *Fleet) stopGroup(g *group, w *worker, c *state.Cause) {
	f.alarms.clear(&g.deadline)
	incident := f.snap.Incidents + 1 // the record of the phase may use it up
	if w != nil {
		beside := ""
		if f.snap.Incidents+1 != g.incident { // a second culprit has an incident of its own
			beside = fmt.Sprintf("beside incident %d", g.incident)
		}
		f.act(Emit{Note{Kind: NotePhase, Time: f.now, Worker: w.spec.ID, Gen: w.d.Generation, Group: g.name, Phase: state.Detected,
			Incident: incident, Attempt: g.attempt, Epoch: f.snap.Epoch, Cause: c, Culprit: true, Text: beside}})
	}
	f.phase(g, state.StopAll, "")
	if c != nil {
		f.charge(w, *c, incident)
	}
	if w != nil {
		f.stop(w, beFailed) // if it lives; its failure is told before its end
	}
}

// stopEvery is stopGroup, and stops all members whatever the configuration says.
func (f *Fleet) stopEvery(g *group, w *worker, c *state.Cause) {
	f.stopGroup(g, w, c)
	for _, m := range g.members {
		if m == w {
			continue
		}
		if m.state == waiting {
			f.enter(m, idle)
		}
		f.stop(m, f.restFate(m))
	}
}

// relapse is a failure while the group comes back. Only that worker is tried
// again, or a large group would never converge; unless the others cannot go on
// without it (ranks that have met), or it has no tries left, or it has failed so
// often in the same way that the group has to think again.
func (f *Fleet) relapse(g *group, w *worker, c state.Cause) {
	if (w.spec.Ranked && c.Kind != state.CauseSpawn) || f.willBeSpent(w) || f.willBeStalled(w, c) {
		f.open(g, w, c)
		return
	}
	f.charge(w, c, f.snap.Incidents+1)
	delay := f.backoff(w)
	during := "while its group is restarted" // on somebody's wish
	if g.incident > 0 {
		during = fmt.Sprintf("during incident %d", g.incident)
	}
	f.note(w, Note{Kind: NoteRetry, Cause: &c, Delay: delay, Incident: f.snap.Incidents, Text: during})
	f.stop(w, startAgain)
	f.becomeOf(w, startAgain, delay)
	f.extend(g, delay)
}

// extend moves a group's deadline so that a retry after delay has its time.
func (f *Fleet) extend(g *group, delay time.Duration) {
	at := f.now.Add(delay + f.spec.Recovery.Timeout + g.longest)
	if g.deadline.index == 0 || at.After(g.deadline.at) {
		f.alarms.set(&g.deadline, at)
	}
}

// startTime is how long a worker may take to become ready, as far as it says.
func (w *Worker) startTime() time.Duration {
	if w.NeedsReady {
		return w.StartupTimeout
	}
	return w.ReadyAfter
}

// advance takes a chain as far as it goes now.
func (f *Fleet) advance(g *group) {
	for f.ending == nil {
		switch {
		case g.phase == state.StopAll && g.ending() == 0:
			f.phase(g, state.Reassign, "")
		case g.phase == state.Reassign:
			f.reassign(g)
		case g.phase == state.Restart && g.ending()+g.n[waiting]+g.n[spawning] == 0:
			f.phase(g, state.Verify, "")
		case g.phase == state.Verify && g.ending()+g.n[waiting]+g.n[spawning]+g.n[starting]+g.n[suspect] == 0:
			f.complete(g)
		default:
			return
		}
	}
}

func (f *Fleet) complete(g *group) {
	f.alarms.clear(&g.deadline)
	f.phase(g, state.Steady, "")
	g.culprits, g.attempt = nil, 0
}

// reassign decides who comes back and who owns what, then restarts.
func (f *Fleet) reassign(g *group) {
	for _, w := range g.culprits {
		if why := f.stalled(w); why != "" {
			f.giveUp(g, NoProgress, why)
			return
		}
	}
	for _, w := range g.culprits {
		if f.spent(w) && !w.d.Excluded {
			f.exclude(w)
		}
	}
	f.redeal(g)
	if why := f.unviable(g); why != "" {
		f.giveUp(g, 10, why)
		return
	}
	f.record(state.Record{Kind: state.KindEpoch, Epoch: f.snap.Epoch + 1})
	f.restart(g)
}

// restart brings back whoever takes part. A world of ranks starts together
// after the longest delay; others do not wait for the one that failed.
func (f *Fleet) restart(g *group) {
	f.phase(g, state.Restart, "")
	f.number(g)
	var longest time.Duration
	for _, w := range g.culprits {
		if !w.d.Excluded {
			longest = max(longest, f.backoff(w))
		}
	}
	f.extend(g, longest)
	revive := f.worldUnfinished(g)
	for _, m := range g.members {
		if !f.comesBack(m, revive) {
			continue
		}
		delay := time.Duration(0)
		if m.spec.Ranked {
			delay = longest
		} else if g.blames(m) {
			delay = f.backoff(m)
		}
		f.toWaiting(m, delay)
	}
}

func (g *group) blames(w *worker) bool {
	for _, c := range g.culprits {
		if c == w {
			return true
		}
	}
	return false
}

// worldUnfinished: some rank has not finished. Then those that have must come
// back too, or the others would wait for them at the rendezvous.
func (f *Fleet) worldUnfinished(g *group) bool {
	for _, m := range g.members {
		if m.spec.Ranked && f.fit(m) && m.state != done {
			return true
		}
	}
	return false
}

func (f *Fleet) comesBack(m *worker, reviveRanks bool) bool {
	switch m.state {
	case idle, failed:
		return f.fit(m)
	case done:
		return f.fit(m) && (m.spec.Ranked && reviveRanks || len(m.d.AssignedTasks) > 0)
	}
	return false
}

// fit says that w may take part: it may be down or done, but nobody ruled it out.
func (f *Fleet) fit(w *worker) bool {
	return !w.d.Excluded && !w.d.Held && !w.d.Standby && w.state != stuck && w.then != forgotten
}

// overdue: a group has not come back in time. Those who only wait for others
// are not late: whoever they wait for is late itself, or in the care of another
// group, or at work until it completes, or held by an operator.
func (f *Fleet) overdue(g *group) {
	if f.ending != nil {
		return
	}
	var late []string
	for _, m := range g.members {
		if (m.state == waiting && !m.blocked) || m.state == spawning || m.state == starting {
			late = append(late, m.spec.ID+" "+m.state.String())
		}
	}
	if len(late) == 0 {
		f.complete(g)
		return
	}
	what := strings.Join(late[:min(len(late), 5)], ", ")
	if len(late) > 5 {
		what += fmt.Sprintf(" and %d more", len(late)-5)
	}
	if g.attempt >= f.spec.Recovery.Attempts {
		f.giveUp(g, 10, fmt.Sprintf("not back after %d attempts: %s", g.attempt, what))
		return
	}
	g.attempt++
	if f.spec.Recovery.StopAll {
		f.stopEvery(g, nil, nil)
	} else {
		f.stopGroup(g, nil, nil)
		f.stopLate(g)
	}
	f.advance(g)
}

// stopLate takes down those that are late, where the others are left alone.
func (f *Fleet) stopLate(g *group) {
	for _, m := range g.members {
		switch m.state {
		case waiting:
			f.enter(m, idle)
		case spawning, starting:
			f.stop(m, restIdle)
		}
	}
}
