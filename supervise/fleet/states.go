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
	suspect                // alive, judged, and being dumped before anything is done
	stopping               // alive, being stopped
	sweeping               // the leader is dead, something of it is left
	failed                 // dead by a failure that nobody has dealt with yet
	done                   // finished for good
	excluded               // out of budget for good
	stuck                  // survived SIGKILL
	nStates
)

var stateNames = [nStates]string{"idle", "waiting", "spawning", "starting", "running", "suspect",
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
	life
	verdict *verdict      // of this process; nil if it is held to be well
	before  wstate        // what a suspect was
	dumped  bool          // a suspect's evidence is there
	gaps    int           // intervals between heartbeats, until enough were seen
	widest  time.Duration // of them
	ready   time.Time     // when this process became ready
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
	return w.lives() || (w.state == spawning && !w.doomed)
}

// lives says that w has a process that nobody has asked to stop.
func (w *worker) lives() bool {
	return w.state == starting || w.state == running || w.state == suspect
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
		w.verdict = nil
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
	case starting, suspect:
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
	w.life, w.verdict = life{}, nil
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
	w.born = f.now
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
	d := w.spec.startTime()
	switch {
	case d > 0:
		w.readyBy = f.now.Add(d)
		f.alarms.set(&w.wake, w.readyBy)
	case !w.spec.NeedsReady:
		f.toRunning(w)
	}
}

func (f *Fleet) toRunning(w *worker) {
	f.enter(w, running)
	w.ready = f.now
	f.record(state.Record{Kind: state.KindReady, Worker: w.spec.ID, Gen: w.d.Generation})
	f.note(w, Note{Kind: NoteReady, PID: w.d.PID})
	if w.phase != "" {
		f.pace(w)
	}
}

// onReady ends the phases of the start.
func onReady(f *Fleet, w *worker, _ Event) {
	if !w.parting {
		w.enterPhase(Phased{})
	}
	f.toRunning(w)
	f.relent(w, evReady)
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
			c := state.Cause{Kind: state.CauseStartup, Detail: "no readiness within " + f.now.Sub(w.born).Round(time.Millisecond).String()}
			f.accuse(w, byStart, c, 0)
			return
		}
		f.toRunning(w)
	case running:
		f.silent(w)
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
