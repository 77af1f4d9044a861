package probe

import (
	"context"
	"log/slog"
	"regexp"
	"time"

	"github.com/procguard/procguard/state"
)

// Options are the same for all workers.
type Options struct {
	Interval         time.Duration // between samples and between checks; 0: one second
	HeartbeatTimeout time.Duration // for health checks of subjects that have none
	ZombieDetection  bool          // take samples of all workers and judge by them
	CPUThreshold     float64       // percent of one core below which a worker is idle
	MemoryThreshold  float64       // percent of the machine's memory below which it is small
	// BeatDir holds heartbeat files; changes in it are learned from inotify. Files
	// elsewhere are polled.
	BeatDir string
	// NotifyDir holds the sockets of OpenNotify. Only we may write to it, and every
	// worker may reach what is in it. Empty: BeatDir.
	NotifyDir string
	// Exec runs a readiness command; nil means exit code 0. Nil: such checks fail.
	Exec func(ctx context.Context, worker string, gen uint64, argv []string) error

	OnReady func(worker string, gen uint64)
	// OnBeat: a heartbeat, by file, by WATCHDOG=1 or by the alive pattern; at most one
	// call per 50 ms and worker.
	OnBeat   func(worker string, gen uint64)
	OnJudged func(worker string, gen uint64, c state.Cause)

	// OnCleared takes a verdict by silence, a zombie's too, back: there was output or
	// another sign of life, and it may be judged again. Nil: verdicts are for good.
	OnCleared func(worker string, gen uint64)

	// The others may be nil. Of each but OnStopping only the newest is told, at most
	// once per 50 ms and worker.
	OnExtend   func(worker string, gen uint64, d time.Duration) // EXTEND_TIMEOUT_USEC: deadlines are d from now at the earliest
	OnTimeout  func(worker string, gen uint64, d time.Duration) // WATCHDOG_USEC: its heartbeat time-out from now on
	OnPhase    func(worker string, gen uint64, name string, timeout time.Duration)
	OnProgress func(worker string, gen uint64, step int64) // the step grew
	OnStatus   func(worker string, gen uint64, text string)
	OnStopping func(worker string, gen uint64) // it says that it is about to end
	OnMainPID  func(worker string, gen uint64, pid int)

	Log *slog.Logger // nil: no log
}

// Subject is a process to watch. Everything but the first three is optional.
type Subject struct {
	Worker string
	Gen    uint64
	PID    int
	// Instance is the value of its marker variable, by which a process is known that
	// has left its group and lost its parent. Empty: such are strangers.
	Instance string

	HeartbeatFile    string        // any change of it is a heartbeat
	HeartbeatTimeout time.Duration // 0: never judged as a zombie
	HealthURL        string        // asked every Interval; answers 2xx
	// HealthBody must match somewhere in the first 64 KiB of the answer; nil: anything does.
	HealthBody *regexp.Regexp
	Notify     bool // it has the socket of OpenNotify

	// At most one of these five says when the worker is ready.
	ReadyHTTP      string // URL that answers 2xx
	ReadyTCP       string // address that accepts
	ReadyExec      []string
	ReadyHeartbeat bool
	ReadyNotify    bool // READY=1
	// ReadyElsewhere: somebody else finds out, and calls Prober.Ready. The ready
	// pattern counts as well.
	ReadyElsewhere bool

	// ProgressFile: the first integer in it is a step.
	ProgressFile string
	// FileTimer is the path of the FIFO of OpenTimer, or of one to be made.
	FileTimer string
	// LogSilence is how long it may print nothing, once it is ready and has printed
	// something; 0: for ever. It needs Activity.
	LogSilence time.Duration
	// MaxMemory in bytes, of the whole tree; 0: no limit.
	MaxMemory uint64
	// MaxCPU in percent of one core, of the whole tree, on average over CPUWindow (0: a
	// minute); 0: no limit.
	MaxCPU    float64
	CPUWindow time.Duration

	// Activity is when the worker last printed something (zero: never, or not
	// known) and how many bytes it has printed. It may be called once more after
	// Unwatch has returned.
	Activity func() (last time.Time, bytes uint64)
	// Restored: it was taken over from an earlier ProcGuard, and is ready.
	Restored bool
}

// limited: it has to be sampled, whatever else is looked for.
func (s *Subject) limited() bool {
	return s.LogSilence > 0 || s.MaxMemory > 0 || s.MaxCPU > 0
}

// Sample is what was seen of a worker: its process, and all that belongs to it.
type Sample struct {
	Time      time.Time
	State     byte    // of the process itself, as in proc_pid_stat(5): R, S, D, T, t, Z, I
	CPU       float64 // percent of one core since the sample before, 0 in the first
	RSS       uint64  // bytes; pages that several processes share count several times
	Memory    float64 // RSS in percent of the machine's memory, 0 if that is not known
	Threads   int
	Processes int
	// Read and Written are bytes from and to storage since the worker began. Partial:
	// not all of its processes let us see that.
	Read, Written uint64
	Partial       bool
}

// Sample is the newest sample of a worker. Where none are taken anyway one is taken
// now, of all workers, if the last is older than a second. ok is false if there is none.
func (p *Prober) Sample(worker string) (s Sample, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.watches[worker]
	if w == nil {
		return Sample{}, false
	}
	if !p.sampling() && time.Since(w.sample.Time) > min(p.o.Interval, time.Second) {
		p.mu.Unlock()
		p.sampleAll()
		p.mu.Lock()
	}
	return w.sample, !w.sample.Time.IsZero()
}
