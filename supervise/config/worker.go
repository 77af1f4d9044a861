package config

import (
	"regexp"
	"syscall"
	"time"
)

// Worker is one process to keep alive. An entry with `replicas: n` yields n of
// them, in order.
type Worker struct {
	ID       string // unique in the file; "<entry>_<index>" when the entry has `replicas`
	Entry    string // worker_id as written
	Index    int    // 0 up to Replicas-1
	Replicas int    // workers of this entry

	Command    []string // argv; ["/bin/sh", "-c", text] when Shell
	Shell      bool
	WorkingDir string // "" is ProcGuard's own
	Env        map[string]string
	EnvFiles   []string // already merged into Env
	PIDFile    string

	Type        string
	Group       string
	Node        string
	Launcher    string // "" or "torch"
	MinReplicas int
	Standby     bool
	Tasks       []string // ids owned at first
	DependsOn   []Dependency

	Restart        string // "on-failure", "always" or "never"
	MaxRestarts    int
	RestartDelay   time.Duration
	Backoff        Backoff
	Stop           Stop
	Ready          Ready
	StartupTimeout time.Duration

	// Signs of life. Where a time is 0 nothing is judged by it.
	HeartbeatTimeout *time.Duration // nil: Monitoring.HeartbeatTimeout holds, or HeartbeatAuto is set
	HeartbeatAuto    bool           // learned instead, and never below HeartbeatFloor
	HeartbeatFloor   time.Duration
	ProgressTimeout  time.Duration            // between greater step numbers, after the first one
	ProgressFile     string                   // its first whole number is the step; "" is none
	FileTimer        bool                     // torch's expiration timers, by a FIFO
	Phases           map[string]time.Duration // heartbeat timeouts of announced phases
	LogSilence       time.Duration            // between bytes of output, after the first one
	LogPattern       LogPattern
	HealthCheckURL   string
	HealthCheckBody  *regexp.Regexp // must match somewhere in the body; nil: any
	OnHang           string         // "restart" or "notify"

	// Evidence, before a verdict on a living worker is acted upon.
	Dump        []string       // argv with {pid}, {worker} and {incident}; nil: none
	DumpSignal  syscall.Signal // to the leader; 0: none
	DumpTimeout time.Duration  // for all of it; 0: none is taken

	MaxMemory    Memory        // of the whole tree; zero: no limit
	MaxCPU       float64       // percent of one core, of the whole tree; 0: no limit
	MaxCPUWindow time.Duration // over which MaxCPU is an average
	Clean        Clean

	User        string // name or uid, optionally ":" and group or gid; "" is ProcGuard's own
	Umask       *int   // nil: inherited
	Nice        *int   // nil: inherited
	Rlimits     map[string]Rlimit
	CPUAffinity []int // sorted, without repeats; empty: inherited

	Logs Logs
}

// Dependency says that a worker starts only when another has got that far.
type Dependency struct {
	Worker    string // an id of Config.Workers
	Condition string // "started", "ready" or "completed"
}

// Backoff stretches the restart delay: delay * Factor^n, at most Max, varied by
// plus or minus Jitter (a fraction). After ResetAfter of health n is 0 again.
type Backoff struct {
	Factor     float64
	Max        time.Duration
	Jitter     float64
	ResetAfter time.Duration
}

// Stop is the first rung of the stop ladder.
type Stop struct {
	Signal syscall.Signal
	Grace  time.Duration
	To     string // "leader" or "group"
}

// LogPattern is what lines of output mean; nil: nothing. Ready is Ready.Log of
// the worker as well.
type LogPattern struct {
	Ready, Alive, Fail *regexp.Regexp
	Progress           *regexp.Regexp // its only group is the step
}

// Memory is a limit: one of the two is set, or none.
type Memory struct {
	Bytes   int64
	Percent float64 // of the machine's, or of the container's where that is less
}

// Clean is what is made sure of before a start that is not the first.
type Clean struct {
	SharedMemory bool   // remove what only the dead had open in /dev/shm
	Port         bool   // the port of Ready.TCP can be bound
	GPU          string // wait for GPU memory: "auto" (where nvidia-smi is found), "true" or "false"
}

// Ready says when a started worker counts as ready: After has passed and, where
// one is set, the single check has succeeded.
type Ready struct {
	After     time.Duration
	HTTP      string   // URL that must answer 2xx
	TCP       string   // host:port that must accept
	Exec      []string // command that must exit 0
	Log       *regexp.Regexp
	Notify    bool // READY=1 on NOTIFY_SOCKET
	Heartbeat bool
}

// Rlimit is one of setrlimit(2)'s pairs. Unlimited stands for no limit.
type Rlimit struct{ Soft, Hard uint64 }

// Unlimited is RLIM_INFINITY.
const Unlimited = ^uint64(0)
