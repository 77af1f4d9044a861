package sim

import (
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/fleet"
)

// Options change a world beside its seed. The zero value changes nothing.
type Options struct {
	// Workers is the number of workers, 0 for what the seed gives.
	Workers int
	// CrashAt kills ProcGuard before the n-th record or action of its life, once,
	// and never otherwise. 0 leaves its death to chance.
	CrashAt int
	// Host lets processes survive that death.
	Host bool
	// Tamper changes what a step has decided, to see whether anybody notices.
	Tamper func([]fleet.Action) []fleet.Action
	// Trace gets one line for everything that happens, nil for none.
	Trace io.Writer
}

// Result is what a world has seen.
type Result struct {
	Seed      uint64
	Workers   int // at the start
	Steps     int // calls of Fleet.Step
	Beats     int // of those: with a heartbeat or an outdated event
	Spawns    int // processes made
	Deaths    int // leaders that ended while somebody or nobody watched
	Chains    int // recoveries opened by a failure
	Crashes   int // of ProcGuard
	Exits     int // runs that ended
	Commands  int
	Crossed   int           // boundaries between records and actions passed, for CrashAt
	Simulated time.Duration // time inside the world
	Err       error         // the first rule broken, nil if none was
}

// world is all there is.
type world struct {
	dice
	opt    Options
	plan   *plan
	faults faults // those of the plan, until the calm
	res    Result

	now   time.Duration
	skew  time.Duration // what the wall clock has gained or lost
	queue queue
	still int // steps since time moved

	workers map[string]*fleet.Worker // configured now
	made    map[string]int64         // greatest step of each unit
	disk    disk
	kern    kernel
	guard   *guard // nil while none lives
	lives   int
	check   checker

	edited  bool // the configuration has changed, and the machine has yet to act on it
	calm    bool
	quitBy  time.Duration // an exit must have come by then; 0: not asked for
	crossed int
	over    bool
}

// Run plays the world of a seed to its end, or to the first broken rule.
func Run(seed uint64, o Options) (r Result) {
	w := newWorld(seed, o)
	defer func() {
		if p := recover(); p != nil {
			w.failf("panic: %v\n%s", p, debug.Stack())
		}
		w.res.Simulated, w.res.Crossed = w.now, w.crossed
		r = w.res
	}()
	w.run()
	return r
}

func newWorld(seed uint64, o Options) *world {
	p := newPlan(seed, o.Workers)
	w := &world{dice: newDice(seed, 2), opt: o, plan: p, faults: p.faults, kern: newKernel(), made: map[string]int64{}}
	w.res.Seed, w.res.Workers = seed, len(p.spec.Workers)
	w.disk = disk{base: state.New(), wire: p.faults.wire}
	w.check = newChecker(w)
	w.configure(p.spec)
	return w
}

// configure makes s the configuration from now on.
func (w *world) configure(s fleet.Spec) {
	w.plan.spec = s
	w.workers = make(map[string]*fleet.Worker, len(s.Workers))
	for i := range s.Workers {
		w.workers[s.Workers[i].ID] = &s.Workers[i]
	}
}

func (w *world) run() {
	w.later(0, job{deed: deedBoot})
	w.later(w.plan.calm, job{deed: deedCalm})
	w.after(w.faults.guard, deedKill)
	w.after(w.faults.trouble, deedTrouble)
	w.after(w.faults.command, deedCommand)
	for !w.over && w.res.Err == nil {
		j, ok := w.queue.pop()
		if !ok {
			w.failf("nothing will ever happen again")
			return
		}
		if j.at != w.now {
			w.now, w.still = j.at, 0
		}
		w.do(&j)
	}
}

func (w *world) do(j *job) {
	switch j.deed {
	case deedDeliver, deedTick, deedResume, deedSynced:
		if w.guard != nil && j.life == w.guard.life {
			w.toGuard(j)
		}
	case deedReady, deedBeat, deedCrash, deedFinish, deedHang, deedStep, deedWord:
		w.live(j)
	case deedEnd, deedAnswer:
		w.leaderEnds(j.p, j.how)
	case deedKids:
		w.kidsEnd(j.p)
	case deedBoot:
		w.boot()
	case deedPoll:
		w.poll()
	case deedCalm:
		w.becalm()
	default:
		w.upset(j.deed)
	}
}

func (w *world) toGuard(j *job) {
	switch j.deed {
	case deedDeliver:
		w.guard.inbox = append(w.guard.inbox, j.event)
		w.disturb(j.event)
		w.pump()
	case deedTick:
		w.tick()
	case deedResume:
		w.resume()
	case deedSynced:
		w.synced()
	}
}

// upset lets go wrong what goes wrong again and again, until the calm.
func (w *world) upset(d deed) {
	if w.calm {
		return
	}
	switch d {
	case deedKill:
		if w.opt.CrashAt == 0 && w.guard != nil {
			w.crash(w.chance(w.faults.host))
		}
		w.after(w.faults.guard, d)
	case deedTrouble:
		w.trouble()
		w.after(w.faults.trouble, d)
	case deedCommand:
		w.command()
		w.after(w.faults.command, d)
	}
}

// later puts a job into the queue.
func (w *world) later(after time.Duration, j job) {
	j.at = w.now + max(after, 0)
	if w.guard != nil {
		j.life = w.guard.life
	}
	w.queue.push(j)
}

// after sets off what happens every so often, if it does at all.
func (w *world) after(mean time.Duration, d deed) {
	if mean > 0 {
		w.later(w.within(mean), job{deed: d})
	}
}

var epoch = time.Unix(1_700_000_000, 0)

// origin is what the wall clock would have shown when the world began, were it
// as wrong as it is now.
func (w *world) origin() time.Time { return epoch.Add(w.skew) }

func (w *world) clock() time.Time { return w.origin().Add(w.now) }

// busyWithout is how many steps per worker may pass without time going on.
const busyWithout = 200

func (w *world) count(e fleet.Event) {
	w.res.Steps++
	w.still++
	if _, beat := e.(fleet.Alive); beat {
		w.res.Beats++
	}
	if w.still > busyWithout*(len(w.workers)+10) {
		w.failf("%d steps without time going on", w.still)
	}
}

// failf records the first broken rule, which ends the world.
func (w *world) failf(format string, args ...any) {
	if w.res.Err == nil {
		w.res.Err = fmt.Errorf("step %d, %v: %s", w.res.Steps, w.now, fmt.Sprintf(format, args...))
		w.tracef("BROKEN %v", w.res.Err)
	}
}

// tracing is asked where the words alone would cost too much.
func (w *world) tracing() bool { return w.opt.Trace != nil }

func (w *world) tracef(format string, args ...any) {
	if w.opt.Trace != nil {
		fmt.Fprintf(w.opt.Trace, "%12.6f %s\n", w.now.Seconds(), fmt.Sprintf(format, args...))
	}
}

func recordLine(r *state.Record) string {
	s := fmt.Sprintf("%d %s", r.Seq, r.Kind)
	for _, f := range []struct {
		name  string
		value any
		zero  bool
	}{
		{"worker", r.Worker, r.Worker == ""}, {"gen", r.Gen, r.Gen == 0}, {"group", r.Group, r.Group == ""},
		{"phase", r.Phase, r.Phase == ""}, {"incident", r.Incident, r.Incident == 0}, {"attempt", r.Attempt, r.Attempt == 0},
		{"culprits", r.Culprits, len(r.Culprits) == 0}, {"cause", r.Cause, r.Cause == nil}, {"moves", r.Moves, r.Moves == nil},
		{"task", r.TaskID, r.TaskID == ""}, {"epoch", r.Epoch, r.Epoch == 0}, {"held", r.Held, !r.Held},
		{"code", r.Code, r.Code == 0}, {"why", r.Why, r.Why == ""},
	} {
		if !f.zero {
			s += fmt.Sprintf(" %s=%v", f.name, f.value)
		}
	}
	return s
}
