package config

import (
	"slices"

	"github.com/procguard/procguard/supervise/config/dotenv"
)

// taskBook gathers tasks by id while owners are found.
type taskBook struct {
	d     *decoder
	names *roster
	list  []*taskSpec
	byID  map[string]*taskSpec
	dealt map[string]int // tasks that each entry has handed out
}

// dealTasks makes one task of each id, with its first owner, and returns the ids
// that each worker owns.
func (d *decoder) dealTasks(cfg *Config, spec *fileSpec, names *roster) map[string][]string {
	b := &taskBook{d: d, names: names, byID: map[string]*taskSpec{}, dealt: map[string]int{}}
	for _, e := range spec.entries {
		for _, t := range e.tasks {
			b.fromWorker(e, t)
		}
	}
	for _, t := range spec.tasks {
		b.fromTop(t)
	}
	deals := map[string][]string{}
	for _, t := range b.list {
		b.settle(t)
		cfg.Tasks = append(cfg.Tasks, t.Task)
		if t.WorkerID != "" {
			deals[t.WorkerID] = append(deals[t.WorkerID], t.ID)
		}
	}
	return deals
}

// fromWorker adds an item of a worker's own list; replicas take turns.
func (b *taskBook) fromWorker(e *entry, t taskSpec) {
	if t.ID == "" || e.Entry == "" {
		return
	}
	if owner, _ := b.names.find(t.WorkerID); t.WorkerID != "" && owner != e {
		b.d.fail(t.at, "", "this task is listed by %q but names another worker_id", e.Entry)
		return
	}
	if b.taken(t) {
		return
	}
	if t.WorkerID == "" || t.WorkerID == e.Entry {
		t.WorkerID = b.next(e)
	}
	b.add(t)
}

// next is the replica whose turn it is.
func (b *taskBook) next(e *entry) string {
	n := b.dealt[e.Entry]
	b.dealt[e.Entry]++
	return e.id(n % e.count())
}

func (b *taskBook) taken(t taskSpec) bool {
	first := b.byID[t.ID]
	if first != nil {
		b.d.fail(t.at, "", "the task %q is given twice; first on line %d", dotenv.Clip(t.ID), first.at.node.Line)
	}
	return first != nil
}

func (b *taskBook) add(t taskSpec) {
	b.list = append(b.list, &t)
	b.byID[t.ID] = &t
}

// fromTop adds an item of the top-level list. It may describe a task that a
// worker only lists by id.
func (b *taskBook) fromTop(t taskSpec) {
	if t.ID == "" {
		return
	}
	if first := b.byID[t.ID]; first != nil && first.listed {
		b.describe(first, t)
		return
	}
	if b.taken(t) {
		return
	}
	if t.WorkerID != "" {
		owner, ids := b.names.find(t.WorkerID)
		if owner == nil {
			b.d.fail(t.at.key("worker_id", t.marks["worker_id"]), meant(t.WorkerID, b.names.names()), "there is no worker %q", dotenv.Clip(t.WorkerID))
			return
		}
		if t.WorkerID = ids[0]; len(ids) > 1 {
			t.WorkerID = b.next(owner)
		}
	}
	b.add(t)
}

// describe fills a task that a worker lists with what the top level says of it.
func (b *taskBook) describe(listed *taskSpec, t taskSpec) {
	if t.WorkerID != "" {
		owner, ids := b.names.find(t.WorkerID)
		switch {
		case owner != nil && len(ids) == 1 && ids[0] != listed.WorkerID && owner == b.names.workers[listed.WorkerID].entry:
			listed.WorkerID = ids[0] // the same entry, a replica chosen by name
		case owner == nil || !slices.Contains(ids, listed.WorkerID):
			b.d.fail(t.at.key("worker_id", t.marks["worker_id"]), "",
				"the task %q is listed by %q on line %d", dotenv.Clip(t.ID), listed.WorkerID, listed.at.node.Line)
			return
		}
	}
	t.WorkerID, t.at = listed.WorkerID, listed.at
	*listed = t
}

// settle gives a task its type and checks that somebody may own it.
func (b *taskBook) settle(t *taskSpec) {
	owner, owned := b.names.workers[t.WorkerID]
	if t.WorkerType == "" {
		t.WorkerType = "default"
		if owned {
			t.WorkerType = owner.Type
		}
	}
	switch {
	case owned && owner.Type != t.WorkerType:
		b.d.fail(t.at, "", "the task %q is for workers of type %q, but its worker %q is of type %q",
			dotenv.Clip(t.ID), t.WorkerType, t.WorkerID, owner.Type)
	case owned && owner.Standby:
		b.d.fail(t.at, "", "the task %q belongs to %q, a standby, which owns nothing at first", dotenv.Clip(t.ID), t.WorkerID)
	case !owned && !b.names.hasType(t.WorkerType):
		b.d.fail(t.at, meant(t.WorkerType, b.names.types()), "the task %q is for workers of type %q, and there are none", dotenv.Clip(t.ID), t.WorkerType)
	}
}

func (r *roster) hasType(name string) bool { return slices.Contains(r.types(), name) }

// types are the worker types there are, in order.
func (r *roster) types() []string {
	var list []string
	for _, e := range r.entries {
		list = append(list, e.Type)
	}
	slices.Sort(list)
	return slices.Compact(list)
}
