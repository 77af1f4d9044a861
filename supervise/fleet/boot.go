package fleet

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/procguard/procguard/state"
)

// boot continues from the snapshot: with what still lives, in the phase in
// which each chain stood.
func (f *Fleet) boot(b Boot) {
	if f.booted {
		return
	}
	f.booted = true
	prior, tasks := f.snap.Finished, len(f.snap.Tasks)
	f.record(state.Record{Kind: state.KindBoot, Volume: b.Volume, Node: f.spec.Node})
	if prior != nil && prior.Code == 0 {
		f.record(state.Record{Kind: state.KindRun})
	}
	changed := f.register()
	left := f.meet(b.Survivors)
	if code, why := f.gaveUpBefore(prior); why != "" {
		if !changed {
			f.beginEnd(&ending{code: code, why: why, final: true})
			return
		}
		f.forgive()
	}
	// Whoever lived on may have been told of other tasks: the record of the last
	// move may be lost, or its telling, and the file may have been edited.
	f.retask(tasks)
	f.dealQueue(true)
	for _, g := range f.glist {
		if f.ending == nil { // else an earlier group has given up
			f.number(g)
			f.resume(g, left[g])
			f.advance(g)
		}
	}
}

// gaveUpBefore is how and why the last run ended without success, "" if it did
// not end.
func (f *Fleet) gaveUpBefore(prior *state.Finish) (code int, why string) {
	if prior != nil && prior.Code != 0 {
		return prior.Code, strings.TrimPrefix(prior.Why, "before: ")
	}
	for _, g := range f.glist {
		r := f.snap.Recovery[g.name]
		switch {
		case r == nil || r.Phase != state.GaveUp:
		case r.Code == NoProgress:
			return r.Code, r.Why
		default:
			return 10, "gave up on group " + g.name + ": " + r.Why
		}
	}
	return 0, ""
}

// forgive opens the groups that gave up: the configuration has changed since.
// All of a group gets another try, or it would start without those whose loss
// made it give up.
func (f *Fleet) forgive() {
	for _, name := range slices.Sorted(maps.Keys(f.snap.Recovery)) {
		if f.snap.Recovery[name].Phase != state.GaveUp {
			continue
		}
		f.record(state.Record{Kind: state.KindPhase, Group: name})
		for _, w := range f.order {
			if w.g.name == name && (w.state == excluded || f.spent(w) || f.track(w).Count > 0) && !w.d.Held {
				f.record(state.Record{Kind: state.KindHold, Worker: w.spec.ID})
				f.enter(w, idle)
			}
		}
	}
}

// register makes the snapshot and the machine hold exactly what is configured.
// It says whether anything is new, is another program or another task than
// before, or was excluded and has budget left by its new settings.
func (f *Fleet) register() (changed bool) {
	wanted := map[string]bool{}
	for _, w := range f.spec.Workers {
		wanted[w.ID] = true
		changed = f.admit(w) || changed
	}
	for _, id := range slices.Sorted(maps.Keys(f.snap.Workers)) {
		if !wanted[id] {
			f.record(state.Record{Kind: state.KindForget, Worker: id})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.snap.Recovery)) {
		if f.groups[name] == nil { // nobody is left whom this chain could bring back
			f.record(state.Record{Kind: state.KindPhase, Group: name})
		}
	}
	f.link()
	return f.registerTasks() || changed
}

// admit makes w a member. A known one only gets its new settings; changed says
// that it is to be started with them.
func (f *Fleet) admit(spec Worker) (changed bool) {
	d := f.snap.Workers[spec.ID]
	changed = d == nil || d.Fingerprint != spec.Fingerprint
	w := f.workers[spec.ID]
	if w != nil {
		f.count(w, -1)
	}
	if changed {
		delete(f.steps, spec.unit())
	}
	if changed || d.Group != spec.Group {
		f.record(state.Record{Kind: state.KindWorker, Worker: spec.ID, Group: spec.Group, Fingerprint: spec.Fingerprint,
			Standby: spec.Standby && !(w != nil && w.spec.Standby && !w.d.Standby)}) // a spare in use stays in use
	}
	program := changed
	if w == nil {
		w = &worker{d: f.snap.Workers[spec.ID], g: f.group(spec.Group)}
		w.wake.fire = func(f *Fleet) {
			table[w.state][evDue](f, w, Tick{})
			f.settle(w)
		}
		w.state = resting(w.d)
		f.workers[spec.ID] = w
		f.order = append(f.order, w)
		w.g.members = append(w.g.members, w)
	}
	w.spec, w.changed, w.brought = spec, program, w.d.BudgetUsed
	if w.d.Excluded && !w.d.Held && !f.spent(w) {
		f.record(state.Record{Kind: state.KindHold, Worker: spec.ID})
		changed = true
	}
	f.count(w, +1)
	return changed
}

// resting is the state of a worker without a process.
func resting(d *state.Worker) wstate {
	switch {
	case d.Excluded:
		return excluded
	case d.Done:
		return done
	}
	return idle
}

func (f *Fleet) group(name string) *group {
	g := f.groups[name]
	if g == nil {
		g = &group{name: name}
		g.deadline.fire = func(f *Fleet) { f.overdue(g) }
		f.groups[name] = g
		f.glist = append(f.glist, g)
	}
	return g
}

// link draws the edges of depends_on.
func (f *Fleet) link() {
	for _, g := range f.glist {
		g.longest = 0
	}
	for _, w := range f.order {
		w.dependents, w.needs, w.met = nil, nil, 0
		w.g.longest = max(w.g.longest, w.spec.startTime())
	}
	for _, w := range f.order {
		for _, d := range w.spec.DependsOn {
			on := f.workers[d.Worker]
			w.needs = append(w.needs, need{on, d.Until})
			on.dependents = append(on.dependents, w)
		}
	}
}

// registerTasks says whether one is new or another than before.
func (f *Fleet) registerTasks() (changed bool) {
	wanted := map[string]bool{}
	for i := range f.spec.Tasks {
		t := &f.spec.Tasks[i]
		wanted[t.ID] = true
		known := f.snap.Tasks[t.ID]
		switch {
		case known == nil:
			f.addTask(t, t.Owner)
			changed = true
		case known.Status != state.TaskDone && differs(known, t):
			owner := known.WorkerID
			f.record(state.Record{Kind: state.KindDrop, TaskID: t.ID})
			f.addTask(t, owner)
			changed = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(f.snap.Tasks)) {
		if !wanted[id] {
			f.record(state.Record{Kind: state.KindDrop, TaskID: id})
			changed = true
		}
	}
	return changed
}

func differs(known *state.Task, t *Task) bool {
	return known.WorkerType != t.Type || known.Weight != t.Weight || string(known.Payload) != string(t.Payload)
}

// addTask gives t to owner, or to the queue if owner takes no part. Whoever is
// on its way out of the fleet keeps it until it is gone: it still works on it.
func (f *Fleet) addTask(t *Task, owner string) {
	if w := f.workers[owner]; w != nil && (w.d.Excluded || w.d.Standby) {
		owner = ""
	}
	f.record(state.Record{Kind: state.KindTask, Task: &state.Task{
		TaskID: t.ID, WorkerID: owner, WorkerType: t.Type, Weight: t.Weight, Payload: t.Payload}})
}

// remains is what was left of a group when ProcGuard came back.
type remains struct {
	living int
	lost   []*worker
}

// meet takes the survivors in and finds who has been lost. One that should not
// live, or is another program now, is stopped before its group does anything.
func (f *Fleet) meet(survivors []Survivor) map[*group]*remains {
	left := map[*group]*remains{}
	for _, g := range f.glist {
		left[g] = &remains{}
	}
	for _, s := range survivors {
		w := f.find(s.Worker, s.Gen)
		if w == nil || w.hasProcess() {
			continue
		}
		left[w.g].living++
		f.adopt(w, s)
	}
	for _, w := range f.order {
		if !w.hasProcess() && (w.d.PID != 0 || w.d.Status == state.Running || w.d.Status == state.Starting) {
			f.record(state.Record{Kind: state.KindExit, Worker: w.spec.ID, Gen: w.d.Generation,
				Cause: &state.Cause{Kind: state.CauseLost}, Expected: true})
			if w.state == idle && f.fit(w) {
				left[w.g].lost = append(left[w.g].lost, w)
			}
		}
	}
	return left
}

func (f *Fleet) adopt(w *worker, s Survivor) {
	wrong := w.state != idle || w.d.Held || w.d.Standby
	f.act(Adopt(s))
	if w.d.PID != s.PID || w.d.StartTicks != s.Ticks {
		f.record(state.Record{Kind: state.KindStarted, Worker: s.Worker, Gen: s.Gen, PID: s.PID, Ticks: s.Ticks})
	}
	was := w.state
	f.enter(w, running)
	w.ready, w.life = time.Time{}, life{born: time.UnixMilli(int64(w.d.StartTime * 1000))}
	if w.d.ReadyTime > 0 {
		w.ready = time.UnixMilli(int64(w.d.ReadyTime * 1000))
	}
	f.note(w, Note{Kind: NoteAdopted, PID: s.PID})
	switch {
	case wrong:
		f.stop(w, restIdle)
		if was == done {
			w.then = beDone
		}
	case w.changed:
		f.stop(w, startAgain)
	case w.d.Status == state.Starting:
		f.toStarting(w)
	}
}

// resume brings a group back to where it stood.
func (f *Fleet) resume(g *group, left *remains) {
	r := f.snap.Recovery[g.name]
	if r == nil {
		f.resumeSteady(g, left)
		return
	}
	g.phase, g.incident, g.attempt = r.Phase, r.Incident, max(r.Attempt, 1)
	for _, id := range r.Culprits {
		if w := f.workers[id]; w != nil && w.g == g {
			g.culprits = append(g.culprits, w)
		}
	}
	switch {
	case left.living > 0 && !f.spec.Recovery.StopAll:
		f.stopGroup(g, nil, nil)
		for _, w := range g.culprits {
			if r.Phase == state.StopAll { // later it is the one that came back
				f.stop(w, f.restFate(w))
			}
		}
	case left.living > 0 || r.Phase == state.StopAll:
		f.stopEvery(g, nil, nil)
	case r.Phase == state.Restart || r.Phase == state.Verify:
		f.restart(g)
	}
}

// resumeSteady starts what is not running. Where some live on and others do
// not, those others died while nobody watched: that is a failure.
func (f *Fleet) resumeSteady(g *group, left *remains) {
	if left.living > 0 && len(left.lost) > 0 && f.spec.Recovery.Auto {
		w := left.lost[0]
		f.enter(w, failed)
		f.fail(w, state.Cause{Kind: state.CauseLost})
		return
	}
	revive := f.worldUnfinished(g)
	for _, m := range g.members {
		if !m.hasProcess() && f.comesBack(m, revive) {
			f.toWaiting(m, 0)
		}
	}
}
