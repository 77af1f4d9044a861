package probe

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxBeatRate is the time between two OnBeat of a worker, or a tenth of its
	// heartbeat time-out if that is less: its deadline is off by as much.
	maxBeatRate = 50 * time.Millisecond
	// breather is between two reads of inotify. A worker that touches its file in a
	// tight loop costs little that way: the kernel merges equal events.
	breather = 10 * time.Millisecond
)

const beatEvents = unix.IN_ATTRIB | unix.IN_MODIFY | unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_CREATE

// beatReader is the inotify instance on BeatDir.
type beatReader struct {
	file *os.File
	stop sync.Once
	quit chan struct{}
	over chan struct{} // the reading goroutine has ended
}

func openBeats(dir string) (*beatReader, error) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	if _, err := unix.InotifyAddWatch(fd, dir, beatEvents|unix.IN_ONLYDIR); err != nil {
		_ = unix.Close(fd)
		return nil, &os.PathError{Op: "inotify_add_watch", Path: dir, Err: err}
	}
	// Non-blocking, so that the runtime's poller waits and Close ends the wait.
	return &beatReader{file: os.NewFile(uintptr(fd), "inotify"), quit: make(chan struct{}), over: make(chan struct{})}, nil
}

func (b *beatReader) close() {
	b.stop.Do(func() {
		close(b.quit)
		_ = b.file.Close() // nothing was written
	})
}

// listen reads inotify until it is closed or fails.
func (p *Prober) listen(b *beatReader) {
	defer close(b.over)
	buf := make([]byte, 32<<10)
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		n, err := b.file.Read(buf)
		if err == nil {
			err = p.hear(buf[:n])
		}
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			b.close()
			p.mu.Lock()
			p.goBlind(err)
			p.mu.Unlock()
			return
		}
		rest.Reset(breather)
		select {
		case <-rest.C:
		case <-b.quit:
			return
		}
	}
}

var errDirGone = errors.New("the directory is gone")

// hear takes a buffer of events apart, see inotify(7).
func (p *Prober) hear(buf []byte) error {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(buf) >= unix.SizeofInotifyEvent {
		mask := binary.NativeEndian.Uint32(buf[4:])
		size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(buf[12:]))
		if size > len(buf) {
			return errors.New("malformed inotify event")
		}
		name := unix.ByteSliceToString(buf[unix.SizeofInotifyEvent:size])
		buf = buf[size:]
		switch {
		case mask&unix.IN_Q_OVERFLOW != 0:
			p.rescan()
		case mask&unix.IN_IGNORED != 0:
			return errDirGone
		case name != "":
			p.touched(p.files[name], now)
		}
	}
	return nil
}

// touched is called with the lock held; w may be nil.
func (p *Prober) touched(w *watch, now time.Time) {
	if w == nil {
		return
	}
	// An event of the previous process may have waited in the queue until its
	// successor was watched. Its file was removed in between, so if there is none
	// the event was that.
	if w.told.IsZero() {
		if w.mark = markOf(w.s.HeartbeatFile); w.mark == (fileMark{}) {
			return
		}
	}
	p.hearBeat(w, now)
}

func (p *Prober) hearBeat(w *watch, now time.Time) {
	p.alive(w, now)
	gap := maxBeatRate
	if t := w.s.HeartbeatTimeout; t > 0 {
		gap = min(gap, t/10)
	}
	if w.told.IsZero() || now.Sub(w.told) >= gap {
		w.told = now
		p.report(func() { p.o.OnBeat(w.s.Worker, w.s.Gen) })
	}
}

// rescan has all files looked at, since events were lost.
func (p *Prober) rescan() {
	for _, w := range p.files {
		p.fresh = append(p.fresh, w)
	}
	p.nudge()
}

// goBlind turns to polling: the limits on inotify are per user and shared with the
// host. It is called with the lock held, or before anything runs.
func (p *Prober) goBlind(err error) {
	p.once("heartbeat files are polled: inotify does not work", err)
	p.blind = true
	for _, w := range p.files {
		w.polled = true
		p.polled++
	}
	clear(p.files)
	p.nudge()
}

func (p *Prober) watchFile(w *watch) {
	path := w.s.HeartbeatFile
	if path == "" {
		return
	}
	// By name first and a look at the file second: in the other order a heartbeat
	// between the two would be lost.
	if dir, name := filepath.Split(filepath.Clean(path)); p.beats != nil && !p.blind && filepath.Clean(dir) == p.o.BeatDir {
		p.files[name] = w
	} else {
		w.polled = true
		p.polled++
	}
	p.fresh = append(p.fresh, w)
}

func (p *Prober) unwatchFile(w *watch) {
	if w.polled {
		p.polled--
		w.polled = false
		return
	}
	if name := filepath.Base(w.s.HeartbeatFile); p.files[name] == w {
		delete(p.files, name)
	}
}

// fileMark tells whether a file was touched: its change time moves with anything
// that is done to it, also when the modification time is set to an old value.
type fileMark struct {
	inode      uint64
	mtim, ctim unix.Timespec
}

// markOf is the zero mark if there is no file.
func markOf(path string) fileMark {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return fileMark{}
	}
	return fileMark{inode: st.Ino, mtim: st.Mtim, ctim: st.Ctim}
}

// lookAtFresh looks at files that were written before they were watched, and at
// all after events were lost.
func (p *Prober) lookAtFresh() {
	p.mu.Lock()
	list := p.fresh
	p.fresh = nil
	p.mu.Unlock()
	p.look(list)
}

// look compares files with how they looked before, without the lock.
func (p *Prober) look(list []*watch) {
	for _, w := range list {
		m := markOf(w.s.HeartbeatFile)
		p.mu.Lock()
		p.compare(w, m)
		p.mu.Unlock()
	}
}

func (p *Prober) compare(w *watch, m fileMark) {
	if w.gone || m == w.mark || m == (fileMark{}) {
		return
	}
	// The file of a worker that was taken over may be from long ago; it is only
	// where its changes are counted from.
	old := w.s.Restored && w.mark == (fileMark{})
	w.mark = m
	if !old {
		p.hearBeat(w, time.Now())
	}
}

// pollFiles looks at the files of which inotify tells nothing.
func (p *Prober) pollFiles() {
	p.mu.Lock()
	var list []*watch
	if p.polled > 0 {
		for _, w := range p.watches {
			if w.polled {
				list = append(list, w)
			}
		}
	}
	p.mu.Unlock()
	p.look(list)
}
