package reaper

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/proc"
)

// Options say what to report and where. Callbacks may be nil; they are called one
// at a time and must not block.
type Options struct {
	// Marker is the environment variable that names the instance a process
	// belongs to, inherited by all its descendants. Default DefaultMarker.
	Marker string
	// OnExit gets the death of each spawned or adopted process, once.
	OnExit func(Exit)
	// OnGone follows an Exit with Gone false, when nothing is left.
	OnGone func(Gone)
	// OnOrphan gets the exit of each process that we did not spawn; ID, Gen and
	// Instance are those of the running worker it descends from, where that is known.
	OnOrphan func(Exit)
	// OnStop gets stops and continuations of spawned processes (job control).
	// The waiter asks for them only if it is set.
	OnStop func(Stop)
	// KeepFDs leaves inherited descriptors above 2 inheritable. By default they
	// are set close-on-exec, so that none leaks into a worker.
	KeepFDs bool
}

// DefaultMarker is the marker variable used when Options.Marker is empty.
const DefaultMarker = "PROCGUARD_INSTANCE"

// ErrClosed is returned by calls on a Reaper that was closed.
var ErrClosed = errors.New("reaper: closed")

// Stats count since Start; Live and Pending are of now.
type Stats struct {
	Spawned     uint64 // processes that reached their exec
	SpawnFailed uint64 // Spawn calls that returned an error
	Adopted     uint64
	Exits       uint64 // deaths reported by Exit
	Orphans     uint64 // unknown processes reaped
	Leftovers   uint64 // leftovers of dead workers that we saw die
	Live        int    // processes running
	Pending     int    // dead, with something left that is not dead yet
}

// Reaper owns the children of this process. There is one at a time.
type Reaper struct {
	opt   Options
	outer string // our own marker: we are a worker of another supervisor
	exe   string // what the exec shim runs
	proc  bool   // /proc is there and shows our pid namespace
	kids  int    // /proc/self/task/<main>/children, or -1
	null  *os.File

	subreaper bool // we set the attribute, and take it back at Close

	mu        sync.Mutex
	flights   map[int]bool // threads between fork and registration, see suspect
	postponed map[int]bool // zombies that wait for a flight to end; nil if none does
	kills     uint64       // KILLs sent by sweeps
	closed    bool
	seq       uint64
	live      map[int]*child     // our running children, by pid
	all       map[uint64]*child  // running and pending, by Proc.seq
	groups    map[int]*child     // running and pending, by group or session id
	instances map[string]*child  // running, pending and being forked
	pending   map[*child]bool    // dead, not gone
	fresh     []*child           // pending, in order of death, Exit not queued yet
	orphans   map[int]string     // living unknown children examined: their marker
	unread    map[int]time.Time  // those in the middle of an exec: when that was first seen
	kin       map[int]relative   // descendants of workers, by pid, see Survey
	leftovers map[int]*child     // unknown children sentenced, by pid
	watched   map[int32]*watched // pidfds in the epoll set
	epoll     *os.File
	watchDone chan struct{}
	polled    map[int]*watched // those for whom there is no pidfd, by pid
	pollQuit  chan struct{}    // ends the poller; nil while there is none
	pollDone  chan struct{}
	queue     []event
	stats     Stats

	emit sync.Mutex // held while callbacks run; orders them

	wake chan struct{}  // ends an idle wait: a child was forked, or Close
	chld chan os.Signal // SIGCHLD, asked for only while we have no children
	hup  chan os.Signal // never read, see catchIgnored
	done chan struct{}  // the waiter has returned
}

// one keeps two reapers in one process from stealing each other's children.
var one atomic.Bool

// Start makes this process a child subreaper unless it is PID 1, and starts the
// waiter. It fails if a Reaper is running already.
func Start(opt Options) (*Reaper, error) {
	if !one.CompareAndSwap(false, true) {
		return nil, errors.New("reaper: one is running already in this process")
	}
	r := newReaper(opt)
	if err := r.prepare(); err != nil {
		r.release()
		return nil, err
	}
	go r.wait()
	return r, nil
}

func newReaper(opt Options) *Reaper {
	if opt.Marker == "" {
		opt.Marker = DefaultMarker
	}
	return &Reaper{
		opt:       opt,
		outer:     os.Getenv(opt.Marker),
		exe:       "/proc/self/exe",
		kids:      -1,
		flights:   map[int]bool{},
		polled:    map[int]*watched{},
		live:      map[int]*child{},
		all:       map[uint64]*child{},
		groups:    map[int]*child{},
		instances: map[string]*child{},
		pending:   map[*child]bool{},
		orphans:   map[int]string{},
		unread:    map[int]time.Time{},
		kin:       map[int]relative{},
		leftovers: map[int]*child{},
		watched:   map[int32]*watched{},
		wake:      make(chan struct{}, 1),
		chld:      make(chan os.Signal, 1),
		done:      make(chan struct{}),
	}
}

func (r *Reaper) prepare() error {
	if err := r.becomeSubreaper(); err != nil {
		return fmt.Errorf("reaper: become subreaper: %w", err)
	}
	// A missing /dev/null fails the spawns that need it, not the init.
	r.null, _ = os.OpenFile(os.DevNull, os.O_RDWR, 0)
	r.openProc()
	r.catchIgnored()
	if !r.opt.KeepFDs {
		closeOnExec(r.proc)
	}
	return nil
}

// becomeSubreaper has orphaned descendants re-parented to us; PID 1 gets them anyway.
func (r *Reaper) becomeSubreaper() error {
	if os.Getpid() == 1 {
		return nil
	}
	var was int32
	_ = unix.Prctl(unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&was)), 0, 0, 0)
	r.subreaper = was == 0
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

// openProc opens the list of orphans. Orphans are re-parented to the first living
// thread of the reaper, which in a Go program is always the main thread: it is
// parked, never ended. So one file holds them all and one pread lists them.
// A /proc of another pid namespace would name the wrong processes: it is not used.
func (r *Reaper) openProc() {
	pid := os.Getpid()
	self, err := os.Readlink("/proc/self")
	r.proc = err == nil && self == fmt.Sprint(pid)
	if !r.proc {
		return
	}
	name := fmt.Sprintf("/proc/%d/task/%d/children", pid, pid)
	if fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
		r.kids = fd
	}
}

// catchIgnored handles an inherited "ignore" of HUP and INT (nohup, background
// jobs), which children would inherit from us: a caught signal is reset by exec. We
// go on ignoring it ourselves, as the full channel drops it.
func (r *Reaper) catchIgnored() {
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if !signal.Ignored(s) {
			continue
		}
		if r.hup == nil {
			r.hup = make(chan os.Signal)
		}
		signal.Notify(r.hup, s)
	}
}

// Close stops the waiter and the adoption watch and returns when both have ended.
// It leaves running processes alone: stop them first. Spawn and Signal return
// ErrClosed from then on. It fails if the process that must wake the waiter cannot
// be forked; the waiter then ends at the next exit of any child.
func (r *Reaper) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		<-r.done
		return nil
	}
	r.closed = true
	r.stopWatch()
	watch := r.watchDone
	poller := r.stopPoll()
	r.mu.Unlock()
	if poller != nil {
		<-poller
	}
	if watch != nil {
		<-watch
	}
	r.poke()
	pid, err := forkAndExit()
	if err != nil {
		go func() { <-r.done; r.release() }()
		return fmt.Errorf("reaper: wake the waiter: %w", err)
	}
	<-r.done
	// The waiter leaves without reaping what woke it; if it reaped it as an orphan
	// meanwhile, this says ECHILD.
	_, _ = proc.Reap(pid, nil)
	r.release()
	return nil
}

func (r *Reaper) release() {
	if r.subreaper {
		_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	}
	if r.hup != nil {
		signal.Stop(r.hup)
	}
	if r.kids >= 0 {
		_ = unix.Close(r.kids)
	}
	if r.null != nil {
		_ = r.null.Close()
	}
	one.Store(false)
}

// poke ends an idle wait. A full channel holds a poke that was not taken yet.
func (r *Reaper) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Stats returns the counters.
func (r *Reaper) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Pending = len(r.pending)
	s.Live = len(r.all) - len(r.pending)
	return s
}

// ProcFS reports whether /proc can be used. Without it leftovers are found by their
// process group only, and start times are 0.
func (r *Reaper) ProcFS() bool { return r.proc }
