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

	Type           string
	Group          string
	Node           string
	Launcher       string // "" or "torch"
	MinReplicas    int
	Standby        bool
	Tasks          []string // ids owned at first
	DependsOn      []Dependency
	HealthCheckURL string

	Restart          string // "on-failure", "always" or "never"
	MaxRestarts      int
	RestartDelay     time.Duration
	Backoff          Backoff
	Stop             Stop
	Ready            Ready
	StartupTimeout   time.Duration
	HeartbeatTimeout *time.Duration // nil: Monitoring.HeartbeatTimeout holds

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

// Ready says when a started worker counts as ready: After has passed and, where
// one is set, the single check has succeeded.
type Ready struct {
	After     time.Duration
	HTTP      string   // URL that must answer 2xx
	TCP       string   // host:port that must accept
	Exec      []string // command that must exit 0
	Log       *regexp.Regexp
	Heartbeat bool
}

// Rlimit is one of setrlimit(2)'s pairs. Unlimited stands for no limit.
type Rlimit struct{ Soft, Hard uint64 }

// Unlimited is RLIM_INFINITY.
const Unlimited = ^uint64(0)
