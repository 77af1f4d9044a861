package fleet

import (
	"time"

	"github.com/procguard/procguard/state"
)

// wstate is where a worker stands. It says more than the outside status.
type wstate uint8

const (
	idle     wstate = iota // no process, and none is due
	waiting                // no process; due after a delay and its dependencies
	spawning               // Spawn was decided and not yet answered
	starting               // alive, not yet ready
	running                // alive and ready
	stopping               // alive, being stopped
	sweeping               // the leader is dead, something of it is left
	failed                 // dead by a failure that nobody has dealt with yet
	done                   // finished for good
	excluded               // out of budget for good
	stuck                  // survived SIGKILL
	nStates
)

var stateNames = [nStates]string{"idle", "waiting", "spawning", "starting", "running",
	"stopping", "sweeping", "failed", "done", "excluded", "stuck"}

func (s wstate) String() string { return stateNames[s] }

// what a worker becomes when it is down.
type fate uint8

const (
	restIdle   fate = iota // nothing until somebody starts it
	beFailed               // its failure waits for the chain
	beDone                 // it has finished
	startAgain             // comes back after worker.delay
	forgotten              // leaves the fleet
)

type worker struct {
	spec  Worker
	d     *state.Worker // its durable part, owned by the snapshot
	g     *group
	state wstate
	then  fate
	delay time.Duration // for startAgain

	changed bool // the newest configuration made it another program
	doomed  bool // spawning, but to be stopped as soon as it lives
	hung    bool // its spawn was never answered
	rung    rung
	since   time.Time // when the stop began
	killed  bool      // had to be killed
	ready   time.Time // when this process became ready
	wake    alarm
	rank    int
	brought int // of its budget used when its settings were read

	dependents []*worker
	needs      []need
	met        int  // of needs: those before this one are met
	blocked    bool // waits for its needs, no more for its delay
	above      int  // living dependents, while the fleet stops
}

type need struct {
	w     *worker
	until Until
}

// hasProcess says that there is, or may be, something alive.
func (w *worker) hasProcess() bool { return w.state >= spawning && w.state <= sweeping }

// atWork says that w works on its tasks, or is about to: those that its Spawn
// named, unless it is told otherwise.
func (w *worker) atWork() bool {
	return w.state == starting || w.state == running || (w.state == spawning && !w.doomed)
}

// enter is the only place where a worker's state changes.
func (f *Fleet) enter(w *worker, s wstate) {
	f.alarms.clear(&w.wake)
	f.count(w, -1)
	if w.doomed {
		w.doomed = false
		w.g.doomed--
	}
	was := w.hasProcess()
	w.state = s
	f.count(w, +1)
	if was && !w.hasProcess() {
		f.down(w)
	}
	if s >= starting {
		f.wakeDependents(w)
	}
}

func (f *Fleet) count(w *worker, by int) {
	f.n[w.state] += by
	w.g.n[w.state] += by
	if w.state == idle && w.d.Standby {
		f.spares += by
	}
}

func (f *Fleet) alarm(w *worker, after time.Duration) {
	f.alarms.set(&w.wake, f.now.Add(after))
}

// toWaiting makes w come back after delay, as soon as its dependencies allow.
func (f *Fleet) toWaiting(w *worker, delay time.Duration) {
	f.enter(w, waiting)
	w.met, w.blocked = 0, false
	if delay > 0 {
		f.alarm(w, delay)
		return
	}
	f.trySpawn(w)
}

// trySpawn starts a waiting worker whose delay is over and whose needs are met.
func (f *Fleet) trySpawn(w *worker) {
	if w.state != waiting || w.wake.index != 0 || f.ending != nil {
		return
	}
	for w.met < len(w.needs) {
		if !w.needs[w.met].satisfied() {
			w.blocked = true
			return
		}
		w.met++
	}
	if w.blocked && w.g.deadline.index != 0 {
		f.extend(w.g, 0) // its own start begins only now
	}
	f.toSpawning(w)
}

func (n need) satisfied() bool {
	switch n.w.state {
	case done, excluded:
		return true
	case running:
		return n.until != UntilCompleted
	case starting:
		return n.until == UntilStarted
	case idle:
		return n.w.d.Standby
	}
	return false
}

func (f *Fleet) toSpawning(w *worker) {
	again := w.d.Status != state.Unknown
	restarts := w.d.RestartCount
	if again {
		restarts++
	}
	f.enter(w, spawning)
	w.then, w.rung, w.killed, w.ready = restIdle, 0, false, time.Time{}
	f.record(state.Record{Kind: state.KindSpawn, Worker: w.spec.ID, Gen: w.d.Generation + 1, Retry: again})
	f.act(Spawn{
		Worker: w.spec.ID, Gen: w.d.Generation, Epoch: f.snap.Epoch, Restarts: restarts,
		Tasks: append([]string{}, w.d.AssignedTasks...), Rank: f.rank(w),
	})
}

func onStarted(f *Fleet, w *worker, e Event) {
	s := e.(Started)
	f.record(state.Record{Kind: state.KindStarted, Worker: s.Worker, Gen: s.Gen, PID: s.PID, Ticks: s.Ticks})
	f.note(w, Note{Kind: NoteStarted, PID: s.PID})
	doomed := w.doomed
	f.toStarting(w)
	if f.ending != nil {
		doomed = w.above == 0 || f.ending.now // else it waits for its dependents
	}
	if doomed {
		f.stop(w, w.then)
	}
}

func (f *Fleet) toStarting(w *worker) {
	f.enter(w, starting)
	switch {
	case w.spec.NeedsReady && w.spec.StartupTimeout > 0:
		f.alarm(w, w.spec.StartupTimeout)
	case w.spec.NeedsReady:
	case w.spec.ReadyAfter > 0:
		f.alarm(w, w.spec.ReadyAfter)
	default:
		f.toRunning(w)
	}
}

func (f *Fleet) toRunning(w *worker) {
	f.enter(w, running)
	w.ready = f.now
	f.record(state.Record{Kind: state.KindReady, Worker: w.spec.ID, Gen: w.d.Generation})
	f.note(w, Note{Kind: NoteReady, PID: w.d.PID})
}

func onReady(f *Fleet, w *worker, _ Event) { f.toRunning(w) }

// onAlive: the first heartbeat starts the clock of the next one.
func onAlive(f *Fleet, w *worker, _ Event) {
	if w.d.Status == state.Zombie {
		f.record(state.Record{Kind: state.KindStatus, Worker: w.spec.ID, Status: state.Running})
	}
	if w.spec.HeartbeatTimeout > 0 {
		f.alarm(w, w.spec.HeartbeatTimeout)
	}
}

func onJudged(f *Fleet, w *worker, e Event) { f.failAlive(w, e.(Judged).Cause) }

func onSpawnFailed(f *Fleet, w *worker, e Event) {
	c := state.Cause{Kind: state.CauseSpawn, Detail: e.(SpawnFailed).Detail}
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
	c := x.cause()
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
// our signal was sent has finished.
func onStopped(f *Fleet, w *worker, e Event) {
	x := e.(Exited)
	c := x.cause()
	if c.Kind == state.CauseExit && c.Code == 0 && !x.Sent && w.then != forgotten && w.spec.Restart != Always {
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

func (x Exited) cause() state.Cause {
	switch {
	case x.Lost:
		return state.Cause{Kind: state.CauseLost, Detail: x.Detail}
	case x.Signal != "":
		return state.Cause{Kind: state.CauseSignal, Signal: x.Signal, Core: x.Core, Detail: x.Detail}
	}
	return state.Cause{Kind: state.CauseExit, Code: x.Code, Detail: x.Detail}
}

// pardon: who comes this late to a heartbeat's deadline was not running itself
// (stopped, frozen with its machine), has not read what came meanwhile, and may
// not judge by it. Half a second is far beyond what a busy machine delays a timer.
const pardon = 500 * time.Millisecond

// onDue: the alarm of a worker's state.
func onDue(f *Fleet, w *worker, _ Event) {
	switch w.state {
	case waiting:
		f.trySpawn(w)
	case starting:
		if w.spec.NeedsReady {
			f.failAlive(w, state.Cause{Kind: state.CauseStartup, Detail: "no readiness within " + w.spec.StartupTimeout.String()})
			return
		}
		f.toRunning(w)
	case running:
		if f.now.Sub(w.wake.at) > pardon {
			f.alarm(w, w.spec.HeartbeatTimeout)
			return
		}
		f.failAlive(w, state.Cause{Kind: state.CauseUnresponsive, Detail: "no heartbeat for " + w.spec.HeartbeatTimeout.String()})
	case stopping:
		f.climb(w)
	case sweeping:
		f.toStuck(w)
	}
}

func (f *Fleet) wakeDependents(w *worker) {
	for _, x := range w.dependents {
		f.trySpawn(x)
	}
}
