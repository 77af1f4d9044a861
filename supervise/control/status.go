package control

import (
	"github.com/procguard/procguard/state"
)

// Verdict is the answer at a glance.
type Verdict string

// The verdicts, from good to bad.
const (
	Healthy    Verdict = "healthy"    // everything that should run runs
	Starting   Verdict = "starting"   // some have not come up yet, nothing has failed
	Recovering Verdict = "recovering" // a recovery chain is under way
	Degraded   Verdict = "degraded"   // all runs, but something around it fails
	Stopping   Verdict = "stopping"
	Finished   Verdict = "finished"    // not running: all work was done
	GaveUp     Verdict = "gave up"     // not running: it ended without success
	NotRunning Verdict = "not running" // no procguard has this volume now
)

// Status is everything that `procguard status` knows. Times are seconds since the
// Unix epoch, 0 for never.
type Status struct {
	Verdict   Verdict  `json:"verdict"`
	Summary   string   `json:"summary"`
	Degraded  []string `json:"degraded"` // what around it does not work
	Running   bool     `json:"running"`  // a live procguard answered
	Version   string   `json:"version,omitempty"`
	PID       int      `json:"pid,omitempty"`
	Node      string   `json:"node"`
	Config    string   `json:"config,omitempty"`
	StateDir  string   `json:"state_dir"`
	Since     float64  `json:"since,omitempty"` // when this procguard started
	Epoch     uint64   `json:"epoch"`
	Run       uint64   `json:"run"`
	Incidents uint64   `json:"incidents"`
	Groups    []Group  `json:"groups"`
	Workers   []Worker `json:"workers"`
	Tasks     Tasks    `json:"tasks"`
	// Finished is how the last run ended, if it did.
	Finished *state.Finish `json:"finished,omitempty"`
}

// Group is one failure domain.
type Group struct {
	Name     string   `json:"name"`
	Phase    string   `json:"phase"` // steady, stopping, reassigning, restarting, verifying, failed
	Incident uint64   `json:"incident,omitempty"`
	Attempt  int      `json:"attempt,omitempty"`
	Culprits []string `json:"culprits,omitempty"`
	Running  int      `json:"running"`
	Members  int      `json:"members"`
	Deadline float64  `json:"deadline,omitempty"`
}

// Worker is one worker: the seed's fields, and ours.
type Worker struct {
	state.Worker
	State       string  `json:"state"` // the machine's own word
	Health      string  `json:"health"`
	Type        string  `json:"worker_type"`
	MaxRestarts int     `json:"max_restarts"`
	Rank        *int    `json:"rank,omitempty"`
	Due         float64 `json:"due,omitempty"` // when the state's time is over
	CPU         float64 `json:"cpu_percent"`   // of one core, of all its processes, at the last sample
	RSS         uint64  `json:"rss_bytes"`
	Processes   int     `json:"processes"`
	Threads     int     `json:"threads"`

	Verdict string `json:"verdict,omitempty"` // why it is not held to be well
	Phase   string `json:"phase,omitempty"`   // that it has announced
	Step    int64  `json:"step,omitempty"`    // its newest
	Says    string `json:"says,omitempty"`    // its newest STATUS= by sd_notify
}

// Tasks counts tasks by what became of them.
type Tasks struct {
	Total    int      `json:"total"`
	Done     int      `json:"done"`
	Assigned int      `json:"assigned"`
	Queued   int      `json:"queued"`
	SetAside []string `json:"set_aside"`
}

// Count adds one task.
func (t *Tasks) Count(task *state.Task) {
	t.Total++
	switch task.Status {
	case state.TaskDone:
		t.Done++
	case state.TaskAssigned:
		t.Assigned++
	case state.TaskQueued:
		t.Queued++
	case state.TaskSetAside:
		t.SetAside = append(t.SetAside, task.TaskID)
	}
}

// ExitCode is what `procguard status` exits with: 0 if all is well, 3 if nothing
// runs (as in the LSB), 4 if it runs and something is not as it should be.
func (s *Status) ExitCode() int {
	switch s.Verdict {
	case Healthy, Starting:
		return 0
	case Finished, GaveUp, NotRunning:
		return 3
	}
	return 4
}
