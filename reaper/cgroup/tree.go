package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Prefix starts the names of all groups that we make.
const Prefix = "procguard-"

const selfLeaf = "procguard.self"

// Options say what to ask for.
type Options struct {
	// Controllers to enable for the groups, each if it can be had: "memory", "pids".
	// If any is there our own processes are moved into a leaf.
	Controllers []string
}

// Tree is a cgroup whose children are ours to make.
type Tree struct {
	dir     string
	enabled []string
}

// ErrNone says that no cgroup is delegated to us. It is wrapped with the reason.
var ErrNone = errors.New("no cgroup of our own")

// Detect finds our own cgroup in a v2 hierarchy that is mounted and writable.
func Detect(o Options) (*Tree, error) {
	own, err := ownPath("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("cgroup: %w: %w", ErrNone, err)
	}
	err = errors.New("cgroup2 is not mounted")
	for _, m := range mounts("/proc/self/mountinfo") {
		dir, ok := m.locate(own)
		if !ok {
			err = fmt.Errorf("%s is not below the mount %s", own, m.point)
			continue
		}
		t := &Tree{dir: dir}
		if err = t.try(); err == nil {
			t.enable(o.Controllers)
			return t, nil
		}
	}
	return nil, fmt.Errorf("cgroup: %w: %w", ErrNone, err)
}

// Dir is where the groups are made.
func (t *Tree) Dir() string { return t.dir }

// Controllers lists those that the groups have.
func (t *Tree) Controllers() []string { return t.enabled }

// ownPath reads the v2 line of a /proc/PID/cgroup: "0::/path".
func ownPath(name string) (string, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			// A previous run of ours in this container may have moved us.
			return strings.TrimSuffix(path, "/"+selfLeaf), nil
		}
	}
	return "", errors.New("the kernel has no cgroup v2")
}

// mount is a line of mountinfo: root is the cgroup that is visible at point.
type mount struct{ root, point string }

// mounts lists those of cgroup2, see proc_pid_mountinfo(5).
func mounts(name string) (found []mount) {
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		at := strings.Fields(before)
		if ok && strings.HasPrefix(after, "cgroup2 ") && len(at) > 4 {
			found = append(found, mount{unescape.Replace(at[3]), unescape.Replace(at[4])})
		}
	}
	return found
}

// locate says where under the mount the cgroup is. A root like "/.." is above what our
// namespace shows: then the paths do not say.
func (m mount) locate(own string) (string, bool) {
	rel, err := filepath.Rel(m.root, own)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") || strings.Contains(m.root, "..") {
		return "", false
	}
	return filepath.Join(m.point, rel), true
}

// try makes a group and removes it: files may be writable and the mount read-only, or
// the other way round, and a limit on descendants may forbid it.
func (t *Tree) try() error {
	name := filepath.Join(t.dir, fmt.Sprintf("%stry-%d", Prefix, os.Getpid()))
	if err := os.Mkdir(name, 0o755); err != nil {
		return err
	}
	err := unix.Access(filepath.Join(name, "cgroup.procs"), unix.W_OK)
	if err == nil {
		// To move a process the kernel wants this right on the common ancestor as well.
		err = unix.Access(filepath.Join(t.dir, "cgroup.procs"), unix.W_OK)
	}
	return errors.Join(err, os.Remove(name))
}

// enable turns on what is wanted and there. Each is tried on its own: one that is not
// delegated must not cost us the other.
func (t *Tree) enable(want []string) {
	have := t.words("cgroup.controllers")
	on := t.words("cgroup.subtree_control")
	vacated := false
	for _, c := range want {
		if !has(have, c) {
			continue
		}
		if !has(on, c) {
			if !vacated {
				vacated = true
				if t.isInner() {
					t.vacate()
				}
			}
			if write(filepath.Join(t.dir, "cgroup.subtree_control"), "+"+c) != nil {
				continue
			}
		}
		t.enabled = append(t.enabled, c)
	}
}

// isInner is false for the root of the machine, to which the rule does not apply: it
// alone has no cgroup.type.
func (t *Tree) isInner() bool {
	_, err := os.Stat(filepath.Join(t.dir, "cgroup.type"))
	return err == nil
}

// vacate moves everybody into a leaf. Processes may fork meanwhile, so it goes on until
// nobody is left, for a bounded number of rounds.
func (t *Tree) vacate() {
	leaf := filepath.Join(t.dir, selfLeaf)
	_ = os.Mkdir(leaf, 0o755)
	for range 16 {
		pids := t.words("cgroup.procs")
		if len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			_ = write(filepath.Join(leaf, "cgroup.procs"), pid)
		}
	}
}

func (t *Tree) words(name string) []string {
	b, _ := os.ReadFile(filepath.Join(t.dir, name))
	return strings.Fields(string(b))
}

func has(list []string, word string) bool {
	for _, w := range list {
		if w == word {
			return true
		}
	}
	return false
}

// write is one write(2): the kernel takes the whole value at once.
func write(name, value string) error {
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	if n, err := unix.Write(fd, []byte(value)); err != nil {
		return &os.PathError{Op: "write", Path: name, Err: err}
	} else if n < len(value) {
		return io.ErrShortWrite
	}
	return nil
}
