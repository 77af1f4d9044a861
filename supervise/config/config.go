package config

import (
	"encoding/json"
	"time"
)

// Config is a whole file, checked and resolved. Durations and limits are the
// effective ones: a zero means zero, never "use the default".
type Config struct {
	File          string // as given to Load or Parse
	Node          string // $PROCGUARD_NODE, else the host's name
	Workers       []Worker
	Tasks         []Task
	Monitoring    Monitoring
	Recovery      Recovery
	Communication Communication
	Logging       Logging
	State         State
	Control       Control
}

// Task is one unit of work that a worker owns. Those that workers list come
// first, in the order of the workers, then those only under `tasks:`.
type Task struct {
	ID         string
	WorkerID   string // initial owner, an id of Config.Workers; "" leaves the choice to the fleet
	WorkerType string // only workers of this type may own it
	Weight     float64
	Payload    json.RawMessage // nil when the file gives none
}

// Monitoring is how workers are watched.
type Monitoring struct {
	Interval         time.Duration
	HeartbeatTimeout time.Duration
	ZombieDetection  bool
	CPUThreshold     float64 // percent of one core
	MemoryThreshold  float64 // percent of the machine's memory
}

// Recovery bounds the recovery chain.
type Recovery struct {
	EnableAutoRecovery  bool
	StopAllOnFailure    bool
	TaskReassignment    bool
	RecoveryTimeout     time.Duration
	MaxRecoveryAttempts int
	SameFailureLimit    int  // failures alike in a row, without progress; 0: no limit
	NoProgressExit      bool // whether SameFailureLimit ends the run
}

// Communication selects the bus.
type Communication struct {
	AdapterType   string // "mock" or "zmq"
	AdapterConfig AdapterConfig
}

// AdapterConfig is what the zmq adapter needs; mock has no use for it.
type AdapterConfig struct {
	Host     string
	PortBase int
	Timeout  time.Duration
	Insecure bool
	Keys     BusKeys
}

// Logging is ProcGuard's own log, not that of its workers.
type Logging struct {
	Level  string // DEBUG, INFO, WARNING or ERROR
	File   string // "" is standard error only
	Format string // "text" or "json"
}

// State is the durable state's place and manners.
type State struct {
	Dir           string
	DirSet        bool // the file names Dir: then no other directory may be tried
	KeepIncidents int
	SyncTimeout   time.Duration
}

// Control is the operator's door.
type Control struct {
	Socket    string
	SocketSet bool // the file names Socket: then no other path may be tried
}

// Logs is what becomes of a worker's output.
type Logs struct {
	Dir      string // "" is the directory "logs" under State.Dir
	Console  bool   // copy to ProcGuard's stdout and stderr, with a prefix
	Files    bool   // one stdout.log and stderr.log per attempt
	MaxSize  int64  // bytes in a file before it is rotated
	MaxFiles int    // rotated files kept beside the current one
	Format   string // "text" or "json", of console and files alike
}
