package sim

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/fleet"
)

const (
	pollEvery = 20 * time.Second
	// restWithin is how long after the last fault a world may take to come to
	// rest: attempts × (recovery_timeout + starts + backoff) of every kind of
	// chain that a plan can ask for stays far below it.
	restWithin = 3 * time.Hour
	// quitWithin bounds the orderly stop: the longest grace and verdict for each
	// link of a chain of dependencies.
	quitWithin = 2 * time.Hour
)

// becalm ends all faults. What is broken stays so until somebody mends it.
func (w *world) becalm() {
	w.tracef("faults end")
	w.calm = true
	w.faults = faults{disk: w.faults.disk, separate: w.faults.separate}
	w.disk.badUntil = w.now
	for _, p := range w.kern.all {
		w.recoverProc(p)
	}
	w.later(pollEvery, job{deed: deedPoll})
}

// poll waits until the world is at rest, then until it has stopped.
func (w *world) poll() {
	w.later(pollEvery, job{deed: deedPoll})
	g := w.guard
	switch {
	case g == nil || g.blocked:
	case w.quitBy > 0:
		if w.now > w.quitBy {
			w.failf("the fleet does not stop: %s", w.restless())
		}
	default:
		why := w.restless()
		if why == "" {
			w.atRest()
		} else if w.now > w.plan.calm+restWithin {
			w.failf("the fleet does not come to rest: %s", why)
		}
	}
}

// atRest: everything is as it should be, and can be stopped. Once in a while
// ProcGuard dies while it stops.
func (w *world) atRest() {
	w.check.full()
	if w.check.replays(); w.res.Err != nil {
		return
	}
	w.quitBy = w.now + quitWithin
	g := w.guard
	g.inbox = append(g.inbox, w.quit(w.chance(0.2)))
	w.pump()
	if w.guard == g && w.chance(0.2) {
		w.crash(w.chance(0.5))
	}
}

// restless is what is still under way, "" if nothing is.
func (w *world) restless() string {
	s := w.guard.f.Status()
	for _, g := range s.Groups {
		if g.Phase != state.Steady {
			return fmt.Sprintf("group %s is %s, deadline %v", g.Name, g.Phase, g.Deadline)
		}
	}
	if s.Stopping != "" {
		return "it stops: " + s.Stopping
	}
	by := map[string]*fleet.WorkerStatus{}
	for i := range s.Workers {
		by[s.Workers[i].WorkerID] = &s.Workers[i]
	}
	for i := range s.Workers {
		if why := w.moving(by, &s.Workers[i]); why != "" {
			return "worker " + s.Workers[i].WorkerID + " " + why
		}
	}
	return ""
}

// moving says what a worker is still about to do.
func (w *world) moving(by map[string]*fleet.WorkerStatus, s *fleet.WorkerStatus) string {
	switch s.State {
	case "done", "excluded":
		return ""
	case "idle":
		if s.Held || s.Standby {
			return ""
		}
	case "running":
		if w.plan.endless[s.WorkerID] {
			return ""
		}
	case "failed":
		if !w.plan.spec.Recovery.Auto {
			return ""
		}
	case "waiting":
		if s.Due.IsZero() && w.waitsFor(by, s.WorkerID) {
			return ""
		}
	}
	return "is " + s.State
}

// waitsFor says that a worker waits for one that will not come, and rightly so.
func (w *world) waitsFor(by map[string]*fleet.WorkerStatus, id string) bool {
	for _, d := range w.workers[id].DependsOn {
		on := by[d.Worker]
		switch on.State {
		case "idle", "waiting", "failed":
			return true
		case "running":
			if d.Until == fleet.UntilCompleted {
				return true
			}
		}
	}
	return false
}

// often looks at everything, seldom enough that it costs little.
func (c *checker) often() {
	if w := c.w; w.res.Err == nil && w.guard != nil && w.res.Steps-c.checked > 4*len(w.workers)+64 {
		c.full()
	}
}

// full is every rule that needs a look at every worker.
func (c *checker) full() {
	w := c.w
	c.checked = w.res.Steps
	if err := w.guard.f.Check(); err != nil {
		w.failf("%v", err)
		return
	}
	s := w.guard.f.Status()
	c.told(&s)
	if s.Stopping == "" && !slices.ContainsFunc(s.Groups, func(g fleet.GroupStatus) bool { return g.Phase != state.Steady }) {
		c.steady(&s)
	}
}

// told: whoever runs works on exactly the tasks that it owns.
func (c *checker) told(s *fleet.Status) {
	for i := range s.Workers {
		st := &s.Workers[i]
		p := c.w.kern.instance(st.WorkerID, st.Generation)
		if p == nil || !p.leader || (st.State != "running" && st.State != "starting") {
			continue
		}
		if !slices.Equal(slices.Sorted(slices.Values(p.tasks)), slices.Sorted(slices.Values(st.AssignedTasks))) {
			c.w.failf("worker %s works on %v, it owns %v", st.WorkerID, p.tasks, st.AssignedTasks)
		}
	}
}

// steady: nobody was forgotten, and every task is with somebody who may run, if
// there is anybody who could take it.
func (c *checker) steady(s *fleet.Status) {
	open := map[string]string{} // type -> somebody who could take a task
	group := map[string]bool{}
	by := map[string]*fleet.WorkerStatus{}
	for i := range s.Workers {
		st := &s.Workers[i]
		by[st.WorkerID] = st
		if st.State == "idle" && !st.Held && !st.Standby {
			c.w.failf("worker %s is idle for no reason", st.WorkerID)
		}
		if c.w.workers[st.WorkerID] != nil && st.State != "done" && st.State != "stuck" && !st.Excluded && !st.Held && !st.Standby {
			open[st.Type] = st.WorkerID
			group[st.Group+"/"+st.Type] = true
		}
	}
	for i := range s.Tasks {
		t := &s.Tasks[i]
		switch t.Status {
		case state.TaskQueued:
			if who := open[t.WorkerType]; who != "" {
				c.w.failf("task %s is queued, %s could take it", t.TaskID, who)
			}
		case state.TaskAssigned:
			o := by[t.WorkerID]
			if o != nil && o.Excluded && c.w.plan.spec.Recovery.Reassign && group[o.Group+"/"+t.WorkerType] {
				c.w.failf("task %s stays with %s, which is excluded", t.TaskID, o.WorkerID)
			}
		}
	}
}

// replays: the journal gives the truth that the machine holds.
func (c *checker) replays() {
	d := &c.w.disk
	if err := d.fold(d.length); err != nil {
		c.w.failf("the journal does not replay: %v", err)
		return
	}
	if diff := differ(d.base, c.w.guard.f.Snapshot()); diff != "" {
		c.w.failf("the journal replays to another truth: %s", diff)
	}
}

// differ names the first part in which two snapshots differ. Both are shown in
// the form they have on disk, where nil and empty are the same.
func differ(a, b *state.Snapshot) string {
	x, y := *a, *b
	x.Normalize()
	y.Normalize()
	if reflect.DeepEqual(x, y) {
		return ""
	}
	left, err := json.Marshal(&x)
	if err != nil {
		return err.Error()
	}
	right, err := json.Marshal(&y)
	if err != nil {
		return err.Error()
	}
	at := 0
	for at < len(left) && at < len(right) && left[at] == right[at] {
		at++
	}
	if at == len(left) && at == len(right) {
		return ""
	}
	from := max(0, at-80)
	return fmt.Sprintf("%s is not %s", left[from:min(len(left), at+40)], right[from:min(len(right), at+40)])
}
