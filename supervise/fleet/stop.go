package fleet

import (
	"fmt"
	"strings"
	"time"

	"github.com/procguard/procguard/state"
)

// rung is how far up the stop ladder a worker is.
type rung uint8

const (
	rungAsk   rung = iota + 1 // stop signal, to the leader unless told otherwise
	rungGroup                 // the same to the whole process group
	rungKill                  // SIGKILL to everything
)

const (
	// groupGrace is how long a group that got the stop signal after its leader
	// did not heed it has until it is killed.
	groupGrace = 500 * time.Millisecond
	// verdictAfter is how long the kernel has to end what was killed. A process
	// that lives longer hangs in the kernel, and nothing we do will end it.
	verdictAfter = 5 * time.Second

	sigCont = 18 // SIGCONT: a stopped process would never act on the stop signal
)

// stop begins to take a living worker down; then is what it becomes after.
func (f *Fleet) stop(w *worker, then fate) {
	switch w.state {
	case spawning:
		w.then = then
		if !w.doomed {
			w.doomed = true
			w.g.doomed++
			f.alarm(w, w.spec.Grace+verdictAfter)
		}
	case starting, running, suspect:
		f.refill(w)
		w.then, w.since = then, f.now
		f.enter(w, stopping)
		f.note(w, Note{Kind: NoteStopping, PID: w.d.PID})
		if w.spec.Grace <= 0 || (f.ending != nil && f.ending.now) {
			f.kill(w)
			return
		}
		w.rung = rungAsk
		f.ask(w, w.spec.StopToGroup)
		f.alarm(w, w.spec.Grace)
	case stopping, sweeping:
		w.then = then
	}
}

func (f *Fleet) ask(w *worker, group bool) {
	f.act(Signal{Worker: w.spec.ID, Gen: w.d.Generation, Signal: w.spec.StopSignal, Group: group})
	f.act(Signal{Worker: w.spec.ID, Gen: w.d.Generation, Signal: sigCont, Group: group})
}

// climb goes up the ladder when a rung's time is over.
func (f *Fleet) climb(w *worker) {
	switch {
	case w.rung == rungAsk && !w.spec.StopToGroup:
		w.rung = rungGroup
		f.ask(w, true)
		f.alarm(w, groupGrace)
	case w.rung < rungKill:
		f.kill(w)
	default:
		f.toStuck(w)
	}
}

func (f *Fleet) kill(w *worker) {
	if w.rung == rungKill || w.state != stopping {
		return
	}
	w.rung, w.killed = rungKill, w.rung != 0 // it had its chance
	f.note(w, Note{Kind: NoteKilling, PID: w.d.PID, Delay: f.now.Sub(w.since)})
	f.act(Kill{Worker: w.spec.ID, Gen: w.d.Generation})
	f.alarm(w, verdictAfter)
}

// toStuck is the verdict that a worker cannot be ended. Nothing may be started
// in its place while it might still be at work, so the run ends. It is not given
// up for good: in the next container that process is no more, and a chain goes
// on where it stood.
func (f *Fleet) toStuck(w *worker) {
	f.note(w, Note{Kind: NoteStuck, PID: w.d.PID})
	f.enter(w, stuck)
	if f.ending == nil {
		f.alarms.clear(&w.g.deadline)
		f.beginEnd(&ending{code: 10, why: fmt.Sprintf("worker %s cannot be killed", w.remains())})
	}
}

// onUnanswered: a worker that is to be stopped has still not come out of its
// exec, as happens on a file system that does not answer.
func onUnanswered(f *Fleet, w *worker, _ Event) {
	w.hung = true
	f.toStuck(w)
}

// onStuckStarted: it has come out of it after all.
func onStuckStarted(f *Fleet, w *worker, e Event) {
	s := e.(Started)
	f.act(Kill{Worker: s.Worker, Gen: s.Gen})
}

// onStuckExit: the leader is dead after all; it counts when all is gone.
func onStuckExit(f *Fleet, w *worker, e Event) {
	x := e.(Exited)
	c := x.cause()
	f.exitRecord(w, &c, true)
	if x.Gone {
		onLateGone(f, w, e)
	}
}

func (f *Fleet) unkillable() string {
	var names []string
	for _, w := range f.order {
		if w.state == stuck {
			names = append(names, w.remains())
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "unkillable: " + strings.Join(names, ", ")
}

// remains names what of w is alive.
func (w *worker) remains() string {
	if w.hung {
		return w.spec.ID + " (hangs in its start)"
	}
	if w.d.PID == 0 {
		return w.spec.ID + " (what its dead leader left)"
	}
	return fmt.Sprintf("%s (pid %d)", w.spec.ID, w.d.PID)
}

func (f *Fleet) stopFleet(e StopFleet) {
	if f.ending == nil {
		why := e.Why
		if why == "" {
			why = "stop requested"
		}
		f.beginEnd(&ending{code: 0, why: why, now: e.Now})
		return
	}
	if e.Now && !f.ending.now {
		f.ending.now = true
		for _, w := range f.order {
			f.kill(w)
			if w.lives() {
				f.stop(w, restIdle)
			}
		}
	}
}

// beginEnd stops everything, dependents before what they depend on.
func (f *Fleet) beginEnd(end *ending) {
	f.ending = end
	f.note(nil, Note{Kind: NoteStopAll, Text: end.why, Code: end.code})
	for _, w := range f.order {
		if w.state == waiting {
			f.enter(w, idle)
		}
		w.above = 0
	}
	for _, w := range f.order {
		if w.hasProcess() {
			for _, n := range w.needs {
				n.w.above++
			}
		}
	}
	for _, w := range f.order {
		if w.above == 0 || end.now {
			f.stop(w, f.restFate(w))
		}
		if end.now {
			f.kill(w) // it may have been asked to stop before
		}
	}
}

// restFate keeps what a dying worker was going to be, but never starts it.
func (f *Fleet) restFate(w *worker) fate {
	if (w.state == stopping || w.state == sweeping || w.doomed) && w.then != startAgain {
		return w.then
	}
	return restIdle
}

// down is called when a worker has no process any more.
func (f *Fleet) down(w *worker) {
	if f.ending == nil {
		return
	}
	if w.killed && w.state != stuck {
		f.ending.killed = append(f.ending.killed, w.spec.ID)
	}
	for _, n := range w.needs {
		n.w.above--
		if n.w.above == 0 {
			f.stop(n.w, f.restFate(n.w))
		}
	}
}

// giveUp ends a group for good, and with it the run: whoever gave up must not
// stay up with nothing running.
func (f *Fleet) giveUp(g *group, code int, why string) {
	if f.ending != nil {
		return
	}
	f.alarms.clear(&g.deadline)
	if g.attempt == 0 {
		g.attempt, g.incident = 1, 0 // no failure led to it
	}
	g.code = code
	f.phase(g, state.GaveUp, why)
	if code != NoProgress {
		why = "gave up on group " + g.name + ": " + why
	}
	f.beginEnd(&ending{code: code, why: why, final: true})
}
