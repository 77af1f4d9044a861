package state

import "encoding/json"

// Kind says what a Record changes. The fields each kind uses are listed with it.
type Kind string

// The kinds of records.
const (
	KindBoot     Kind = "boot"     // Volume (first only), Node: ProcGuard started
	KindRun      Kind = "run"      // a finished job starts afresh: counters, budgets and tasks are reset
	KindWorker   Kind = "worker"   // Worker, Group, Fingerprint, Standby: the config names it (again)
	KindForget   Kind = "forget"   // Worker: the config no longer names it; its tasks are queued
	KindTask     Kind = "task"     // Task (new task): the config names it
	KindDrop     Kind = "drop"     // TaskID: the config no longer names it
	KindSpawn    Kind = "spawn"    // Worker, Gen, Retry: a process is about to be made
	KindStarted  Kind = "started"  // Worker, Gen, PID, Ticks
	KindReady    Kind = "ready"    // Worker, Gen
	KindExit     Kind = "exit"     // Worker, Gen, Cause, Expected: the process ended
	KindGone     Kind = "gone"     // Worker, Gen: nothing of the instance is left
	KindFailure  Kind = "failure"  // Worker, Gen, Cause, Incident: a failure was seen; charges the budget, counts a death against tasks
	KindRefill   Kind = "refill"   // Worker: healthy long enough, budget is whole again
	KindPhase    Kind = "phase"    // Group, Phase, Incident, Attempt, Culprits, Why: a chain moves; Steady ends it
	KindEpoch    Kind = "epoch"    // Epoch
	KindAssign   Kind = "assign"   // Moves: task id -> new owner ("" queues it)
	KindSetAside Kind = "aside"    // TaskID: no worker gets it any more
	KindDone     Kind = "done"     // Worker: finished; its tasks are done too
	KindExclude  Kind = "exclude"  // Worker, Why
	KindActivate Kind = "activate" // Worker: a standby takes part from now on
	KindHold     Kind = "hold"     // Worker, Held: an operator stopped it, or released it
	KindStatus   Kind = "status"   // Worker, Status: alive but judged otherwise (zombie), or judged well again
	KindFinish   Kind = "finish"   // Code, Why: the run ended
)

// CauseKind classes what ended a worker.
type CauseKind string

// The classes of causes.
const (
	CauseExit         CauseKind = "exit"         // it exited by itself with Code
	CauseSignal       CauseKind = "signal"       // Signal ended it, from outside or by its own fault
	CauseSpawn        CauseKind = "spawn"        // it could not be started; Detail says why
	CauseUnresponsive CauseKind = "unresponsive" // no sign of life; Detail says which
	CauseZombie       CauseKind = "zombie"       // alive, idle and silent
	CauseStartup      CauseKind = "startup"      // not ready within startup_timeout
	CauseLost         CauseKind = "lost"         // it ended while ProcGuard was not there to see how
	CauseOperator     CauseKind = "operator"     // an operator reported it failed
)

// Cause says why a worker ended, as far as is known.
type Cause struct {
	Kind   CauseKind `json:"kind"`
	Code   int       `json:"code,omitempty"`
	Signal string    `json:"signal,omitempty"` // "SIGKILL"
	Core   bool      `json:"core,omitempty"`   // core dumped
	Detail string    `json:"detail,omitempty"` // for people
}

// Record is one change. Time is milliseconds since the Unix epoch.
type Record struct {
	Seq  uint64 `json:"seq"`
	Time int64  `json:"t"`
	Kind Kind   `json:"k"`

	Worker      string            `json:"w,omitempty"`
	Gen         uint64            `json:"gen,omitempty"`
	Group       string            `json:"g,omitempty"`
	PID         int               `json:"pid,omitempty"`
	Ticks       uint64            `json:"ticks,omitempty"`
	Status      Status            `json:"st,omitempty"`
	Cause       *Cause            `json:"cause,omitempty"`
	Expected    bool              `json:"exp,omitempty"` // the exit followed our own stop
	Retry       bool              `json:"re,omitempty"`  // a start after the first: counts in restart_count
	Incident    uint64            `json:"inc,omitempty"`
	Phase       Phase             `json:"ph,omitempty"`
	Attempt     int               `json:"att,omitempty"`
	Culprits    []string          `json:"cul,omitempty"`
	Epoch       uint64            `json:"ep,omitempty"`
	TaskID      string            `json:"tid,omitempty"`
	Task        *Task             `json:"task,omitempty"`
	Moves       map[string]string `json:"mv,omitempty"`
	Standby     bool              `json:"sb,omitempty"`
	Held        bool              `json:"held,omitempty"`
	Fingerprint string            `json:"fp,omitempty"`
	Volume      string            `json:"vol,omitempty"`
	Node        string            `json:"node,omitempty"`
	Code        int               `json:"code,omitempty"`
	Why         string            `json:"why,omitempty"`
	Extra       json.RawMessage   `json:"x,omitempty"` // carried, never interpreted
}

// Seconds is the record's time in the unit of a Snapshot.
func (r *Record) Seconds() float64 { return float64(r.Time) / 1000 }
