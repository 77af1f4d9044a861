package state

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Version is the format written by this code. A reader refuses a newer one and
// migrates an older one.
const Version = 1

// Status is a worker's condition in the words of the original.
type Status string

// The statuses of a worker.
const (
	Unknown  Status = "unknown"  // never started by this volume's ProcGuard
	Starting Status = "starting" // spawned, or about to be, and not yet ready
	Running  Status = "running"  // alive and ready
	Stopped  Status = "stopped"  // not alive, and that is as it should be
	Failed   Status = "failed"   // not alive, and that is a failure
	Zombie   Status = "zombie"   // alive as far as the kernel knows, doing nothing
)

// Phase is where a group stands in its recovery chain.
type Phase string

// The phases in the order in which a chain goes through them. Record has no
// phase of its own on disk: the record that opens a chain is the Record phase.
const (
	Steady    Phase = ""
	StopAll   Phase = "stopping"
	Reassign  Phase = "reassigning"
	Restart   Phase = "restarting"
	Verify    Phase = "verifying"
	GaveUp    Phase = "failed"
	Completed Phase = "completed" // only in timelines: the chain reached Steady again
	Detected  Phase = "detected"  // only in timelines: the failure was seen
)

// TaskStatus says what has become of a task.
type TaskStatus string

// The statuses of a task. Exactly the assigned ones have an owner.
const (
	TaskAssigned TaskStatus = "assigned"
	TaskQueued   TaskStatus = "queued"    // waits for a fit worker
	TaskDone     TaskStatus = "done"      // its owner finished
	TaskSetAside TaskStatus = "set_aside" // its owners kept dying
)

// Worker is what is durably known about one worker. Times are seconds since
// the Unix epoch with fractions, 0 where there is none.
type Worker struct {
	WorkerID      string   `json:"worker_id"`
	PID           int      `json:"pid"` // 0: no process
	Status        Status   `json:"status"`
	StartTime     float64  `json:"start_time"`
	LastHeartbeat float64  `json:"last_heartbeat"` // filled in where a snapshot is shown; never journalled
	RestartCount  int      `json:"restart_count"`  // starts after the first, for whatever reason
	LastError     string   `json:"last_error"`
	AssignedTasks []string `json:"assigned_tasks"`

	Group       string  `json:"group"`
	Generation  uint64  `json:"generation"`  // counts spawns; names an instance together with WorkerID
	StartTicks  uint64  `json:"start_ticks"` // /proc/PID/stat field 22 of the running process
	ReadyTime   float64 `json:"ready_time"`  // when this generation became ready
	BudgetUsed  int     `json:"budget_used"` // failures charged against max_restarts since the last refill
	Done        bool    `json:"done"`        // finished its work, never started again
	Excluded    bool    `json:"excluded"`    // out of budget, takes no part any more
	Standby     bool    `json:"standby"`     // spare: waits until it replaces somebody
	Held        bool    `json:"held"`        // stopped by an operator, stays so until started by one
	Fingerprint string  `json:"fingerprint"` // of what was configured; another one resets the budget
	// HeartbeatMS is the longest time in milliseconds that lay between two
	// heartbeats of this program, 0 until enough were seen.
	HeartbeatMS int64 `json:"longest_heartbeat_ms,omitempty"`
}

// Task is a unit of work that exactly one worker owns at a time.
type Task struct {
	TaskID     string          `json:"task_id"`
	WorkerID   string          `json:"worker_id"` // owner, "" if none
	WorkerType string          `json:"worker_type"`
	Weight     float64         `json:"weight"`
	Status     TaskStatus      `json:"status"`
	Deaths     int             `json:"deaths"` // owners that died while they owned it
	Payload    json.RawMessage `json:"payload,omitempty"`
}

// Recovery is the state of a group whose chain is under way or has ended in
// giving up.
type Recovery struct {
	Phase    Phase    `json:"phase"`
	Incident uint64   `json:"incident"` // number of the incident that opened the chain
	Attempt  int      `json:"attempt"`  // 1 for the first try
	Culprits []string `json:"culprits"` // failed workers, first one first
	Since    float64  `json:"since"`    // when the chain began
	Why      string   `json:"why,omitempty"`
	Code     int      `json:"code,omitempty"` // exit code of a group that has given up
}

// Track is how far a worker, or a world of ranks, has got, and how often in a
// row it has failed in the same way since.
type Track struct {
	Step      int64  `json:"step,omitempty"`      // greatest step number at the last failure or progress on record
	Signature string `json:"signature,omitempty"` // of the last failure that counts
	Count     int    `json:"count,omitempty"`
}

// Finish says how a run ended.
type Finish struct {
	Code int     `json:"code"` // exit code
	Why  string  `json:"why"`
	Time float64 `json:"time"`
}

// Snapshot is everything that is durably true. Maps are keyed by id; a group
// has an entry in Recovery only while it is not Steady.
type Snapshot struct {
	Version int `json:"version"`
	// Seq is the sequence number of the last record applied.
	Seq uint64 `json:"seq"`
	// Volume names this state for ever; instances carry it as a marker so that
	// survivors of another ProcGuard are never touched.
	Volume string `json:"volume"`
	Node   string `json:"node"`
	// Boots counts the starts of ProcGuard on this volume.
	Boots uint64 `json:"boots"`
	// Run counts jobs: it grows when a finished job is started afresh.
	Run uint64 `json:"run"`
	// Epoch counts restarts of a group by a recovery; PROCGUARD_EPOCH.
	Epoch     uint64 `json:"epoch"`
	Incidents uint64 `json:"incidents"` // number of the newest incident
	// Floor is the highest generation of a worker that is no longer known. New
	// ones count on from it, so that no instance is ever named like an earlier one.
	Floor     uint64               `json:"generation_floor,omitempty"`
	Workers   map[string]*Worker   `json:"workers"`
	Tasks     map[string]*Task     `json:"tasks"`
	TaskQueue []string             `json:"task_queue"` // ids of queued tasks, oldest first
	Recovery  map[string]*Recovery `json:"recovery"`
	Tracks    map[string]*Track    `json:"tracks,omitempty"` // by unit: a worker's id, or RankUnit of a group
	Finished  *Finish              `json:"finished,omitempty"`
}

// RankUnit names the unit that the ranks of a group are together. No worker has
// such an id.
func RankUnit(group string) string { return "ranks of " + group }

// New returns the snapshot of a volume that has never been used.
func New() *Snapshot {
	return &Snapshot{
		Version:   Version,
		Workers:   map[string]*Worker{},
		Tasks:     map[string]*Task{},
		TaskQueue: []string{},
		Recovery:  map[string]*Recovery{},
		Tracks:    map[string]*Track{},
	}
}

// Clone returns a deep copy that shares nothing which Apply may change.
func (s *Snapshot) Clone() *Snapshot {
	c := *s
	c.Workers = make(map[string]*Worker, len(s.Workers))
	for id, w := range s.Workers {
		d := *w
		d.AssignedTasks = slices.Clone(w.AssignedTasks)
		c.Workers[id] = &d
	}
	c.Tasks = make(map[string]*Task, len(s.Tasks))
	for id, t := range s.Tasks {
		d := *t
		c.Tasks[id] = &d
	}
	c.TaskQueue = slices.Clone(s.TaskQueue)
	c.Recovery = make(map[string]*Recovery, len(s.Recovery))
	for g, r := range s.Recovery {
		d := *r
		d.Culprits = slices.Clone(r.Culprits)
		c.Recovery[g] = &d
	}
	c.Tracks = make(map[string]*Track, len(s.Tracks))
	for u, t := range s.Tracks {
		d := *t
		c.Tracks[u] = &d
	}
	if s.Finished != nil {
		f := *s.Finished
		c.Finished = &f
	}
	return &c
}

// Normalize makes the maps and lists of a decoded snapshot non-nil, so that
// Apply can be used on it and it is written with {} and [] where null was.
func (s *Snapshot) Normalize() {
	if s.Workers == nil {
		s.Workers = map[string]*Worker{}
	}
	if s.Tasks == nil {
		s.Tasks = map[string]*Task{}
	}
	if s.Recovery == nil {
		s.Recovery = map[string]*Recovery{}
	}
	if s.TaskQueue == nil {
		s.TaskQueue = []string{}
	}
	if s.Tracks == nil {
		s.Tracks = map[string]*Track{}
	}
	for _, w := range s.Workers {
		if w != nil && w.AssignedTasks == nil {
			w.AssignedTasks = []string{}
		}
	}
	for _, r := range s.Recovery {
		if r != nil && r.Culprits == nil {
			r.Culprits = []string{}
		}
	}
}

// Validate reports the first contradiction in s: nil entries, a key that is
// not its entry's id, a task owned by nobody known, or lists that disagree
// about an owner.
func (s *Snapshot) Validate() error {
	owned := 0
	for _, id := range slices.Sorted(maps.Keys(s.Workers)) {
		w := s.Workers[id]
		if w == nil || w.WorkerID != id {
			return fmt.Errorf("worker %q: entry is missing or has another id", id)
		}
		if err := s.validateOwned(w); err != nil {
			return err
		}
		owned += len(w.AssignedTasks)
	}
	for _, id := range slices.Sorted(maps.Keys(s.Tasks)) {
		if err := s.validateTask(id); err != nil {
			return err
		}
		if s.Tasks[id].WorkerID != "" {
			owned--
		}
	}
	if owned != 0 {
		return fmt.Errorf("workers and tasks disagree about who owns what (by %d)", owned)
	}
	for _, g := range slices.Sorted(maps.Keys(s.Recovery)) {
		if s.Recovery[g] == nil {
			return fmt.Errorf("recovery of group %q: entry is missing", g)
		}
	}
	for _, u := range slices.Sorted(maps.Keys(s.Tracks)) {
		if t := s.Tracks[u]; t == nil || (t.Count > 0) != (t.Signature != "") {
			return fmt.Errorf("track of %q: entry is missing or counts failures without a signature", u)
		}
	}
	return s.validateQueue()
}

func (s *Snapshot) validateOwned(w *Worker) error {
	seen := make(map[string]bool, len(w.AssignedTasks))
	for _, tid := range w.AssignedTasks {
		if t := s.Tasks[tid]; t == nil || t.WorkerID != w.WorkerID {
			return fmt.Errorf("worker %q lists task %q, which it does not own", w.WorkerID, tid)
		}
		if seen[tid] {
			return fmt.Errorf("worker %q lists task %q twice", w.WorkerID, tid)
		}
		seen[tid] = true
	}
	return nil
}

func (s *Snapshot) validateTask(id string) error {
	t := s.Tasks[id]
	if t == nil || t.TaskID != id {
		return fmt.Errorf("task %q: entry is missing or has another id", id)
	}
	if (t.Status == TaskAssigned) != (t.WorkerID != "") {
		return fmt.Errorf("task %q is %s with owner %q", id, t.Status, t.WorkerID)
	}
	if t.WorkerID != "" && s.Workers[t.WorkerID] == nil {
		return fmt.Errorf("task %q is owned by unknown worker %q", id, t.WorkerID)
	}
	return nil
}

func (s *Snapshot) validateQueue() error {
	queued := 0
	for _, t := range s.Tasks {
		if t.Status == TaskQueued {
			queued++
		}
	}
	seen := map[string]bool{}
	for _, id := range s.TaskQueue {
		t := s.Tasks[id]
		if t == nil || t.Status != TaskQueued || seen[id] {
			return fmt.Errorf("task_queue names %q, which is not queued or named twice", id)
		}
		seen[id] = true
	}
	if queued != len(s.TaskQueue) {
		return fmt.Errorf("%d tasks are queued, task_queue names %d", queued, len(s.TaskQueue))
	}
	return nil
}
