package fleet

import "github.com/procguard/procguard/state"

func onSpawnFailed(f *Fleet, w *worker, e Event) {
	c := signed(state.Cause{Kind: state.CauseSpawn, Class: state.ClassExec, Detail: e.(SpawnFailed).Detail})
	doomed := w.doomed
	f.record(state.Record{Kind: state.KindExit, Worker: w.spec.ID, Gen: w.d.Generation, Cause: &c, Expected: doomed})
	f.note(w, Note{Kind: NoteExited, Cause: &c, Expected: doomed})
	if doomed || f.ending != nil {
		f.land(w)
		return
	}
	w.then = beFailed
	f.land(w)
	f.fail(w, c)
}

// onDied: a worker ended that was not being stopped.
func onDied(f *Fleet, w *worker, e Event) {
	x := e.(Exited)
	f.died(w, x, x.cause())
}

// died takes w down, whose process has ended by itself for cause c.
func (f *Fleet) died(w *worker, x Exited, c state.Cause) {
	c = f.classed(w, c)
	finished := c.Kind == state.CauseExit && c.Code == 0
	w.then = beFailed
	switch {
	case finished && w.spec.Restart == Always:
		f.refill(w)
		w.then, w.delay = startAgain, f.backoff(w)
	case finished:
		w.then = beDone
	}
	f.exitRecord(w, &c, finished)
	f.fall(w, x.Gone)
	if !finished {
		f.fail(w, c)
	}
}

// onStopped: a worker ended that was being stopped. One that finished before
// our signal was sent has finished, and so has one that had said before that it
// was about to.
func onStopped(f *Fleet, w *worker, e Event) {
	x := e.(Exited)
	c := x.cause()
	if c.Kind == state.CauseExit && c.Code == 0 && (!x.Sent || w.parting) && w.then != forgotten && w.spec.Restart != Always {
		w.then = beDone
	}
	f.exitRecord(w, &c, true)
	f.fall(w, x.Gone)
}

func (f *Fleet) exitRecord(w *worker, c *state.Cause, expected bool) {
	pid := w.d.PID
	f.record(state.Record{Kind: state.KindExit, Worker: w.spec.ID, Gen: w.d.Generation, Cause: c, Expected: expected})
	f.note(w, Note{Kind: NoteExited, PID: pid, Cause: c, Expected: w.state == stopping || w.state == stuck})
}

// fall takes a worker whose leader is dead down, at once or when all is gone.
func (f *Fleet) fall(w *worker, gone bool) {
	if gone {
		f.land(w)
		return
	}
	f.enter(w, sweeping)
	f.alarm(w, verdictAfter)
}

func onGone(f *Fleet, w *worker, _ Event) {
	f.record(state.Record{Kind: state.KindGone, Worker: w.spec.ID, Gen: w.d.Generation})
	f.note(w, Note{Kind: NoteGone})
	f.land(w)
}

// onLateGone: what could not be killed has gone after all.
func onLateGone(f *Fleet, w *worker, _ Event) {
	f.record(state.Record{Kind: state.KindGone, Worker: w.spec.ID, Gen: w.d.Generation})
	f.note(w, Note{Kind: NoteGone})
	if f.ending != nil && w.killed {
		f.ending.killed = append(f.ending.killed, w.spec.ID)
	}
	f.enter(w, failed)
}

// land is what a worker becomes once nothing of it is left.
func (f *Fleet) land(w *worker) {
	switch w.then {
	case beDone:
		f.record(state.Record{Kind: state.KindDone, Worker: w.spec.ID})
		f.note(w, Note{Kind: NoteDone})
		f.enter(w, done)
	case beFailed:
		f.enter(w, failed)
	case startAgain:
		f.enter(w, idle)
		if f.ending == nil && w.g.phase != state.StopAll {
			f.note(w, Note{Kind: NoteRestarted, Delay: w.delay})
			f.toWaiting(w, w.delay)
		}
	case forgotten:
		f.enter(w, idle)
		f.forget(w)
	default:
		f.enter(w, resting(w.d))
	}
}
