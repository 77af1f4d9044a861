package supervise

import (
	"encoding/json"
	"iter"
	"net/url"
	"os"
	"path/filepath"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/fleet"
)

// The scratch directory holds what ProcGuard and a worker tell each other by
// file. It is under the state directory, or in the temporary one if there is
// none; the names are those in the worker's environment.

func (l *loop) scratchPath(worker, kind string) string {
	return filepath.Join(l.scratch, url.PathEscape(worker)+"."+kind)
}

func (l *loop) tasksPath(worker string) string { return l.scratchPath(worker, "tasks.json") }
func (l *loop) beatPath(worker string) string  { return l.scratchPath(worker, "heartbeat") }
func (l *loop) errorPath(worker string) string { return l.scratchPath(worker, "error.json") }

func (l *loop) paths(worker string) []string {
	if l.scratch == "" {
		return nil
	}
	return []string{l.tasksPath(worker), l.beatPath(worker), l.errorPath(worker)}
}

// writeTasks writes the worker's tasks, with their payloads, in one step. The
// other files of an earlier process are removed: they are not this one's.
func (l *loop) writeTasks(worker string, w *instance) error {
	if l.scratch == "" {
		return nil
	}
	w.files = l.paths(worker)
	_ = os.Remove(l.beatPath(worker))
	_ = os.Remove(l.errorPath(worker))
	if len(l.cfg.Tasks) == 0 {
		return nil
	}
	return l.putTasks(worker)
}

func (l *loop) putTasks(worker string) error {
	tasks := l.fleet.Tasks(worker)
	if tasks == nil {
		tasks = []state.Task{}
	}
	data, err := json.Marshal(tasks)
	if err != nil {
		return err
	}
	return replaceFile(l.tasksPath(worker), append(data, '\n'), nil)
}

func (l *loop) retask(a fleet.Retask) {
	if l.scratch == "" {
		return
	}
	if err := l.putTasks(a.Worker); err != nil {
		l.log.Error("the task file cannot be written", "worker", a.Worker, "error", err)
	}
}

// makeScratch makes the directory, world-writable like /tmp because workers of
// other users write their heartbeats there.
func makeScratch(dir string) (string, error) {
	path := filepath.Join(dir, "run")
	if dir == "" {
		return os.MkdirTemp("", "procguard-")
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return "", err
	}
	return path, os.Chmod(path, 0o777|os.ModeSticky)
}

func keys[V any](m map[string]V) iter.Seq[string] {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
