package supervise

import (
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/procguard/procguard/reaper"
	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/fleet"
)

// survivors finds what an earlier ProcGuard on this volume left running. Leaders
// of configured workers are for the machine to judge; the rest (children whose
// leader is dead, workers that are no longer configured, older generations) is
// ended here, before anything starts.
func (l *loop) survivors(r *reaper.Reaper, snap *state.Snapshot) []fleet.Survivor {
	if snap.Volume == "" {
		return nil
	}
	found, err := r.Survivors(l.prefix())
	if err != nil {
		l.log.Warn("processes of an earlier procguard cannot be looked for", "error", err)
	}
	var keep []fleet.Survivor
	led := map[string]bool{}
	take := func(id string, w *state.Worker, s reaper.Survivor) {
		if marker := l.marker(id, w.Generation); !led[marker] {
			led[marker] = true
			keep = append(keep, fleet.Survivor{Worker: id, Gen: w.Generation, PID: s.PID, Ticks: s.StartTicks})
		}
	}
	for _, s := range found {
		id, gen, ok := l.parseMarker(s.Instance)
		w := snap.Workers[id]
		if ok && w != nil && l.byID[id] != nil && w.Generation == gen && s.Leader && s.PID == s.Session && (w.PID == 0 || w.PID == s.PID) {
			take(id, w, s)
		}
	}
	// The environment of another user's process may be out of our sight; that it
	// has the pid and the start time on record is as good.
	for _, id := range slices.Sorted(maps.Keys(snap.Workers)) {
		w := snap.Workers[id]
		if w.PID == 0 || w.StartTicks == 0 || l.byID[id] == nil {
			continue
		}
		if s, ok := r.Living(w.PID, w.StartTicks); ok {
			take(id, w, s)
		}
	}
	l.endStrays(r, led)
	return keep
}

// strayGrace is how long what is not wanted any more has to end by itself, and
// strayEnd how long the kernel then has to end it.
const (
	strayGrace = 5 * time.Second
	strayEnd   = 5 * time.Second
)

// endStrays ends all that has our marker and no leader that lives, and what that
// forks meanwhile. They are not our children, so there is nothing to wait on but
// the process table.
func (l *loop) endStrays(r *reaper.Reaper, led map[string]bool) {
	asked := map[int]bool{}
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		strays := l.strays(r, led)
		if len(strays) > 0 && len(asked) == 0 {
			l.log.Warn("ending processes that an earlier procguard left", "count", len(strays))
		}
		late := time.Since(start)
		if len(strays) == 0 || late > strayGrace+strayEnd {
			for _, s := range strays {
				l.log.Error("a process of an earlier procguard cannot be ended", "pid", s.PID, "comm", s.Comm)
			}
			return
		}
		for _, s := range strays {
			switch { // an error means that it is gone by now
			case late > strayGrace:
				_ = s.End(syscall.SIGKILL)
			case !asked[s.PID]:
				_ = s.End(syscall.SIGTERM)
			}
			asked[s.PID] = true
		}
	}
}

func (l *loop) strays(r *reaper.Reaper, led map[string]bool) []reaper.Survivor {
	found, _ := r.Survivors(l.prefix()) // without a process table there are none to be seen
	return slices.DeleteFunc(found, func(s reaper.Survivor) bool { return led[s.Instance] })
}
