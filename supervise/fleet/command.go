package fleet

import (
	"fmt"
	"slices"

	"github.com/procguard/procguard/state"
)

// hold stops a worker and keeps it down.
func (f *Fleet) hold(w *worker, force bool) {
	if !w.d.Held {
		f.record(state.Record{Kind: state.KindHold, Worker: w.spec.ID, Held: true})
		f.note(w, Note{Kind: NoteHeld})
	}
	if w.state == waiting || w.state == failed {
		f.enter(w, idle)
	}
	if w.state != sweeping || w.then != beDone { // one that has just finished stays so
		f.stop(w, restIdle)
	}
	if force {
		f.kill(w)
	}
}

// startWorker brings w back whatever it was ruled out for.
func (f *Fleet) startWorker(w *worker) {
	if w.d.Held || w.d.Excluded || w.d.Done || w.d.BudgetUsed > 0 || f.track(w).Count > 0 {
		f.count(w, -1)
		f.record(state.Record{Kind: state.KindHold, Worker: w.spec.ID})
		f.count(w, +1)
	}
	if w.d.Standby {
		f.count(w, -1)
		f.record(state.Record{Kind: state.KindActivate, Worker: w.spec.ID})
		f.count(w, +1)
	}
	if !w.hasProcess() && w.state != waiting && w.state != stuck {
		f.enter(w, idle)
	}
	f.dealQueue(false) // somebody more who can take tasks
	switch {
	case w.state == stopping || w.state == sweeping || w.doomed:
		w.then, w.delay = startAgain, 0
	case w.hasProcess() || w.state == stuck:
	case w.g.phase == state.StopAll:
	case w.spec.Ranked && w.g.phase == state.Steady:
		f.regroup(w.g)
	default:
		f.toWaiting(w, 0) // or no longer, if it was waiting for its delay
	}
}

func (f *Fleet) restartWorker(w *worker) {
	if !w.hasProcess() || w.d.Held {
		f.startWorker(w)
		return
	}
	if w.spec.Ranked && w.g.phase == state.Steady {
		f.regroup(w.g)
		return
	}
	w.delay = 0
	f.stop(w, startAgain)
}

// regroup is a chain in which nobody has failed. It is also how a single rank
// comes back: the others could not meet it where they are.
func (f *Fleet) regroup(g *group) {
	g.incident, g.attempt, g.culprits = 0, 1, nil
	f.stopEvery(g, nil, nil)
	f.advance(g)
}

// restartHealthy restarts every group.
func (f *Fleet) restartHealthy(exclude []string) {
	if f.ending != nil {
		return
	}
	for _, id := range exclude {
		f.onWorker(id, func(w *worker) { f.hold(w, false) })
	}
	for _, g := range f.glist {
		if g.phase == state.Steady && f.ending == nil {
			f.regroup(g)
		}
	}
}

// report takes an operator's word that w has failed. It is not dumped first: who
// says so knows why.
func (f *Fleet) report(w *worker, detail string) {
	if !w.lives() {
		return
	}
	c := state.Cause{Kind: state.CauseOperator, Detail: detail, Class: state.ClassOperator}
	if f.ending != nil || !f.spec.Recovery.Auto {
		f.judge(w, c)
		return
	}
	f.fail(w, c)
}

// CanReload says why spec cannot be taken over now, nil if it can.
func (f *Fleet) CanReload(spec Spec) error {
	if err := spec.check(); err != nil {
		return err
	}
	if f.ending != nil {
		return fmt.Errorf("everything is being stopped")
	}
	for _, g := range f.glist {
		if g.phase != state.Steady {
			return fmt.Errorf("group %s is recovering (%s); try again when it is back", g.name, g.phase)
		}
	}
	for _, s := range spec.Workers {
		if w := f.workers[s.ID]; w != nil && w.g.name != s.Group {
			return fmt.Errorf("worker %s cannot move from group %s to %s while it exists; give it another worker_id", s.ID, w.g.name, s.Group)
		}
		if w := f.workers[s.ID]; w != nil && w.then == forgotten {
			return fmt.Errorf("worker %s is still being removed", s.ID)
		}
	}
	return nil
}

// reload carries out what CanReload has allowed.
func (f *Fleet) reload(spec Spec) {
	if f.CanReload(spec) != nil {
		return
	}
	old := f.spec
	f.spec = spec
	var restart, fresh []*worker
	wanted := map[string]bool{}
	for _, s := range spec.Workers {
		wanted[s.ID] = true
		known := f.workers[s.ID] != nil
		if f.admit(s) {
			if w := f.workers[s.ID]; known {
				restart = append(restart, w)
			} else {
				fresh = append(fresh, w)
			}
		}
	}
	f.relist(spec)
	f.dismiss(wanted)
	f.link()
	f.registerTasks()
	f.dealQueue(true)
	for _, g := range f.glist {
		f.number(g)
	}
	for _, w := range fresh {
		if f.comesBack(w, false) {
			f.toWaiting(w, 0)
		}
	}
	for _, w := range restart {
		f.renew(w)
	}
	f.reconsider()
	f.retask(len(old.Tasks))
	f.act(Emit{Note{Kind: NoteReloaded, Time: f.now,
		Text: fmt.Sprintf("%d workers new, %d changed, %d in all", len(fresh), len(restart), len(spec.Workers))}})
}

// dismiss removes all who are not wanted. They are marked before the first one
// goes, or its tasks would be given to the next one.
func (f *Fleet) dismiss(wanted map[string]bool) {
	for _, w := range f.order {
		if wanted[w.spec.ID] {
			continue
		}
		if w.state == waiting {
			f.enter(w, idle)
		}
		w.then = forgotten
	}
	for _, w := range slices.Clone(f.order) {
		if !wanted[w.spec.ID] {
			f.remove(w)
		}
	}
}

// renew has w run its new program, unless it is not meant to run.
func (f *Fleet) renew(w *worker) {
	switch {
	case w.hasProcess() && (w.d.Held || w.d.Standby):
		f.stop(w, restIdle)
	case w.hasProcess():
		f.restartWorker(w)
	case w.d.Held || w.d.Standby:
		f.enter(w, idle)
	default:
		f.startWorker(w)
	}
}

// reconsider starts what the new configuration allows: those who waited for
// something that is gone, and those who had finished and have got new tasks.
func (f *Fleet) reconsider() {
	for _, w := range f.order {
		switch {
		case w.state == waiting:
			f.trySpawn(w)
		case w.state == done && w.g.phase != state.StopAll && f.comesBack(w, false):
			f.toWaiting(w, 0)
		}
	}
}

// relist brings workers into the order of the new file; what is no longer in
// it comes last until it is gone.
func (f *Fleet) relist(spec Spec) {
	place := map[string]int{}
	for i, s := range spec.Workers {
		place[s.ID] = i + 1
	}
	by := func(a, b *worker) int {
		x, y := place[a.spec.ID], place[b.spec.ID]
		if (x == 0) != (y == 0) {
			return y - x
		}
		return x - y
	}
	slices.SortStableFunc(f.order, by)
	for _, g := range f.glist {
		slices.SortStableFunc(g.members, by)
	}
}

// remove takes w out of the fleet, once it is down.
func (f *Fleet) remove(w *worker) {
	w.spec.DependsOn, w.spec.Standby = nil, false
	if w.hasProcess() {
		f.stop(w, forgotten)
		return
	}
	f.enter(w, idle)
	f.forget(w)
}

func (f *Fleet) forget(w *worker) {
	f.alarms.clear(&w.wake)
	f.count(w, -1)
	f.record(state.Record{Kind: state.KindForget, Worker: w.spec.ID})
	is := func(x *worker) bool { return x == w }
	f.order = slices.DeleteFunc(f.order, is)
	w.g.members = slices.DeleteFunc(w.g.members, is)
	w.g.culprits = slices.DeleteFunc(w.g.culprits, is)
	delete(f.workers, w.spec.ID)
	for _, x := range f.order {
		x.needs = slices.DeleteFunc(x.needs, func(n need) bool { return n.w == w })
	}
	if len(f.snap.TaskQueue) > 0 {
		f.dealQueue(true)
		f.reconsider()
	}
}

// retask has the task files of living workers written again where their tasks
// may have changed.
func (f *Fleet) retask(before int) {
	if before+len(f.spec.Tasks) == 0 {
		return
	}
	for _, w := range f.order {
		if w.atWork() {
			f.act(Retask{Worker: w.spec.ID, Gen: w.d.Generation})
		}
	}
}
