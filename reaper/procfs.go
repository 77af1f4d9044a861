package reaper

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/proc"
)

type envState int

const (
	envRead   envState = iota
	envEmpty           // no environment: a zombie, a kernel thread, or one in the middle of exec
	envDenied          // not ours to read
)

// outerSuffix makes the name of the variable that carries the markers of the
// supervisors above: a worker may be a supervisor itself and mark its own workers
// anew, and they are still ours to sweep when it is killed.
const outerSuffix = "_OUTER"

// readMarkers returns the values of key and of key_OUTER in the environment pid was
// started with.
func readMarkers(pid int, key string) ([]string, envState) {
	env, err := readEnviron(pid)
	switch {
	case err == unix.EACCES || err == unix.EPERM:
		return nil, envDenied
	case err != nil: // newer kernels say ESRCH for a zombie
		return nil, envEmpty
	case len(env) == 0:
		return nil, emptyState(pid)
	}
	var values []string
	if v := envValue(env, key); v != "" {
		values = append(values, v)
	}
	if v := envValue(env, key+outerSuffix); v != "" {
		values = append(values, strings.Split(v, "\n")...)
	}
	return values, envRead
}

// emptyState tells a process that was started without an environment (env -i) from one
// that has none yet: exec sets the arguments together with the environment.
func emptyState(pid int) envState {
	args, _ := proc.Read(pid, "cmdline")
	env, _ := proc.Read(pid, "environ")
	if len(args) > 0 && len(env) == 0 {
		return envRead
	}
	return envEmpty
}

// readEnviron reads the environment of a process, as its owner if need be.
func readEnviron(pid int) ([]byte, error) {
	env, err := readThreadsEnviron(pid)
	if err == unix.EACCES || err == unix.EPERM {
		asOwner(pid, func() { env, err = readThreadsEnviron(pid) })
	}
	return env, err
}

// readThreadsEnviron falls back to the other threads: a process whose main thread has
// ended shows nothing, and lives.
func readThreadsEnviron(pid int) ([]byte, error) {
	env, err := proc.Read(pid, "environ")
	if len(env) > 0 || err == unix.EACCES || err == unix.EPERM || threads(pid) < 2 {
		return env, err
	}
	tasks, _ := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	for _, t := range tasks {
		if b, _ := proc.Read(pid, "task/"+t.Name()+"/environ"); len(b) > 0 {
			return b, nil
		}
	}
	return env, err
}

// envValue finds key in a NUL-separated list.
func envValue(env []byte, key string) string {
	want := []byte(key + "=")
	for len(env) > 0 {
		entry, rest, _ := bytes.Cut(env, []byte{0})
		if bytes.HasPrefix(entry, want) {
			return string(entry[len(want):])
		}
		env = rest
	}
	return ""
}

// readChildren appends the pids in an open children file, see proc_tid_children(5).
func readChildren(fd int, pids []int) []int {
	var buf [4096]byte
	pid, off := 0, int64(0)
	for {
		n, err := unix.Pread(fd, buf[:], off)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			return pids
		}
		off += int64(n)
		for _, b := range buf[:n] {
			if b != ' ' {
				pid = pid*10 + int(b-'0')
				continue
			}
			pids = append(pids, pid)
			pid = 0
		}
	}
}

// listProcs lists the pids in /proc.
func listProcs() []int {
	d, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	pids := make([]int, 0, len(names))
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Description is the evidence about a process that does not die.
type Description struct {
	PID     int
	PPID    int
	State   byte   // as in /proc/PID/stat: R S D T t Z X I
	Comm    string // the kernel's name for it, at most 15 bytes
	Wchan   string // kernel function it sleeps in, "" if unknown or running
	Cmdline string // arguments joined by blanks
}

// Describe reads what /proc tells about pid; it fails if there is no such process.
func Describe(pid int) (Description, error) {
	st, err := proc.ReadStat(pid)
	if err != nil {
		return Description{}, fmt.Errorf("reaper: describe %d: %w", pid, err)
	}
	d := Description{PID: pid, PPID: st.PPID, State: st.State, Comm: st.Comm}
	if w, err := proc.Read(pid, "wchan"); err == nil && string(w) != "0" {
		d.Wchan = string(w)
	}
	if c, err := proc.Read(pid, "cmdline"); err == nil {
		d.Cmdline = string(bytes.ReplaceAll(bytes.TrimRight(c, "\x00"), []byte{0}, []byte{' '}))
	}
	return d, nil
}

// String is the verdict's text: "pid 12 (python3), state D, wchan nfs_wait".
func (d Description) String() string {
	s := fmt.Sprintf("pid %d (%s), state %c", d.PID, d.Comm, d.State)
	if d.Wchan != "" {
		s += ", wchan " + d.Wchan
	}
	return s
}
