package fleet

import (
	"fmt"
	"slices"
	"strings"

	"github.com/procguard/procguard/state"
)

// deathsPerTask is how many owners a task may lose before it is set aside: the
// retries of the shard queues users know (DLRover).
const deathsPerTask = 3

// Load is a worker that can take tasks, and the weight it carries already.
type Load struct {
	Worker string
	Weight float64
}

// Weighted is a task to be placed.
type Weighted struct {
	Task   string
	Weight float64
}

// Assign places tasks on workers: heaviest first, each on whoever carries least,
// the earlier one among equals. Nothing that has an owner is moved. With no
// worker the result is empty.
func Assign(tasks []Weighted, workers []Load) map[string]string {
	moves := make(map[string]string, len(tasks))
	if len(workers) == 0 {
		return moves
	}
	tasks, workers = slices.Clone(tasks), slices.Clone(workers)
	slices.SortStableFunc(tasks, func(a, b Weighted) int {
		switch {
		case a.Weight > b.Weight:
			return -1
		case a.Weight < b.Weight:
			return 1
		}
		return strings.Compare(a.Task, b.Task)
	})
	for _, t := range tasks {
		least := 0
		for i := range workers {
			if workers[i].Weight < workers[least].Weight {
				least = i
			}
		}
		workers[least].Weight += t.Weight
		moves[t.Task] = workers[least].Worker
	}
	return moves
}

// redeal hands on the tasks of those who failed, and any that had no owner.
func (f *Fleet) redeal(g *group) {
	for _, w := range g.culprits {
		f.setAside(w)
	}
	for _, w := range g.culprits {
		if len(w.d.AssignedTasks) == 0 || !f.spec.Recovery.Reassign {
			continue
		}
		to := f.receivers(g, w.spec.Type, false)
		if len(to) == 0 && w.d.Excluded {
			to = f.receivers(g, w.spec.Type, true)
		}
		switch {
		case len(to) > 0:
			f.move(w, Assign(f.weights(w.d.AssignedTasks), to), w.d.AssignedTasks, "")
		case w.d.Excluded:
			f.queue(w)
		}
	}
	f.dealQueue(false)
}

// queue takes w's tasks away, for whoever may come.
func (f *Fleet) queue(w *worker) {
	moves := map[string]string{}
	for _, id := range w.d.AssignedTasks {
		moves[id] = ""
	}
	f.record(state.Record{Kind: state.KindAssign, Moves: moves})
}

func (f *Fleet) setAside(w *worker) {
	for _, id := range slices.Clone(w.d.AssignedTasks) {
		if f.snap.Tasks[id].Deaths >= deathsPerTask {
			f.record(state.Record{Kind: state.KindSetAside, TaskID: id})
			f.note(w, Note{Kind: NoteSetAside, Tasks: []string{id}})
		}
	}
}

// receivers are the members that can take tasks of a type: those that did not
// fail just now, and have not finished unless finished is wanted.
func (f *Fleet) receivers(g *group, typ string, finished bool) []Load {
	var to []Load
	for _, m := range g.members {
		if m.spec.Type == typ && f.fit(m) && !g.blames(m) && (m.state == done) == finished {
			to = append(to, Load{m.spec.ID, f.weight(m)})
		}
	}
	return to
}

func (f *Fleet) weight(w *worker) (sum float64) {
	for _, t := range f.weights(w.d.AssignedTasks) {
		sum += t.Weight
	}
	return sum
}

func (f *Fleet) weights(ids []string) []Weighted {
	out := make([]Weighted, len(ids))
	for i, id := range ids {
		out[i] = Weighted{id, f.snap.Tasks[id].Weight}
	}
	return out
}

// move gives tasks of w away: each as moves says, or all to one.
func (f *Fleet) move(w *worker, moves map[string]string, ids []string, all string) {
	from := ""
	if w != nil {
		from = w.spec.ID
	}
	byOwner := map[string][]string{}
	var owners []string
	for _, id := range ids {
		if all != "" {
			moves[id] = all
		}
		to := moves[id]
		if byOwner[to] == nil {
			owners = append(owners, to)
		}
		byOwner[to] = append(byOwner[to], id)
	}
	f.record(state.Record{Kind: state.KindAssign, Moves: moves})
	for _, id := range owners {
		m := f.workers[id]
		f.note(m, Note{Kind: NoteMoved, From: from, Tasks: byOwner[id]})
		if m.atWork() {
			f.act(Retask{Worker: id, Gen: m.d.Generation})
		}
	}
}

// dealQueue gives every queued task to a fit worker of its type, if there is one:
// to one that has finished only if the caller starts those again, and nobody
// else is there.
func (f *Fleet) dealQueue(revive bool) {
	byType := map[string][]string{}
	var types []string
	for _, id := range f.snap.TaskQueue {
		typ := f.snap.Tasks[id].WorkerType
		if byType[typ] == nil {
			types = append(types, typ)
		}
		byType[typ] = append(byType[typ], id)
	}
	for _, typ := range types {
		var to []Load
		for _, g := range f.glist {
			to = append(to, f.receivers(g, typ, false)...)
		}
		for _, g := range f.glist {
			if len(to) == 0 && revive {
				to = f.receivers(g, typ, true)
			}
		}
		if moves := Assign(f.weights(byType[typ]), to); len(moves) > 0 {
			f.move(nil, moves, byType[typ], "")
		}
	}
}

// unfinished says which tasks nobody has done when everyone has ended, or "".
func (f *Fleet) unfinished() string {
	var ids []string
	for id, t := range f.snap.Tasks {
		if t.Status != state.TaskDone {
			ids = append(ids, fmt.Sprintf("%s (%s)", id, strings.ReplaceAll(string(t.Status), "_", " ")))
		}
	}
	if len(ids) == 0 {
		return ""
	}
	slices.Sort(ids)
	more := ""
	if len(ids) > 5 {
		more = fmt.Sprintf(" and %d more", len(ids)-5)
	}
	return "tasks not done: " + strings.Join(ids[:min(5, len(ids))], ", ") + more
}

// number gives the ranks of a group their places, in the order of the file.
func (f *Fleet) number(g *group) {
	before := g.world
	g.world = 0
	for _, m := range g.members {
		if m.spec.Ranked && f.fit(m) {
			m.rank = g.world
			g.world++
		}
	}
	g.meeting = fmt.Sprintf("%s/%d/%d/%d", g.name, f.snap.Boots, f.snap.Epoch, g.attempt)
	if before > g.world {
		f.act(Emit{Note{Kind: NoteShrunk, Time: f.now, Group: g.name, Incident: g.incident, Epoch: f.snap.Epoch,
			Text: fmt.Sprintf("%d ranks instead of %d", g.world, before)}})
	}
}

func (f *Fleet) rank(w *worker) *Rank {
	if !w.spec.Ranked {
		return nil
	}
	return &Rank{Rank: w.rank, World: w.g.world, Rendezvous: w.g.meeting}
}
