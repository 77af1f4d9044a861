package supervise

import (
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper"
	"github.com/procguard/procguard/reaper/cgroup"
)

// Of what belongs to a worker the reaper knows the most where each has a cgroup of its own:
// nothing can leave that. Elsewhere descendants are recorded now and then, so that those
// which leave group, session and environment behind are still known after a sudden death.

// Descendants are recorded every surveyEvery, and less often where that would take more than
// one part in surveyShare of a processor. A stop records them anyway.
const (
	surveyEvery = 5 * time.Second
	surveyShare = 200
)

// openGroups makes use of a delegated cgroup v2. Controllers are not asked for: to get them we
// would have to move processes that are not ours to move.
func (l *loop) openGroups() {
	tree, err := cgroup.Detect(cgroup.Options{})
	if err != nil || !delegated(tree.Dir()) {
		return
	}
	l.groups = tree
	for _, name := range tree.Sweep() {
		l.log.Debug("a cgroup of an earlier procguard is not empty", "name", name)
	}
}

// delegated says that a cgroup is ours to divide: as PID 1 of a container that may write to it,
// or because systemd says so (Delegate=yes sets the attribute).
func delegated(dir string) bool {
	if os.Getpid() == 1 {
		return true
	}
	var b [8]byte
	for _, name := range []string{"trusted.delegate", "user.delegate"} {
		if n, err := unix.Getxattr(dir, name, b[:]); err == nil && string(b[:n]) == "1" {
			return true
		}
	}
	return false
}

// group makes the cgroup of a new instance; without one it is watched as everywhere else.
func (l *loop) group(w *instance) *cgroup.Group {
	if l.groups == nil || w.bare {
		return nil
	}
	g, err := l.groups.New(w.marker)
	if err != nil {
		l.log.Warn("no cgroup for a worker", "instance", w.marker, "error", err)
		return nil
	}
	w.group = g
	return g
}

// regroup finds the cgroup that an earlier ProcGuard made for an instance. Names in it are
// shortened and cleaned: one that the process is not in is another's.
func (l *loop) regroup(w *instance, pid int) *cgroup.Group {
	g, err := l.groups.Open(w.marker)
	if err != nil {
		return nil
	}
	if !slices.Contains(g.PIDs(), pid) {
		_ = g.Close()
		return nil
	}
	w.group = g
	return g
}

// disband removes the cgroup of an instance of which nothing is left.
func (l *loop) disband(w *instance) {
	if w.group == nil {
		return
	}
	l.inquest.jobs.Go(func() { // the kernel takes its time for it
		if err := w.group.Remove(); err != nil {
			l.log.Debug("a worker's cgroup cannot be removed", "instance", w.marker, "error", err)
			_ = w.group.Close()
		}
	})
}

// survey records the descendants of all workers, beside the loop.
func (l *loop) survey(r *reaper.Reaper) {
	procs := make([]reaper.Proc, 0, len(l.live))
	for _, w := range l.live {
		if w.group == nil {
			procs = append(procs, w.proc)
		}
	}
	q := l.inquest
	if !q.surveying.CompareAndSwap(false, true) {
		return // the one before hangs, or takes long
	}
	q.jobs.Go(func() {
		began := time.Now()
		for _, p := range procs {
			r.Survey(p)
		}
		now := time.Now()
		q.surveyAt.Store(now.Add(max(surveyEvery, surveyShare*now.Sub(began))).UnixNano())
		q.surveying.Store(false)
	})
}
