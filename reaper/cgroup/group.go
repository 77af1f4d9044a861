package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Group is the cgroup of one instance of a worker.
type Group struct {
	dir    string
	fd     int // the directory, for clone3(2)
	events int // cgroup.events
}

// New makes a group. Slashes and what else a name cannot hold become underscores; it
// fails with os.ErrExist if an instance of that name is not removed yet.
func (t *Tree) New(instance string) (*Group, error) {
	dir := filepath.Join(t.dir, Prefix+clean(instance))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cgroup: %w", err)
	}
	g, err := open(dir)
	if err != nil {
		_ = os.Remove(dir)
	}
	return g, err
}

// Open is New for a group that is there, of a worker that is to be adopted.
func (t *Tree) Open(instance string) (*Group, error) {
	return open(filepath.Join(t.dir, Prefix+clean(instance)))
}

func clean(instance string) string {
	name := strings.Map(func(r rune) rune {
		if r <= ' ' || r == '/' || r > '~' {
			return '_'
		}
		return r
	}, instance)
	if max := 255 - len(Prefix); len(name) > max {
		name = name[:max]
	}
	return name
}

func open(dir string) (*Group, error) {
	g := &Group{dir: dir}
	var err error
	if g.fd, err = unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("cgroup: open %s: %w", dir, err)
	}
	if g.events, err = unix.Open(filepath.Join(dir, "cgroup.events"), unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		_ = unix.Close(g.fd)
		return nil, fmt.Errorf("cgroup: open cgroup.events: %w", err)
	}
	return g, nil
}

// Dir is the group's directory.
func (g *Group) Dir() string { return g.dir }

// FD is the directory's descriptor, for SysProcAttr.CgroupFD.
func (g *Group) FD() int { return g.fd }

// EventsFD polls ready (EPOLLPRI) when Populated may have changed since its last call.
func (g *Group) EventsFD() int { return g.events }

// Populated says whether there are living processes in the group or below it.
func (g *Group) Populated() (bool, error) {
	buf := make([]byte, 256)
	n, err := unix.Pread(g.EventsFD(), buf, 0)
	switch {
	case err == unix.ENODEV: // removed
		return false, nil
	case err != nil:
		return false, fmt.Errorf("cgroup: read cgroup.events: %w", err)
	}
	return strings.Contains(string(buf[:n]), "populated 1"), nil
}

// PIDs lists the processes in the group and below it. Those of another pid namespace
// are listed as 0 by the kernel, and left out.
func (g *Group) PIDs() (pids []int) {
	_ = filepath.WalkDir(g.dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		b, _ := os.ReadFile(filepath.Join(name, "cgroup.procs"))
		for _, w := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(w); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids
}

// Kill kills everybody in the group and below it.
func (g *Group) Kill() error {
	err := write(filepath.Join(g.dir, "cgroup.kill"), "1")
	if errors.Is(err, unix.ENOENT) {
		return g.killFrozen()
	}
	return err
}

// killFrozen serves kernels before 5.14. A frozen process cannot fork; one that dies in
// the freezer does so at once. Without a freezer (before 5.2) it is a race that
// the rounds win in practice.
func (g *Group) killFrozen() error {
	freeze := filepath.Join(g.dir, "cgroup.freeze")
	frozen := write(freeze, "1") == nil
	for range 16 {
		pids := g.PIDs()
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		if frozen || len(pids) == 0 {
			break
		}
	}
	if frozen {
		// Those that were in the middle of a fork when it began have arrived by now.
		for _, pid := range g.PIDs() {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		return write(freeze, "0")
	}
	return nil
}

// Wait returns when the group is empty, or with the cause of ctx.
func (g *Group) Wait(ctx context.Context) error {
	for {
		populated, err := g.Populated()
		if err != nil || !populated {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("cgroup: %d processes left: %w", len(g.PIDs()), context.Cause(ctx))
		}
		p := []unix.PollFd{{Fd: int32(g.EventsFD()), Events: unix.POLLPRI}}
		_, _ = unix.Poll(p, waitSlice)
	}
}

// waitSlice is how late, in ms, Wait sees the end of its context.
const waitSlice = 50

// Remove removes the group and what workers made below it, and closes it. With processes
// in it the error is EBUSY, and it stays open.
func (g *Group) Remove() error {
	if err := removeAll(g.dir); err != nil {
		return err
	}
	return g.Close()
}

// removeAll is for a tree of directories whose files cannot be unlinked.
func removeAll(dir string) error {
	ents, _ := os.ReadDir(dir)
	for _, e := range ents {
		if e.IsDir() {
			if err := removeAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && err != unix.ENOENT {
		return fmt.Errorf("cgroup: remove %s: %w", dir, err)
	}
	return nil
}

// Close closes the group and leaves it, with its processes, where it is.
func (g *Group) Close() error {
	return errors.Join(unix.Close(g.fd), unix.Close(g.events))
}

// Sweep removes the empty groups of earlier runs and returns the names of those that are
// not empty: their workers may be adopted, or are to be killed.
func (t *Tree) Sweep() (populated []string) {
	ents, _ := os.ReadDir(t.dir)
	for _, e := range ents {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), Prefix) {
			continue
		}
		if removeAll(filepath.Join(t.dir, e.Name())) != nil {
			populated = append(populated, strings.TrimPrefix(e.Name(), Prefix))
		}
	}
	return populated
}
