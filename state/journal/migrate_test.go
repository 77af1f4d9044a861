package journal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/procguard/procguard/state"
)

// original is a state file as the Python original's StateManager writes it.
const original = `{
  "workers": {
    "worker_0": {"worker_id": "worker_0", "pid": 4242, "status": "running", "start_time": 1700000000.5,
      "last_heartbeat": 1700000009.1, "restart_count": 2, "last_error": null, "assigned_tasks": ["shard-1", "shard-0"]},
    "worker_1": {"worker_id": "worker_1", "pid": null, "status": "failed", "start_time": null,
      "last_heartbeat": null, "restart_count": 3, "last_error": "exit 1", "assigned_tasks": ["shard-0"]}
  },
  "tasks": {
    "shard-0": {"task_id": "shard-0", "worker_id": "worker_1", "data": {"file": "a.txt"}, "weight": 2},
    "shard-1": {"task_id": "shard-1", "status": "running"},
    "shard-2": {"task_id": "shard-2", "assigned_worker": "worker_1"},
    "shard-3": {"task_id": "shard-3", "assigned_worker": "worker_1", "status": "completed"},
    "shard-4": null
  },
  "task_queue": ["shard-9", {"task_id": "shard-8", "worker_type": "training"}, 7]
}`

func TestMigrationFromTheOriginal(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, MirrorName, original)
	var log spy
	o := open(t, dir, Options{Log: log.log})
	s := o.snap
	w0, w1 := s.Workers["worker_0"], s.Workers["worker_1"]
	if w0.RestartCount != 2 || w0.PID != 0 || w0.Status != state.Unknown || w1.LastError != "exit 1" {
		t.Errorf("workers are %+v %+v", w0, w1)
	}
	// shard-0 is listed by two workers: it gets one owner.
	owners := map[string]string{"shard-0": "worker_0", "shard-1": "worker_0", "shard-2": "worker_1", "shard-3": "", "shard-4": "", "shard-8": "", "shard-9": ""}
	for id, owner := range owners {
		if task := s.Tasks[id]; task == nil || task.WorkerID != owner {
			t.Errorf("task %s is %+v, want owner %q", id, task, owner)
		}
	}
	if len(s.Tasks) != len(owners) || s.Tasks["shard-3"].Status != state.TaskDone {
		t.Errorf("tasks are %v", text(t, s.Tasks))
	}
	if got := strings.Join(s.TaskQueue, " "); got != "shard-9 shard-8 shard-4" {
		t.Errorf("queue is %s", got)
	}
	if s.Tasks["shard-0"].Weight != 2 || s.Tasks["shard-1"].Weight != 1 || string(s.Tasks["shard-0"].Payload) != `{"file":"a.txt"}` {
		t.Errorf("shard-0 is %+v", s.Tasks["shard-0"])
	}
	if got, _ := os.ReadFile(filepath.Join(dir, MirrorName+".v0")); string(got) != original {
		t.Error("the original file was not kept")
	}
	if !strings.Contains(strings.Join(log.all(), "\n"), "migrated from version 0") {
		t.Errorf("log is %q", log.all())
	}
	o.epochs(1)
	want := o.snap.Clone()
	o.die()
	o = open(t, dir, Options{})
	same(t, o.snap, want)
	o.close()
}

func TestNewerVersionIsRefused(t *testing.T) {
	for _, version := range []string{"2", "99", `"1.0"`, "-1", "1.5"} {
		dir := t.TempDir()
		write(t, dir, MirrorName, `{"version":`+version+`,"workers":{}}`)
		_, _, err := Open(dir, Options{})
		var v *VersionError
		if !errors.As(err, &v) || v.Found != version || !strings.Contains(err.Error(), MirrorName) || v.Hint() == "" {
			t.Errorf("version %s: error is %v", version, err)
		}
		if _, err := Read(dir); !errors.As(err, &v) {
			t.Errorf("version %s: Read gives %v", version, err)
		}
	}
	dir := t.TempDir()
	write(t, dir, segmentName(1), string(appendLine(nil, keyBase, []byte(`{"version":7}`))))
	var v *VersionError
	if _, _, err := Open(dir, Options{}); !errors.As(err, &v) || !strings.Contains(v.Path, "journal-") {
		t.Errorf("newer segment: error is %v", err)
	}
}

func TestForeignJSONIsNotTakenForState(t *testing.T) {
	for _, foreign := range []string{`{"name":"x"}`, `[]`, `"text"`, `7`} {
		dir := t.TempDir()
		write(t, dir, MirrorName, foreign)
		var c *CorruptError
		if _, _, err := Open(dir, Options{}); !errors.As(err, &c) {
			t.Errorf("%s: error is %v", foreign, err)
		}
	}
}
