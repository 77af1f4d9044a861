package cause

import (
	"time"
)

// Death is what is known of one worker's end, or of its hang.
type Death struct {
	Worker string
	Rank   int // -1 if it has none
	PID    int
	// Time is when its end was seen; for an exit, when the kernel told it.
	Time    time.Time
	Started time.Time // zero if it never ran
	Ready   bool      // it had given its sign of readiness, or needs none and ran for a while

	// How it ended: one of these.
	Code      int    // if Signal, Hang and ExecError are empty and Lost is not set
	Signal    string // "SIGKILL"
	Core      bool   // the kernel wrote a core file, or gave it to a handler
	Lost      bool   // nobody saw its status
	ExecError string // it never ran: why fork or exec failed
	Hang      string // it was alive and judged dead: the verdict, in words

	// Sent is the last signal that we gave it before it ended ("SIGTERM"), and when.
	Sent   string
	SentAt time.Time

	Memory  Memory
	Pids    Pids
	CPUTime time.Duration // processor time of it and the children that it waited for
	CPUHard time.Duration // its hard limit of processor time, 0 for none
	Look    *Look         // the last look at it while it was alive
	Error   *ErrorFile    // torch's error.json
	Kernel  []KernelFact  // of any process, within the window
	Text    []string      // the last lines of its output, stderr last
}

// Memory is how the OOM killer's counters grew during the worker's life, or
// since the last reading before the end.
type Memory struct {
	Known bool // the counters of its cgroup could be read, before and after
	// Shared says that worker and container have the same cgroup: then Own is 0 and
	// all growth is in Container.
	Shared    bool
	Own       int64 // oom_kill of the worker's own cgroup
	OwnLimit  bool  // its own limit was hit, not one above
	Container int64 // oom_kill of the container's cgroup
	HostKnown bool
	Host      int64 // oom_kill of the whole machine, /proc/vmstat
	Peak      int64 // bytes, of the cgroup that says most
	Limit     int64 // bytes, 0 for none
}

// Pids is how often a fork was refused by pids.max.
type Pids struct {
	Known   bool
	Refused int64
	Limit   int64 // 0 for none
}

// Look is a worker's main thread and its busiest one at one moment.
type Look struct {
	State   string // of the main thread, as in /proc/PID/stat: R S D T t Z
	Wchan   string
	Syscall string // name, or "" if not known
	FD      string // what its first argument is, if the call takes a descriptor: "pipe:[1]", a path
	CPU     float64
	Threads int
	Busy    string // name of the busiest thread
}

// KernelKind is what a line of the kernel's log tells.
type KernelKind string

// The lines that are understood.
const (
	KernelOOM   KernelKind = "oom"       // the OOM killer killed PID
	KernelFault KernelKind = "fault"     // PID made a fault that it did not handle
	KernelXid   KernelKind = "xid"       // the NVIDIA driver reports an error
	KernelHung  KernelKind = "hung_task" // PID does not come out of the kernel
)

// KernelFact is one line of the kernel's log.
type KernelFact struct {
	Time time.Time
	Kind KernelKind
	PID  int // in the initial pid namespace, which may not be ours; 0 if none
	Comm string
	// Memcg says that a cgroup's limit was the reason of an OOM kill, not the machine's.
	Memcg bool
	Xid   int
	Stack bool // a fault beside the stack pointer: the stack was full
	Text  string
}
