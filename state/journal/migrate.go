package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/procguard/procguard/state"
)

// migrations[v] turns a snapshot of version v into one of version v+1.
var migrations = [state.Version]func([]byte) ([]byte, error){
	0: fromOriginal,
}

// decodeSnapshot reads a snapshot of any version up to ours and returns which
// one it was. It is checked: what it returns can be applied to. A newer one
// gives a *VersionError without a path.
func decodeSnapshot(data []byte) (*state.Snapshot, int, error) {
	from, err := versionOf(data)
	if err != nil {
		return nil, 0, err
	}
	for v := from; v < state.Version; v++ {
		if data, err = migrations[v](data); err != nil {
			return nil, from, fmt.Errorf("migrating from version %d: %w", v, err)
		}
	}
	snap := &state.Snapshot{}
	if err := json.Unmarshal(data, snap); err != nil {
		return nil, from, err
	}
	snap.Normalize()
	if err := snap.Validate(); err != nil {
		return nil, from, err
	}
	return snap, from, nil
}

func versionOf(data []byte) (int, error) {
	var head struct {
		Version json.RawMessage `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return 0, err
	}
	if len(head.Version) == 0 || string(head.Version) == "null" {
		return 0, nil
	}
	v, err := strconv.Atoi(string(head.Version))
	if err != nil || v < 0 || v > state.Version {
		return 0, &VersionError{Found: string(head.Version), Known: state.Version}
	}
	return v, nil
}

// object is a JSON object whose values may be anything: the original wrote no
// schema, so what has an unexpected type counts as missing.
type object map[string]any

func (o object) text(key string) string {
	s, _ := o[key].(string)
	return s
}

func (o object) number(key string) float64 {
	n, _ := o[key].(json.Number)
	f, _ := n.Float64()
	return f
}

func (o object) child(key string) object {
	m, _ := o[key].(map[string]any)
	return m
}

func (o object) list(key string) []any {
	l, _ := o[key].([]any)
	return l
}

// fromOriginal imports the state file of the Python original, which has no
// version: workers with their restart counts, tasks and who owns them. Its
// pids are left out, for without a start time nobody can tell whose they are
// now; a worker's status is unknown until it is started here.
func fromOriginal(data []byte) ([]byte, error) {
	var in object
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&in); err != nil {
		return nil, err
	}
	if len(in) > 0 && in["workers"] == nil && in["tasks"] == nil && in["task_queue"] == nil {
		return nil, errors.New("it has no workers, tasks or task_queue")
	}
	im := &importer{snap: state.New(), tasks: in.child("tasks")}
	workers := in.child("workers")
	for _, id := range slices.Sorted(maps.Keys(workers)) {
		im.worker(id, workers.child(id))
	}
	im.queue(in.list("task_queue"))
	im.ownTasks(workers)
	for _, id := range slices.Sorted(maps.Keys(im.tasks)) {
		im.task(id, im.tasks.child(id).owner())
	}
	if im.err != nil {
		return nil, im.err
	}
	im.snap.Seq = 0 // what was imported was never in our journal
	return json.Marshal(im.snap)
}

func (o object) owner() string {
	for _, key := range []string{"worker_id", "assigned_worker", "assigned_to"} {
		if id := o.text(key); id != "" {
			return id
		}
	}
	return ""
}

// importer goes through Apply, so that its result is a valid snapshot whatever
// the original wrote.
type importer struct {
	snap  *state.Snapshot
	tasks object
	err   error
}

func (im *importer) apply(r state.Record) {
	r.Seq = im.snap.Seq + 1
	if err := state.Apply(im.snap, &r); err != nil && im.err == nil {
		im.err = err
	}
}

func (im *importer) worker(id string, o object) {
	im.apply(state.Record{Kind: state.KindWorker, Worker: id})
	w := im.snap.Workers[id]
	if w == nil {
		return
	}
	w.RestartCount = max(0, int(o.number("restart_count")))
	w.LastError = o.text("last_error")
	w.StartTime = o.number("start_time")
}

// queue imports the queue in its order; an entry is an id or a task.
func (im *importer) queue(list []any) {
	for _, e := range list {
		if id, ok := e.(string); ok {
			im.task(id, "")
			continue
		}
		o, _ := e.(map[string]any)
		id := object(o).text("task_id")
		if id == "" {
			continue
		}
		if im.tasks == nil {
			im.tasks = object{}
		}
		if im.tasks[id] == nil {
			im.tasks[id] = o
		}
		im.task(id, "")
	}
}

// ownTasks imports what the workers list, which counts for more than what a
// task says of its owner: the order in the list is the order of work.
func (im *importer) ownTasks(workers object) {
	for _, id := range slices.Sorted(maps.Keys(workers)) {
		for _, e := range workers.child(id).list("assigned_tasks") {
			if tid, ok := e.(string); ok {
				im.task(tid, id)
			}
		}
	}
}

// task imports one task unless it is known already.
func (im *importer) task(id, owner string) {
	if id == "" || im.snap.Tasks[id] != nil {
		return
	}
	o := im.tasks.child(id)
	t := &state.Task{TaskID: id, WorkerType: o.text("worker_type"), Weight: o.number("weight")}
	if o["weight"] == nil {
		t.Weight = 1
	}
	if im.snap.Workers[owner] != nil {
		t.WorkerID = owner
	}
	for _, key := range []string{"payload", "data", "task_data"} {
		if v := o[key]; v != nil && t.Payload == nil {
			t.Payload, _ = json.Marshal(v)
		}
	}
	im.apply(state.Record{Kind: state.KindTask, Task: t})
	switch o.text("status") {
	case "completed", "done", "finished":
		im.apply(state.Record{Kind: state.KindSetAside, TaskID: id})
		im.snap.Tasks[id].Status = state.TaskDone
	}
}
