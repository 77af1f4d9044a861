package state_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/procguard/procguard/state"
)

// The keys of the Python original, which tools that read state.json rely on.
func TestJSONShapeOfTheOriginal(t *testing.T) {
	s := play(t, base()...)
	var got struct {
		Workers   map[string]map[string]any `json:"workers"`
		Tasks     map[string]map[string]any `json:"tasks"`
		TaskQueue []string                  `json:"task_queue"`
	}
	if err := json.Unmarshal([]byte(mustJSON(t, s)), &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"worker_id", "pid", "status", "start_time", "last_heartbeat", "restart_count", "last_error", "assigned_tasks"} {
		if v, ok := got.Workers["b"][key]; !ok || v == nil {
			t.Errorf("workers.b.%s is %v", key, v)
		}
	}
	if got.Workers["a"]["pid"] != 7.0 || got.Workers["a"]["status"] != "running" {
		t.Errorf("workers.a is %v", got.Workers["a"])
	}
	if got.Tasks["t1"]["task_id"] != "t1" || got.Tasks["t1"]["worker_id"] != "a" {
		t.Errorf("tasks.t1 is %v", got.Tasks["t1"])
	}
	if !slices.Equal(got.TaskQueue, []string{"t3"}) {
		t.Errorf("task_queue is %v", got.TaskQueue)
	}
}

func TestNormalizeLeavesNoNull(t *testing.T) {
	s := &state.Snapshot{Workers: map[string]*state.Worker{"a": {WorkerID: "a"}}, Recovery: map[string]*state.Recovery{"g": {}}}
	s.Normalize()
	if text := mustJSON(t, s); strings.Contains(text, "null") {
		t.Errorf("null in %s", text)
	}
	if err := state.Apply(s, &state.Record{Seq: 1, Kind: state.KindTask, Task: &state.Task{TaskID: "t", WorkerID: "a"}}); err != nil {
		t.Error(err)
	}
}

func TestValidateFindsContradictions(t *testing.T) {
	rows := []struct {
		name   string
		damage func(*state.Snapshot)
		want   string
	}{
		{"none", func(*state.Snapshot) {}, ""},
		{"nil worker", func(s *state.Snapshot) { s.Workers["b"] = nil }, `worker "b"`},
		{"worker under another key", func(s *state.Snapshot) { s.Workers["c"] = s.Workers["b"] }, `worker "c"`},
		{"nil task", func(s *state.Snapshot) { s.Tasks["t3"] = nil }, `task "t3"`},
		{"task under another key", func(s *state.Snapshot) { s.Tasks["t4"] = s.Tasks["t3"] }, `task "t4"`},
		{"listed by two", func(s *state.Snapshot) { s.Workers["b"].AssignedTasks = []string{"t1"} }, "does not own"},
		{"listed twice", func(s *state.Snapshot) { s.Workers["a"].AssignedTasks = []string{"t1", "t1"} }, "twice"},
		{"not listed", func(s *state.Snapshot) { s.Workers["a"].AssignedTasks = []string{"t1"} }, "disagree"},
		{"owner is unknown", func(s *state.Snapshot) { s.Tasks["t3"].WorkerID = "x"; s.Tasks["t3"].Status = state.TaskAssigned }, `unknown worker "x"`},
		{"queued with an owner", func(s *state.Snapshot) { s.Tasks["t1"].Status = state.TaskQueued }, "with owner"},
		{"queue names an owned one", func(s *state.Snapshot) { s.TaskQueue = []string{"t3", "t1"} }, `"t1"`},
		{"queue names one twice", func(s *state.Snapshot) { s.TaskQueue = []string{"t3", "t3"} }, `"t3"`},
		{"queue lacks one", func(s *state.Snapshot) { s.TaskQueue = nil }, "task_queue names 0"},
		{"nil track", func(s *state.Snapshot) { s.Tracks["a"] = nil }, `track of "a"`},
		{"count without a signature", func(s *state.Snapshot) { s.Tracks["a"] = &state.Track{Count: 2} }, `track of "a"`},
		{"nil recovery", func(s *state.Snapshot) { s.Recovery["g"] = nil }, `group "g"`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s := play(t, base()...)
			row.damage(s)
			err := s.Validate()
			if row.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error is %v, want one with %q", err, row.want)
			}
		})
	}
}
