package probe

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
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
	// Exec runs a readiness command; nil means exit code 0. Nil: such checks fail.
	Exec func(ctx context.Context, worker string, gen uint64, argv []string) error

	OnReady  func(worker string, gen uint64)
	OnBeat   func(worker string, gen uint64) // a heartbeat file changed; at most one call per 50 ms and worker
	OnJudged func(worker string, gen uint64, c state.Cause)
	Log      *slog.Logger // nil: no log
}

// Subject is a process to watch. Everything but the first three is optional.
type Subject struct {
	Worker string
	Gen    uint64
	PID    int

	HeartbeatFile    string        // any change of it is a heartbeat
	HeartbeatTimeout time.Duration // 0: never judged as a zombie
	HealthURL        string        // asked every Interval; answers 2xx

	// At most one of these four says when the worker is ready.
	ReadyHTTP      string // URL that answers 2xx
	ReadyTCP       string // address that accepts
	ReadyExec      []string
	ReadyHeartbeat bool
	// ReadyElsewhere: somebody else finds out, and calls Prober.Ready.
	ReadyElsewhere bool

	// Activity is when the worker last printed something (zero: never, or not
	// known) and how many bytes it has printed. It may be called once more after
	// Unwatch has returned.
	Activity func() (last time.Time, bytes uint64)
	// Restored: it was taken over from an earlier ProcGuard, and is ready.
	Restored bool
}

// Sample is what was seen of a process. CPU and memory are of the process itself,
// with all its threads, without its children.
type Sample struct {
	Time    time.Time
	State   byte    // as in proc_pid_stat(5): R, S, D, T, t, Z, I
	CPU     float64 // percent of one core since the sample before, 0 in the first
	RSS     uint64  // bytes
	Memory  float64 // percent of the machine's memory, 0 if that is not known
	Threads int
}

// Prober watches any number of workers.
type Prober struct {
	proc   procfs
	net    network
	log    *slog.Logger
	memory uint64 // of the machine, in bytes; 0: not known
	execs  chan struct{}
	calls  chan struct{} // http and tcp
	wake   chan struct{}
	done   chan struct{}
	over   chan struct{} // the scheduler has ended
	beats  *beatReader   // nil without BeatDir
	wg     sync.WaitGroup
	visits []visit // the scheduler's, reused

	mu      sync.Mutex // guards everything below; never held across a callback or a check
	o       Options
	closed  bool
	watches map[string]*watch // by worker
	files   map[string]*watch // by name in BeatDir
	fresh   []*watch          // whose heartbeat file may have been written before Watch
	polled  int               // watches whose heartbeat file is polled
	blind   bool              // inotify does not work
	due     checkHeap
	passAt  time.Time // of the next regular pass; zero: none is needed
	judgeAt time.Time // of an earlier pass, over those that are about to be judged
	passing bool      // descriptors are being read without the lock,
	retired []int     // so these are closed when it is over
	reports []func()
	said    map[string]bool
}

// watch is one subject. Prober.mu guards it, but s, which never changes.
type watch struct {
	s     Subject
	gone  bool
	ready bool
	// judged: it has been reported, nothing more is to be said of it
	judged bool

	beat   time.Time // last heartbeat since it was ready; zero: none
	told   time.Time // last OnBeat
	floor  time.Time // silence before this is held against nobody
	polled bool
	mark   fileMark

	out   time.Time // last output seen
	bytes uint64

	fd      int // of /proc/PID/stat, -1: not open
	lost    bool
	sample  Sample
	cpuAt   time.Time // of cpuTicks, from which the sample's CPU is reckoned
	cpuTick uint64
	calm    calm

	job    job
	at     time.Time // of the next check
	pause  time.Duration
	place  int // in Prober.due, -1: not there
	cancel context.CancelFunc
	health health
}

// New starts a Prober. Only a missing callback is an error.
func New(o Options) (*Prober, error) {
	p, err := build(o, newKernelProcfs(), newNetwork())
	if err != nil {
		return nil, err
	}
	p.start()
	return p, nil
}

func build(o Options, proc procfs, net network) (*Prober, error) {
	if o.OnReady == nil || o.OnBeat == nil || o.OnJudged == nil {
		return nil, errors.New("probe: OnReady, OnBeat and OnJudged are needed")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Exec == nil {
		o.Exec = func(context.Context, string, uint64, []string) error { return errors.ErrUnsupported }
	}
	o.Interval = interval(o.Interval)
	return &Prober{
		proc: proc, net: net, log: o.Log, o: o, memory: proc.memory(),
		execs: make(chan struct{}, maxExecs), calls: make(chan struct{}, maxCalls),
		wake: make(chan struct{}, 1), done: make(chan struct{}), over: make(chan struct{}),
		watches: map[string]*watch{}, files: map[string]*watch{}, said: map[string]bool{},
	}, nil
}

func (p *Prober) start() {
	if p.o.BeatDir != "" {
		p.o.BeatDir = filepath.Clean(p.o.BeatDir)
		var err error
		if p.beats, err = openBeats(p.o.BeatDir); err != nil {
			p.goBlind(err)
		} else {
			go p.listen(p.beats)
		}
	}
	go p.run()
}

func interval(d time.Duration) time.Duration {
	if d <= 0 {
		return time.Second
	}
	return d
}

// Watch begins to watch s. An older generation of the same worker is unwatched.
func (p *Prober) Watch(s Subject) {
	now := time.Now()
	w := &watch{s: s, fd: -1, place: -1, floor: now, ready: s.Restored || !s.awaited()}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	if old := p.watches[s.Worker]; old != nil {
		p.drop(old)
	}
	p.watches[s.Worker] = w
	p.watchFile(w)
	p.plan(w, now)
	if len(p.watches) == 1 || s.HeartbeatFile != "" || w.place >= 0 {
		p.nudge()
	}
}

func (s *Subject) awaited() bool {
	return s.ReadyHTTP != "" || s.ReadyTCP != "" || len(s.ReadyExec) > 0 || s.ReadyHeartbeat || s.ReadyElsewhere
}

// Unwatch ends it. Another generation than that which is watched is left alone.
func (p *Prober) Unwatch(worker string, gen uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.find(worker, gen); w != nil {
		p.drop(w)
	}
}

// Beat tells of a heartbeat that came another way than by file. It causes no OnBeat.
func (p *Prober) Beat(worker string, gen uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.find(worker, gen); w != nil {
		p.alive(w, time.Now())
	}
}

// Ready tells that a worker is ready, and causes no OnReady. Silence counts from
// here, and heartbeats before it do not, as in the fleet.
func (p *Prober) Ready(worker string, gen uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.find(worker, gen); w != nil {
		p.settle(w, time.Now())
	}
}

// Sample is the newest sample of a worker. Where ZombieDetection is off it is taken
// now. ok is false if there is none.
func (p *Prober) Sample(worker string) (s Sample, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.watches[worker]
	if w == nil {
		return Sample{}, false
	}
	if !p.o.ZombieDetection {
		p.sampleNow(w)
	}
	return w.sample, !w.sample.Time.IsZero()
}

// Reconfigure takes over Interval, HeartbeatTimeout, ZombieDetection and the two
// thresholds from o. They hold from the next pass and the next check on.
func (p *Prober) Reconfigure(o Options) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.o.Interval, p.o.HeartbeatTimeout = interval(o.Interval), o.HeartbeatTimeout
	p.o.ZombieDetection, p.o.CPUThreshold, p.o.MemoryThreshold = o.ZombieDetection, o.CPUThreshold, o.MemoryThreshold
	p.passAt, p.judgeAt = time.Time{}, time.Time{}
	p.nudge()
}

// Close ends everything. No callback is running, and none comes, when it has returned.
func (p *Prober) Close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.done)
	}
	p.mu.Unlock()
	if p.beats != nil {
		p.beats.close()
		<-p.beats.over
	}
	<-p.over
	p.mu.Lock()
	for _, w := range p.watches {
		p.drop(w)
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// find is called with the lock held, as is everything below.
func (p *Prober) find(worker string, gen uint64) *watch {
	if w := p.watches[worker]; w != nil && w.s.Gen == gen {
		return w
	}
	return nil
}

func (p *Prober) drop(w *watch) {
	w.gone = true
	delete(p.watches, w.s.Worker)
	p.unwatchFile(w)
	p.unplan(w)
	p.retire(w)
}

// alive notes a sign of life that is a heartbeat.
func (p *Prober) alive(w *watch, now time.Time) {
	if w.s.ReadyHeartbeat && !w.ready {
		p.becomeReady(w, now)
	}
	if w.ready {
		w.beat = now
	}
}

// becomeReady is settle for those who have to be told.
func (p *Prober) becomeReady(w *watch, now time.Time) {
	p.settle(w, now)
	p.report(func() { p.o.OnReady(w.s.Worker, w.s.Gen) })
}

func (p *Prober) settle(w *watch, now time.Time) {
	if w.ready {
		return
	}
	w.ready, w.floor, w.health = true, now, health{}
	p.plan(w, now)
	p.nudge()
}

// judge reports a worker, once.
func (p *Prober) judge(w *watch, c state.Cause) {
	w.judged = true
	p.unplan(w)
	p.report(func() { p.o.OnJudged(w.s.Worker, w.s.Gen, c) })
}

// report has the scheduler call f.
func (p *Prober) report(f func()) {
	p.reports = append(p.reports, f)
	p.nudge()
}

func (p *Prober) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// once logs a degradation the first time only: it would come back every interval.
func (p *Prober) once(what string, err error) {
	if !p.said[what] {
		p.said[what] = true
		p.log.Warn(what, "error", err)
	}
}
