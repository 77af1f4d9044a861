package incident

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/procguard/procguard/state/journal/disk"
)

// Options are all optional.
type Options struct {
	// Keep is how many incidents are kept; 50 by default.
	Keep int
	// MaxFile bounds a file in bytes; 1 MiB by default. Of a longer one the
	// middle is left out.
	MaxFile int
	// MaxQueue bounds the bytes that wait for the disk; 16 MiB by default.
	MaxQueue int
	// FS is the file system written to; disk.OS by default.
	FS disk.FS
}

func (o Options) withDefaults() Options {
	if o.Keep <= 0 {
		o.Keep = 50
	}
	if o.MaxFile <= 0 {
		o.MaxFile = 1 << 20
	}
	if o.MaxQueue <= 0 {
		o.MaxQueue = 16 << 20
	}
	if o.FS == nil {
		o.FS = disk.OS{}
	}
	return o
}

// ErrStuck is returned by Close where the disk does not answer.
var ErrStuck = errors.New("incidents: the disk does not answer")

// Incidents writes the folders below one state directory.
type Incidents struct {
	dir string
	opt Options

	wake    chan struct{} // closed by Close, under mu
	stopped chan struct{}

	mu      sync.Mutex
	queue   []file
	queued  int             // bytes in queue
	open    map[uint64]bool // saved as open, or not saved yet
	lost    map[uint64]int  // files dropped per incident that is open
	dropped uint64
	failure error
	since   time.Time
	closed  bool
}

type file struct {
	n    uint64
	name string
	data []byte
}

// New returns a writer for the state directory dir. Nothing is read or made
// before the first Write.
func New(dir string, opt Options) *Incidents {
	i := &Incidents{
		dir: dir, opt: opt.withDefaults(),
		wake: make(chan struct{}, 1), stopped: make(chan struct{}),
		open: map[uint64]bool{}, lost: map[uint64]int{},
	}
	go i.run()
	return i
}

// Write queues data as the file name in the folder of incident n and returns at
// once. name may have one folder, "w0/stack"; characters that could lead elsewhere
// become "_". A file that is still queued under that name is replaced. It reports false where the data was
// dropped since too much is waiting for the disk. data must not be changed
// afterwards.
func (i *Incidents) Write(n uint64, name string, data []byte) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, known := i.open[n]; !known {
		i.open[n] = true
	}
	return i.push(file{n, safePath(name), i.shorten(data)})
}

// Save queues incident.json. It is durable once it is written, which other
// evidence is not. An incident whose Outcome is Open is never removed by this
// process. If files of it were dropped a note says how many.
func (i *Incidents) Save(inc *Incident) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.open[inc.Number] = inc.Outcome == Open || inc.Outcome == ""
	c := *inc
	c.Version = Version
	if lost := i.lost[c.Number]; lost > 0 {
		c.Notes = append(slices.Clip(c.Notes), fmt.Sprintf("%d files of evidence were dropped: the disk did not keep up", lost))
	}
	if !i.open[c.Number] {
		delete(i.lost, c.Number)
	}
	data, err := i.encode(&c)
	if err != nil {
		i.failed(err)
		return false
	}
	return i.push(file{c.Number, FileName, data})
}

// push adds f to the queue, in place of an older one of its name.
func (i *Incidents) push(f file) bool {
	k := slices.IndexFunc(i.queue, func(q file) bool { return q.n == f.n && q.name == f.name })
	size := len(f.data)
	if k >= 0 {
		size -= len(i.queue[k].data)
	}
	if i.closed || i.queued+size > i.opt.MaxQueue {
		i.dropped++
		i.lost[f.n]++
		return false
	}
	i.queued += size
	if k >= 0 {
		i.queue[k] = f
	} else {
		i.queue = append(i.queue, f)
	}
	select {
	case i.wake <- struct{}{}:
	default:
	}
	return true
}

// run is the writing goroutine.
func (i *Incidents) run() {
	defer close(i.stopped)
	for range i.wake {
		i.drain()
	}
	i.drain()
}

func (i *Incidents) drain() {
	var last uint64
	for {
		f, ok := i.next()
		if !ok {
			return
		}
		i.report(i.write(f))
		if f.n != last {
			last = f.n
			i.prune()
		}
	}
}

func (i *Incidents) next() (file, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.queue) == 0 {
		i.queue = nil
		return file{}, false
	}
	f := i.queue[0]
	i.queue = i.queue[1:]
	i.queued -= len(f.data)
	return f, true
}

func (i *Incidents) write(f file) error {
	path := filepath.Join(Path(i.dir, f.n), f.name)
	if err := i.opt.FS.MkdirAll(filepath.Dir(path)); err != nil {
		return err
	}
	return disk.WriteFile(i.opt.FS, path, f.data, f.name == FileName)
}

func (i *Incidents) report(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err == nil {
		i.failure, i.since = nil, time.Time{}
		return
	}
	i.dropped++
	i.failed(err)
}

func (i *Incidents) failed(err error) {
	if i.failure == nil {
		i.since = time.Now()
	}
	i.failure = err
}

// prune removes the oldest folders beyond Keep, sparing the newest and the open
// ones.
func (i *Incidents) prune() {
	ns, err := numbers(i.dir)
	if err != nil || len(ns) <= i.opt.Keep {
		return
	}
	surplus := len(ns) - i.opt.Keep
	for _, n := range ns[:len(ns)-1] {
		if surplus == 0 {
			return
		}
		if i.isOpen(n) {
			continue
		}
		if err := i.opt.FS.RemoveAll(Path(i.dir, n)); err != nil {
			i.report(err)
			return
		}
		i.mu.Lock()
		delete(i.open, n)
		i.mu.Unlock()
		surplus--
	}
}

// isOpen knows what this process has opened. What an earlier one left open is
// protected once the caller has taken it up again by saving it.
func (i *Incidents) isOpen(n uint64) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.open[n]
}

// Health reports whether the last file could be written; if not, why and since
// when.
func (i *Incidents) Health() (ok bool, why string, since time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.failure == nil {
		return true, "", time.Time{}
	}
	return false, "cannot write evidence: " + i.failure.Error(), i.since
}

// Dropped counts the files that were not written.
func (i *Incidents) Dropped() uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.dropped
}

// Close writes what is queued, for limit at most; then the error is ErrStuck
// and the rest is lost with the process.
func (i *Incidents) Close(limit time.Duration) error {
	i.mu.Lock()
	if !i.closed {
		i.closed = true
		close(i.wake)
	}
	i.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-i.stopped:
		return nil
	case <-timer.C:
		return ErrStuck
	}
}
