package fleet

import (
	"time"

	"github.com/procguard/procguard/state"
)

// WorkerStatus is what is known about a worker now. The zero time means never.
type WorkerStatus struct {
	state.Worker
	State       string // the machine's own word: waiting, sweeping, …
	MaxRestarts int
	Due         time.Time // when its state's time is over: next start, kill, verdict
	Rank        int       // -1 if it has none
	World       int
	Type        string

	Verdict  *state.Cause  // why it is not held to be well, nil if it is
	Phase    string        // that it has announced
	Patience time.Duration // between heartbeats, as things are; 0: not judged
	Step     int64         // its newest
}

// GroupStatus is what is known about a group now.
type GroupStatus struct {
	Name     string
	Phase    state.Phase
	Incident uint64
	Attempt  int
	Culprits []string
	Running  int
	Members  int
	Deadline time.Time
}

// Status is a copy of everything that can be asked.
type Status struct {
	Epoch     uint64
	Run       uint64
	Boots     uint64
	Incidents uint64
	Volume    string
	Stopping  string // why everything is being stopped, "" if it is not
	Workers   []WorkerStatus
	Groups    []GroupStatus
	Tasks     []state.Task // in the order of the file
}

// Status copies the machine's condition. It costs time in proportion to the
// number of workers and tasks.
func (f *Fleet) Status() Status {
	s := Status{Epoch: f.snap.Epoch, Run: f.snap.Run, Boots: f.snap.Boots, Incidents: f.snap.Incidents, Volume: f.snap.Volume}
	if f.ending != nil {
		s.Stopping = f.ending.why
	}
	for _, w := range f.order {
		s.Workers = append(s.Workers, w.status())
	}
	for _, g := range f.glist {
		s.Groups = append(s.Groups, g.status())
	}
	for i := range f.spec.Tasks {
		if t := f.snap.Tasks[f.spec.Tasks[i].ID]; t != nil {
			s.Tasks = append(s.Tasks, *t)
		}
	}
	return s
}

func (w *worker) status() WorkerStatus {
	s := WorkerStatus{Worker: *w.d, State: w.state.String(), MaxRestarts: w.spec.MaxRestarts, Rank: -1, Type: w.spec.Type}
	if w.verdict != nil {
		c := w.verdict.cause
		s.Verdict = &c
	}
	s.Step = w.step
	if w.lives() {
		s.Phase, s.Patience = w.phase, w.patience()
	}
	s.AssignedTasks = append([]string{}, w.d.AssignedTasks...)
	if w.wake.index != 0 {
		s.Due = w.wake.at
	}
	if w.spec.Ranked && !w.d.Excluded && !w.d.Standby {
		s.Rank, s.World = w.rank, w.g.world
	}
	return s
}

func (g *group) status() GroupStatus {
	s := GroupStatus{Name: g.name, Phase: g.phase, Incident: g.incident, Attempt: g.attempt,
		Culprits: g.culpritIDs(), Running: g.n[running], Members: len(g.members)}
	if g.deadline.index != 0 {
		s.Deadline = g.deadline.at
	}
	return s
}

// Worker is one worker's status; ok is false if there is none of that id.
func (f *Fleet) Worker(id string) (s WorkerStatus, ok bool) {
	w := f.workers[id]
	if w == nil {
		return s, false
	}
	return w.status(), true
}

// Tasks are copies of what a worker owns now, in the order it got them.
func (f *Fleet) Tasks(id string) []state.Task {
	w := f.workers[id]
	if w == nil {
		return nil
	}
	out := make([]state.Task, 0, len(w.d.AssignedTasks))
	for _, t := range w.d.AssignedTasks {
		out = append(out, *f.snap.Tasks[t])
	}
	return out
}
