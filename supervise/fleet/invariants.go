package fleet

import (
	"fmt"

	"github.com/procguard/procguard/state"
)

// Check finds the first contradiction inside the machine: counters that do not
// count, tasks with the wrong owner, a chain that nothing will ever end. It is
// for tests and the simulation; it looks at every worker.
func (f *Fleet) Check() error {
	if err := f.snap.Validate(); err != nil {
		return err
	}
	var n [nStates]int
	spares := 0
	for _, w := range f.order {
		n[w.state]++
		if w.state == idle && w.d.Standby {
			spares++
		}
		if err := f.checkWorker(w); err != nil {
			return fmt.Errorf("worker %s (%s): %w", w.spec.ID, w.state, err)
		}
	}
	if n != f.n || spares != f.spares {
		return fmt.Errorf("counted %v and %d spares, found %v and %d", f.n, f.spares, n, spares)
	}
	for _, g := range f.glist {
		if err := f.checkGroup(g); err != nil {
			return fmt.Errorf("group %s (%q): %w", g.name, g.phase, err)
		}
	}
	if err := f.checkTracks(); err != nil {
		return err
	}
	return f.checkTasks()
}

// checkTracks: nothing is kept of units that are no more, and what is known is
// never less than what is on record.
func (f *Fleet) checkTracks() error {
	units := map[string]bool{}
	for _, w := range f.order {
		units[w.spec.ID] = true
		units[state.RankUnit(w.spec.Group)] = true
	}
	for _, g := range f.glist {
		units[state.RankUnit(g.name)] = true
	}
	for u := range f.snap.Tracks {
		if !units[u] {
			return fmt.Errorf("a track is left of %s", u)
		}
	}
	return nil
}

func (f *Fleet) checkWorker(w *worker) error {
	switch {
	case f.snap.Workers[w.spec.ID] != w.d:
		return fmt.Errorf("its durable part is not the snapshot's")
	case w.doomed && w.state != spawning:
		return fmt.Errorf("doomed")
	case w.d.BudgetUsed > max(w.spec.MaxRestarts, w.brought)+1:
		return fmt.Errorf("used %d of %d restarts", w.d.BudgetUsed, w.spec.MaxRestarts)
	case w.state == stopping && w.wake.index == 0, w.state == sweeping && w.wake.index == 0:
		return fmt.Errorf("nothing bounds its end")
	case w.state == suspect && (w.wake.index == 0 || w.verdict == nil || (w.before != starting && w.before != running)):
		return fmt.Errorf("nothing bounds its dump, or nobody knows why")
	case w.verdict != nil && !w.hasProcess():
		return fmt.Errorf("judged although it does not live")
	case w.state == running && w.wake.index != 0 && !w.wake.at.Equal(w.firstDeadline()), w.state == running && w.wake.index == 0 && !w.firstDeadline().IsZero():
		return fmt.Errorf("its alarm is not its first deadline")
	case w.hasProcess() && (w.d.Excluded || w.d.Done) && w.state < stopping:
		return fmt.Errorf("runs although it is out")
	}
	return nil
}

func (f *Fleet) checkGroup(g *group) error {
	var n [nStates]int
	doomed := 0
	for _, m := range g.members {
		n[m.state]++
		if m.doomed {
			doomed++
		}
	}
	if n != g.n || doomed != g.doomed {
		return fmt.Errorf("counted %v and %d doomed, found %v and %d", g.n, g.doomed, n, doomed)
	}
	if f.ending != nil || f.exited {
		return nil
	}
	rec := f.snap.Recovery[g.name]
	if (rec == nil) != (g.phase == state.Steady) || (rec != nil && rec.Phase != g.phase) {
		return fmt.Errorf("durable phase is %+v", rec)
	}
	switch {
	case g.phase == state.Reassign:
		return fmt.Errorf("stopped half-way")
	case g.phase == state.StopAll && g.ending() == 0:
		return fmt.Errorf("nobody is left to wait for")
	case (g.phase == state.Restart || g.phase == state.Verify) && g.deadline.index == 0:
		return fmt.Errorf("nothing bounds it")
	case g.phase == state.Steady && n[failed] > 0 && f.spec.Recovery.Auto:
		return fmt.Errorf("%d failures nobody deals with", n[failed])
	}
	return nil
}

// checkTasks: in a fleet at rest every task that is not done or set aside has
// an owner that may run, if there is anybody fit for it.
func (f *Fleet) checkTasks() error {
	if f.ending != nil || f.exited {
		return nil
	}
	for id, t := range f.snap.Tasks {
		if t.Status != state.TaskAssigned {
			continue
		}
		w := f.workers[t.WorkerID]
		if w == nil {
			return fmt.Errorf("task %s belongs to %s, which is no more", id, t.WorkerID)
		}
		if w.g.phase == state.Steady && w.d.Excluded && f.spec.Recovery.Reassign {
			return fmt.Errorf("task %s belongs to %s, which is excluded", id, t.WorkerID)
		}
	}
	return nil
}
