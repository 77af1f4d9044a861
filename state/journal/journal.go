package journal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/state/journal/disk"
)

// Journal keeps a Snapshot on a volume. Its methods may be called from any
// goroutine, but records have one order, so Append and Offer are for the one
// goroutine that owns the state.
type Journal struct {
	dir  string
	opt  Options
	lock *os.File // nil: memory only

	wake    chan struct{} // to the writer; closed by Close, both under mu
	notify  chan struct{} // to the owner
	stopped chan struct{} // the writer has returned

	mu sync.Mutex

	// Between Append and the writer.
	enc      encoder
	pending  []byte // lines that the writer has not taken yet
	spare    []byte // the writer's last buffer, to be used again
	wantSync bool
	waiters  []waiter
	appended uint64 // newest record handed in
	written  uint64 // newest record that a kill of this process cannot lose
	durable  uint64 // newest record that a power failure cannot lose
	credit   credit

	// gap: records are missing between the segment and pending, so that nothing
	// can be appended until a new segment with a newer base is adopted.
	gap bool

	// Between Offer and the writer. replacing lasts from an Offer that begins a
	// new segment until the writer has adopted or discarded it: two at a time
	// could have the same name. tail holds every line since the snapshot on
	// which the new segment is based; tailing is false once it was given up.
	replacing bool
	tailing   bool
	tail      []byte
	next      *segment

	// The segment in use and those that it covers are the writer's alone; the
	// sizes are guarded by mu.
	seg      *segment
	obsolete []string
	segSize  int64
	segLimit int64

	pub    publishing
	health health
	closed bool
}

// Open locks dir, making it if needed, and loads its state: a new one where
// there is none. It blocks for as long as the disk does. A directory that is
// only readable gives a *NotWritableError that has the state; one that is full
// or failing is opened all the same, and Health says so. Other errors are
// *LockedError, *VersionError and *CorruptError.
func Open(dir string, opt Options) (*Journal, *state.Snapshot, error) {
	opt = opt.withDefaults()
	lock, err := prepareDir(dir, opt)
	if err != nil {
		return nil, nil, err
	}
	l, err := load(dir)
	if err != nil {
		_ = lock.Close()
		return nil, nil, err
	}
	j := newJournal(dir, opt, l.snap.Seq)
	j.lock = lock
	j.keepEvidence(l)
	if err := j.begin(l); err != nil {
		_ = lock.Close()
		return nil, nil, &NotWritableError{Dir: dir, Err: err, Snapshot: l.snap}
	}
	for _, note := range l.notes {
		opt.Log(Warn, note)
	}
	go j.write()
	return j, l.snap, nil
}

// OpenMemory returns a Journal without a volume, for when no directory can be
// used: it takes records, keeps none, and is degraded for the reason why.
func OpenMemory(snap *state.Snapshot, why string, opt Options) *Journal {
	j := newJournal("", opt.withDefaults(), snap.Seq)
	j.health.set(faultMemory, why, j.opt.Now())
	j.gap = true
	go j.write()
	return j
}

func newJournal(dir string, opt Options, seq uint64) *Journal {
	j := &Journal{
		dir: dir, opt: opt,
		wake:     make(chan struct{}, 1),
		notify:   make(chan struct{}, 1),
		stopped:  make(chan struct{}),
		appended: seq, written: seq, durable: seq,
	}
	j.credit.left = opt.SyncTimeout
	return j
}

// prepareDir makes and locks dir.
func prepareDir(dir string, opt Options) (*os.File, error) {
	err := opt.FS.MkdirAll(dir)
	if err != nil {
		return nil, notWritable(dir, err)
	}
	lock, err := acquire(dir)
	if errors.Is(err, errNoLocks) {
		opt.Log(Warn, dir+": "+err.Error()+": nothing keeps a second procguard out")
		err = nil
	}
	if l := (*LockedError)(nil); errors.As(err, &l) {
		return nil, l
	}
	if err != nil {
		return nil, notWritable(dir, err)
	}
	return lock, nil
}

func notWritable(dir string, err error) error {
	e := &NotWritableError{Dir: dir, Err: err}
	snap, rerr := Read(dir)
	var v *VersionError
	var c *CorruptError
	if errors.As(rerr, &v) || errors.As(rerr, &c) {
		return rerr
	}
	e.Snapshot = snap
	return e
}

// begin starts a segment based on what was loaded. Segments are never
// continued after a restart: so what a crash left at the end of one cannot get
// in the way, and at most two are ever looked at. An error means that the
// directory cannot be written to at all.
func (j *Journal) begin(l *loaded) error {
	for _, s := range l.segments {
		j.obsolete = append(j.obsolete, s.path)
	}
	j.removeTemporaries()
	seg, err := prepareSegment(j.opt.FS, j.dir, l.snap)
	if err == nil {
		if err = seg.adopt(nil); err != nil {
			seg.discard()
		}
	}
	switch {
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return err
	case err != nil:
		j.gap = true
		j.fail(faultJournal, err)
		j.reportHealth()
		return nil
	}
	j.use(seg)
	j.removeObsolete()
	j.pub.stale = l.mirror == nil || l.mirror.Seq != l.snap.Seq || l.raw != nil
	if !j.pub.stale {
		j.pub.mirrored = l.mirror.Seq
	}
	return nil
}

// use makes seg the one that is appended to.
func (j *Journal) use(seg *segment) {
	j.seg, j.segSize = seg, seg.size
	j.segLimit = j.opt.MaxSegment
	if j.segLimit <= 0 {
		j.segLimit = max(1<<20, 4*seg.size)
	}
	j.segLimit += seg.size
	j.obsolete = without(j.obsolete, seg.path)
}

func without(list []string, s string) []string {
	var out []string
	for _, e := range list {
		if e != s {
			out = append(out, e)
		}
	}
	return out
}

// removeTemporaries removes what a crash left unfinished.
func (j *Journal) removeTemporaries() {
	entries, _ := os.ReadDir(j.dir)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), disk.Temporary) {
			_ = j.opt.FS.Remove(filepath.Join(j.dir, e.Name()))
		}
	}
}

// removeObsolete removes segments that a durable one has replaced. One that
// cannot be removed is tried again the next time.
func (j *Journal) removeObsolete() {
	var left []string
	for _, path := range j.obsolete {
		if err := j.opt.FS.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			left = append(left, path)
		}
	}
	j.obsolete = left
}

// Durable is the number of the newest record that a power failure cannot lose.
func (j *Journal) Durable() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.durable
}

// Notify gets a value when Due, Durable or Health may have changed by what
// happened on the disk, and not by a call of the owner's. Signals coalesce.
func (j *Journal) Notify() <-chan struct{} { return j.notify }

func (j *Journal) signal() {
	select {
	case j.notify <- struct{}{}:
	default:
	}
}

// Close writes what is left, and final as state.json unless it is nil, and
// gives up the lock. A disk that stalls holds it up for twice SyncTimeout at
// most; then, or where writing failed, the error matches ErrDegraded and the
// lock stays until the process ends.
func (j *Journal) Close(final *state.Snapshot) error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return ErrClosed
	}
	j.closed = true
	j.wantSync = !j.gap
	close(j.wake)
	j.mu.Unlock()

	done := make(chan error, 1)
	go func() { done <- j.finish(final) }()
	limit := time.NewTimer(2 * j.opt.SyncTimeout)
	defer limit.Stop()
	select {
	case err := <-done:
		return err
	case <-limit.C:
		return &DegradedError{Why: "the disk does not answer", Since: j.opt.Now()}
	}
}

// finish ends all goroutines, then writes the last snapshot by itself.
func (j *Journal) finish(final *state.Snapshot) error {
	<-j.stopped
	j.pub.wait.Wait()
	if j.lock == nil {
		return nil
	}
	if final != nil && j.needsMirror(final.Seq) {
		j.mirrorWritten(final.Seq, j.writeMirror(final))
	}
	if j.seg != nil {
		_ = j.seg.file.Close()
	}
	_ = j.lock.Close()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.durable < j.appended {
		return &DegradedError{Why: j.health.why(), Since: j.health.since()}
	}
	return nil
}

func (j *Journal) needsMirror(seq uint64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.pub.stale || seq != j.pub.mirrored
}
