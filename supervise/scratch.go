package supervise

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/account"
	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/fleet"
)

// The scratch directory holds what ProcGuard and a worker tell each other by
// file; the names are in the worker's environment. It is on a memory file system
// where there is one, because the loop writes to it, and a disk that stalls must
// not stop the loop. Only we can write to it: a worker that runs as another user
// gets a directory of its own below it.

func (l *loop) scratchPath(worker, kind string) string {
	return filepath.Join(l.scratch, url.PathEscape(worker)+"."+kind)
}

func (l *loop) tasksPath(worker string) string { return l.scratchPath(worker, "tasks.json") }
func (l *loop) beatPath(worker string) string  { return l.workersPath(worker, "heartbeat") }
func (l *loop) errorPath(worker string) string { return l.workersPath(worker, "error.json") }
func (l *loop) timerPath(worker string) string { return l.workersPath(worker, "timer") }

// workersPath is for files that the worker writes.
func (l *loop) workersPath(worker, kind string) string {
	if cfg := l.byID[worker]; cfg != nil && cfg.User != "" {
		return filepath.Join(l.scratchPath(worker, "d"), kind)
	}
	return l.scratchPath(worker, kind)
}

// writeTasks writes the worker's tasks, with their payloads, in one step. The
// other files of an earlier process are removed: they are not this one's.
func (l *loop) writeTasks(worker string, owner *account.Account) error {
	if l.scratch == "" {
		return nil
	}
	if owner != nil {
		if err := ownDir(l.scratchPath(worker, "d"), owner.Credential); err != nil {
			return err
		}
	}
	_ = unix.Unlink(l.beatPath(worker)) // most never made one
	_ = unix.Unlink(l.errorPath(worker))
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
	return replaceFile(l.tasksPath(worker), append(data, '\n'))
}

func (l *loop) retask(a fleet.Retask) {
	if l.scratch == "" {
		return
	}
	if err := l.putTasks(a.Worker); err != nil {
		l.log.Error("the task file cannot be written", "worker", a.Worker, "error", err)
	}
}

// ownDir makes a directory for one user.
func ownDir(path string, owner *syscall.Credential) error {
	if err := os.Mkdir(path, 0o700); err != nil && !os.IsExist(err) {
		return err
	}
	return os.Lchown(path, int(owner.Uid), int(owner.Gid))
}

// shm is a memory file system in every container and on every Linux.
const shm = "/dev/shm"

// makeScratch makes the directory for a volume: in memory, else below the state,
// else in the temporary directory.
func makeScratch(stateDir, volume string) (path string, err error) {
	tries := []string{filepath.Join(shm, "procguard-"+volume)}
	if stateDir != "" {
		tries = append(tries, filepath.Join(stateDir, "run"))
	}
	for _, path = range append(tries, filepath.Join(os.TempDir(), "procguard-"+volume)) {
		if err = makeOwn(path); err == nil {
			return path, nil
		}
	}
	return "", err
}

// makeOwn makes a directory that nobody else can write to, or finds it as it
// made it before: in a directory that is open to all, somebody else may have been
// faster.
func makeOwn(path string) error {
	if err := os.Mkdir(path, 0o755); err == nil || !os.IsExist(err) {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(st.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s is somebody else's", path)
	}
	return nil
}

// readSmall reads a file that a worker wrote, whatever it has made of it: no
// link is followed, no FIFO is waited for, and it is cut at limit bytes.
func readSmall(path string, limit int) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a plain file", path)
	}
	return io.ReadAll(io.LimitReader(f, int64(limit)))
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
