package incident

import (
	"github.com/procguard/procguard/state"
)

// Version is the format of incident.json. Fields are only ever added to it.
const Version = 1

// FileName is the description of an incident in its folder.
const FileName = "incident.json"

// Outcome says how an incident ended.
type Outcome string

// The outcomes.
const (
	Open      Outcome = "open"      // the recovery is under way, or ProcGuard ended in it
	Recovered Outcome = "recovered" // the group is steady again
	GaveUp    Outcome = "gave_up"   // budget or attempts are used up
	Ended     Outcome = "ended"     // a stop was asked for in the middle
)

// Incident describes one failure and what was done about it. Times are
// milliseconds since the Unix epoch.
type Incident struct {
	Version int    `json:"version"`
	Number  uint64 `json:"number"`
	Group   string `json:"group"`
	TimeMS  int64  `json:"time_ms"` // when the failure was seen
	Node    string `json:"node"`
	Run     uint64 `json:"run"`
	Epoch   uint64 `json:"epoch"`   // after the recovery, as far as it has come
	Attempt int    `json:"attempt"` // 1 for the first try

	// What the facts say together, of the culprit. Class, reason, signature and
	// confidence are those of its Worker entry.
	Class      string `json:"class,omitempty"`
	Reason     string `json:"reason,omitempty"`     // one sentence
	Signature  string `json:"signature,omitempty"`  // the same for the same failure
	Confidence string `json:"confidence,omitempty"` // "certain", "likely", "guess"
	Summary    string `json:"summary,omitempty"`    // culprit and others, in one sentence

	Cause    *state.Cause `json:"cause"`    // of the culprit's end
	Culprit  string       `json:"culprit"`  // the worker that failed first
	Culprits []string     `json:"culprits"` // all that failed by themselves, in the order seen
	Victims  []string     `json:"victims"`  // those that were stopped because of them

	Workers []Worker `json:"workers"` // culprits first
	Phases  []Phase  `json:"phases"`  // the timeline, oldest first
	Moves   []Move   `json:"moves"`   // tasks that changed owner
	Outcome Outcome  `json:"outcome"`
	Why     string   `json:"why,omitempty"` // of the outcome, in a few words

	Unclean []string `json:"unclean,omitempty"` // what could not be cleaned before the restart
	Notes   []string `json:"notes,omitempty"`   // for people: evidence that is missing, and why
	Files   []string `json:"files,omitempty"`   // other files in the folder; filled in by Load
}

// Worker is what is known of one worker of the group at the incident.
type Worker struct {
	WorkerID     string       `json:"worker_id"`
	Generation   uint64       `json:"generation"`
	Role         string       `json:"role"` // "culprit" or "victim"
	PID          int          `json:"pid"`
	Rank         int          `json:"rank,omitempty"`
	StartMS      int64        `json:"start_ms"`
	ReadyMS      int64        `json:"ready_ms,omitempty"`
	EndMS        int64        `json:"end_ms,omitempty"`
	Cause        *state.Cause `json:"cause,omitempty"`
	SignalSender string       `json:"signal_sender,omitempty"` // "procguard", or who else is known
	OOMKills     int64        `json:"oom_kills,omitempty"`     // growth of oom_kill in its cgroup
	RestartCount int          `json:"restart_count"`
	BudgetUsed   int          `json:"budget_used"`
	Usage        *Usage       `json:"rusage,omitempty"`
	Samples      []Sample     `json:"samples,omitempty"` // oldest first
	Tail         []string     `json:"tail,omitempty"`    // last lines of its output, oldest first
	ErrorFile    string       `json:"error_file,omitempty"`
	Hang         string       `json:"hang,omitempty"` // why it was taken for hung

	Class       string   `json:"class,omitempty"`
	Reason      string   `json:"reason,omitempty"`
	Signature   string   `json:"signature,omitempty"`
	Confidence  string   `json:"confidence,omitempty"`
	Startup     bool     `json:"startup,omitempty"`       // it never was ready
	Collateral  string   `json:"collateral,omitempty"`    // why it is not to blame
	Accuses     []int    `json:"accuses,omitempty"`       // ranks that its last words name as missing
	ErrorTimeMS int64    `json:"error_time_ms,omitempty"` // of its error.json
	Process     *Process `json:"process,omitempty"`       // the last look at it while it lived
	Cgroup      *Cgroup  `json:"cgroup,omitempty"`
	Core        *Core    `json:"core,omitempty"`
	Kernel      []Kernel `json:"kernel,omitempty"`  // lines of the kernel's log
	GPU         []GPU    `json:"gpu,omitempty"`     // what its processes held
	Missing     []string `json:"missing,omitempty"` // evidence that could not be had, and why
}

// Usage is getrusage(2) of a worker that was reaped.
type Usage struct {
	UserMS      int64 `json:"user_ms"`
	SystemMS    int64 `json:"system_ms"`
	MaxRSSBytes int64 `json:"max_rss_bytes"`
	MajorFaults int64 `json:"major_faults"`
}

// Sample is one look at a worker.
type Sample struct {
	TimeMS   int64   `json:"time_ms"`
	CPU      float64 `json:"cpu_percent"` // 100 is one core
	RSSBytes int64   `json:"rss_bytes"`
}

// Phase is one step of the timeline.
type Phase struct {
	Phase   state.Phase `json:"phase"`
	TimeMS  int64       `json:"time_ms"`
	SinceMS float64     `json:"since_ms"` // since the failure was seen; with fractions, as it is often below 1
	Note    string      `json:"note,omitempty"`
}

// Move is a task that changed owner; "" is the queue.
type Move struct {
	TaskID string `json:"task_id"`
	From   string `json:"from"`
	To     string `json:"to"`
}
