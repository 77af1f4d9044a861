package incident

// Process is a worker's process tree at one moment. The files threads, stack and
// tree in the worker's folder have the rest.
type Process struct {
	TimeMS    int64   `json:"time_ms"`
	Command   string  `json:"command,omitempty"` // likely secrets masked
	State     string  `json:"state"`             // of the main thread, as in /proc/PID/stat
	Wchan     string  `json:"wchan,omitempty"`
	Syscall   string  `json:"syscall,omitempty"`
	SyscallFD string  `json:"syscall_fd,omitempty"` // the file that the call is about
	CPU       float64 `json:"cpu_percent"`          // of all its threads; 100 is one core
	Busy      string  `json:"busiest_thread,omitempty"`
	Threads   int     `json:"threads"`
	Processes int     `json:"processes"` // of the tree, itself included
	FDs       int     `json:"fds"`
	RSSBytes  int64   `json:"rss_bytes"`
}

// Cgroup is what the cgroups of worker and container say. Growth is since the
// worker's start; -1 in a counter means that the kernel does not have it.
type Cgroup struct {
	Version   int     `json:"version"` // 1 or 2; of memory where both are mounted
	Shared    bool    `json:"shared"`  // the worker has no cgroup of its own
	Worker    *Groups `json:"worker,omitempty"`
	Container *Groups `json:"container,omitempty"`
	HostOOM   int64   `json:"host_oom_kills"` // growth of oom_kill of the whole machine
	// Pressure is PSI: the share of the last 10 seconds in percent in which some, or
	// all, tasks waited. Keys are "memory.some", "io.full" and so on, of the worker's
	// cgroup where it has them, else of the machine.
	Pressure map[string]float64 `json:"pressure,omitempty"`
}

// Groups is one cgroup, or those of the same path under v1.
type Groups struct {
	Path        string `json:"path"`
	MemoryBytes int64  `json:"memory_bytes"`
	PeakBytes   int64  `json:"peak_bytes"`
	LimitBytes  int64  `json:"limit_bytes"` // 0 for none
	OOMKills    int64  `json:"oom_kills"`   // growth
	LimitHits   int64  `json:"limit_hits"`  // growth of how often the limit was met
	Pids        int64  `json:"pids"`
	PidsLimit   int64  `json:"pids_limit"`   // 0 for none
	ForkRefused int64  `json:"fork_refused"` // growth
	Throttled   int64  `json:"throttled"`    // growth of periods in which it was throttled
	ThrottledMS int64  `json:"throttled_ms"` // growth
}

// Core is a core file, or what took it.
type Core struct {
	File      string `json:"file,omitempty"`
	SizeBytes int64  `json:"size_bytes,omitempty"`
	Handler   string `json:"handler,omitempty"` // the program that core_pattern pipes to
	Note      string `json:"note,omitempty"`    // why there is no file
}

// Kernel is one line of the kernel's log.
type Kernel struct {
	TimeMS int64  `json:"time_ms"`
	Kind   string `json:"kind"` // "oom", "fault", "xid", "hung_task"
	PID    int    `json:"pid,omitempty"`
	Text   string `json:"text"`
}

// GPU is what one process held of GPU memory.
type GPU struct {
	PID     int   `json:"pid"`
	UsedMiB int64 `json:"used_mib"`
}
