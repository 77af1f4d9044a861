package probe

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/procguard/procguard/supervise/probe/timer"
	"github.com/procguard/procguard/supervise/probe/tree"
)

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
	looks  chan struct{} // looks at /proc before a verdict
	beats  *beatReader   // nil without BeatDir
	wg     sync.WaitGroup

	passes sync.Mutex // held for a pass; taken before mu
	visits []visit    // the pass's, reused, as is the next
	trees  []*tree.Tree
	forest *tree.Forest

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
	words   []string // what was said, for Degraded
	inlet   *inlet   // nil: nobody has a socket or a FIFO yet
	doors   map[int32]*door
	ahead   map[doorKey]*door // made before their process
	counts  Counts
	late    map[*watch]time.Time // whose news wait, until when
	timed   map[*watch]time.Time // who has timers, and when the first runs out
	tracked int                  // watches whose progress file is read
	needy   int                  // watches that need samples whether zombies are looked for or not
}

// watch is one subject. Prober.mu guards it, but s, of which only HeartbeatTimeout
// ever changes.
type watch struct {
	s     Subject
	gone  bool
	ready bool
	// judged: it has been reported, nothing more is to be said of it
	judged   bool
	judgedAt time.Time
	silent   bool // for its silence, which may end

	beat   time.Time // last heartbeat since it was ready; zero: none
	told   time.Time // last OnBeat
	floor  time.Time // silence before this is held against nobody
	sign   time.Time // of the last sign of life that is neither heartbeat nor output
	hold   time.Time // no verdict by silence before this: a deadline was extended
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

	tree     *tree.Tree
	limits   limits
	suspect  bool // a look at it is on its way
	doors    []*door
	main     int // MAINPID
	reload   bool
	news     news
	queued   bool      // its news are among the reports
	newsAt   time.Time // of the last news
	progress progress
	timers   timer.Book
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
	if o.NotifyDir == "" {
		o.NotifyDir = o.BeatDir
	}
	return &Prober{
		proc: proc, net: net, log: o.Log, o: o, memory: proc.memory(),
		execs: make(chan struct{}, maxExecs), calls: make(chan struct{}, maxCalls), looks: make(chan struct{}, maxLooks),
		forest: tree.New(proc), doors: map[int32]*door{}, ahead: map[doorKey]*door{}, late: map[*watch]time.Time{}, timed: map[*watch]time.Time{},
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
	w := &watch{s: s, fd: -1, place: -1, floor: now, ready: s.Restored || !s.awaited(), tree: &tree.Tree{PID: s.PID}}
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
	p.trackProgress(w)
	p.openDoors(w)
	p.plan(w, now)
	if s.limited() {
		p.needy++
	}
	if len(p.watches) == 1 || s.HeartbeatFile != "" || s.ProgressFile != "" || s.limited() || w.place >= 0 {
		p.nudge()
	}
}

func (s *Subject) awaited() bool {
	return s.ReadyNotify || s.ReadyHTTP != "" || s.ReadyTCP != "" || len(s.ReadyExec) > 0 || s.ReadyHeartbeat || s.ReadyElsewhere
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

// Extend holds back verdicts by silence until d from now, as EXTEND_TIMEOUT_USEC does,
// for a phase that may be silent. 0 ends that.
func (p *Prober) Extend(worker string, gen uint64, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.find(worker, gen); w != nil {
		p.extend(w, d, time.Now())
	}
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
	p.closeInlet()
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
	p.closeDoors(w)
	delete(p.late, w)
	delete(p.timed, w)
	if w.s.ProgressFile != "" {
		p.tracked--
	}
	if w.s.limited() {
		p.needy--
	}
}
