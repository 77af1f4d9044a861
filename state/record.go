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
	KindFailure  Kind = "failure"  // Worker, Gen, Cause, Incident, Unit, Step, Count: a failure was seen; charges the budget, counts a death against tasks
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
	KindBeat     Kind = "beat"     // Worker, Millis: the longest time between two heartbeats, once enough were seen
	KindProgress Kind = "progress" // Worker, Unit, Step: further than ever before (Step 0: well for long enough); whole budget, row of failures over
	KindNotice   Kind = "notice"   // Worker, Gen, Cause, Incident: something was seen that is nobody's failure
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
	CauseNoProgress   CauseKind = "no_progress"  // its step number did not grow for progress_timeout
	CauseMemory       CauseKind = "max_memory"   // it uses more memory than it may
	CauseCPU          CauseKind = "max_cpu"      // it uses more CPU than it may
	CauseLog          CauseKind = "log"          // its own output says that it has failed
)

// Class sorts causes by what they say about the program.
type Class string

// The classes. A cause without one has not been looked at yet.
const (
	ClassExec     Class = "exec"     // there was no process
	ClassStartup  Class = "startup"  // it ended before it was ready or within its first seconds, or was never ready
	ClassRuntime  Class = "runtime"  // it ended at work
	ClassHang     Class = "hang"     // it lives and does nothing
	ClassLimit    Class = "limit"    // it uses more than it may
	ClassLost     Class = "lost"     // nobody saw how it ended
	ClassOperator Class = "operator" // a person said so
	ClassEvicted  Class = "evicted"  // somebody else wanted its place: preemption, eviction, a drained machine
)

// Cause says why a worker ended, as far as is known.
type Cause struct {
	Kind   CauseKind `json:"kind"`
	Code   int       `json:"code,omitempty"`
	Signal string    `json:"signal,omitempty"` // "SIGKILL"
	Core   bool      `json:"core,omitempty"`   // core dumped
	Detail string    `json:"detail,omitempty"` // for people
	Class  Class     `json:"class,omitempty"`
	// Signature is the same for failures of the same kind at the same place:
	// no pids, addresses or times in it.
	Signature string `json:"signature,omitempty"`
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
	Unit        string            `json:"u,omitempty"`    // key of Snapshot.Tracks
	Step        int64             `json:"step,omitempty"` // greatest step number ever reported in Unit
	Count       int               `json:"n,omitempty"`    // how often in a row this failure was seen; 0: it does not count
	Millis      int64             `json:"ms,omitempty"`
	Extra       json.RawMessage   `json:"x,omitempty"` // carried, never interpreted
}

// Seconds is the record's time in the unit of a Snapshot.
func (r *Record) Seconds() float64 { return float64(r.Time) / 1000 }
