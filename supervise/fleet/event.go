package fleet

import (
	"time"

	"github.com/procguard/procguard/state"
)

// Event is something that happened. The set is closed.
type Event interface{ event() }

// Boot is the first event, once. Survivors are living leaders of configured
// workers which an earlier ProcGuard on this volume left behind; everything
// else it left has been ended by the caller.
type Boot struct {
	Volume    string // used if the state has none yet
	Survivors []Survivor
}

// Survivor is a living process that carries this volume's marker.
type Survivor struct {
	Worker string
	Gen    uint64
	PID    int
	Ticks  uint64
}

// Started answers Spawn.
type Started struct {
	Worker string
	Gen    uint64
	PID    int
	Ticks  uint64 // /proc/PID/stat field 22
}

// SpawnFailed answers Spawn: there is no process.
type SpawnFailed struct {
	Worker string
	Gen    uint64
	Detail string
}

// Exited says that a leader is dead.
type Exited struct {
	Worker string
	Gen    uint64
	Code   int    // if it exited
	Signal string // "SIGKILL" if a signal ended it
	Core   bool
	Lost   bool // an adopted process: nobody can know how it ended
	Sent   bool // we had signalled it before it died
	Gone   bool // and nothing else of it is left
	Detail string

	Class     state.Class // if the caller knows better than the machine: evicted
	Signature string      // likewise; see state.Cause
}

// Gone says that nothing of an instance is left, some time after its Exited.
type Gone struct {
	Worker string
	Gen    uint64
}

// Ready says that a worker's readiness check has passed.
type Ready struct {
	Worker string
	Gen    uint64
}

// Alive is a heartbeat.
type Alive struct {
	Worker string
	Gen    uint64
}

// Judged says that a living worker is not well: unresponsive, zombie, beyond a
// limit, failed by its own word. It may be said again as long as it holds; while
// the worker is in a phase that it announced, silence is not held against it.
type Judged struct {
	Worker string
	Gen    uint64
	Cause  state.Cause
	For    time.Duration // how long it has been so, as far as is known
}

// Cleared takes back what Judged said: it does not hold any more.
type Cleared struct {
	Worker string
	Gen    uint64
}

// Extended says that a worker asks for time: whichever deadline of its start,
// its heartbeat, its progress or its stop is running now comes no earlier than
// after For, at most a week.
type Extended struct {
	Worker string
	Gen    uint64
	For    time.Duration
}

// Phased says that a worker has begun a long phase, or, with an empty Name, has
// ended it. While it lasts Timeout replaces the heartbeat timeout; 0 is the one
// configured for that name. Another phase or Ready ends it, a heartbeat does not.
type Phased struct {
	Worker  string
	Gen     uint64
	Name    string
	Timeout time.Duration
}

// Progressed tells the number of a worker's newest step.
type Progressed struct {
	Worker string
	Gen    uint64
	Step   int64
}

// Stopping says that a worker is about to end by itself.
type Stopping struct {
	Worker string
	Gen    uint64
}

// Dumped answers Dump: the evidence is safe, or cannot be had.
type Dumped struct {
	Worker string
	Gen    uint64
	// What the evidence says, in place of the verdict's own words; empty: nothing more.
	Detail, Signature string
}

// Tick says that Deadline has come.
type Tick struct{}

// Batch is several events that are known at the same time, in order. Their
// records are made durable together.
type Batch []Event

// StopFleet asks for the orderly stop; Now kills instead of waiting.
type StopFleet struct {
	Now bool
	Why string
}

// StartWorker starts a worker that is not running: a held, done, failed or
// excluded one too, with a whole budget.
type StartWorker struct{ Worker string }

// StopWorker stops one worker and holds it down until StartWorker.
type StopWorker struct {
	Worker string
	Force  bool // kill at once
}

// RestartWorker stops and starts one worker; costs no budget.
type RestartWorker struct{ Worker string }

// RestartHealthy runs the chain without a culprit in every group. Excluded
// ones are stopped and held down.
type RestartHealthy struct{ Exclude []string }

// Fail reports workers as failed, as the original's handle_failure did.
type Fail struct {
	Workers []string
	Detail  string
}

// Reload replaces the configuration: what is new starts, what is gone stops,
// what runs another program now is restarted, the rest is left alone.
type Reload struct{ Spec Spec }

func (Boot) event()           {}
func (Started) event()        {}
func (SpawnFailed) event()    {}
func (Exited) event()         {}
func (Gone) event()           {}
func (Ready) event()          {}
func (Alive) event()          {}
func (Judged) event()         {}
func (Cleared) event()        {}
func (Extended) event()       {}
func (Phased) event()         {}
func (Progressed) event()     {}
func (Stopping) event()       {}
func (Dumped) event()         {}
func (Tick) event()           {}
func (Batch) event()          {}
func (StopFleet) event()      {}
func (StartWorker) event()    {}
func (StopWorker) event()     {}
func (RestartWorker) event()  {}
func (RestartHealthy) event() {}
func (Fail) event()           {}
func (Reload) event()         {}
