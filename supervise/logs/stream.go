package logs

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// stream is one pipe. The reader goroutine alone touches it, but for what
// says otherwise.
type stream struct {
	c   *Collector
	w   *Worker
	id  Stream
	key uint64 // in the collector's table and in epoll's events
	fd  int    // -1 after its end

	console   *console // nil: not shown
	consoleAs source
	shape     shape
	files     *fileWriter // nil: no files
	fileAs    source
	jsonShape *shape // nil: files get raw bytes
	onLine    func(Stream, []byte) bool

	started time.Time // base of last, so that Activity's time is monotonic
	last    atomic.Int64
	total   atomic.Uint64

	mu    sync.Mutex // for Tail, called from elsewhere: guards the two below
	split splitter
	tail  tail
}

// feed carries bytes that were just read to every sink.
func (s *stream) feed(b []byte, now time.Time) {
	s.last.Store(int64(now.Sub(s.started)) | 1) // never 0, which means "nothing yet"
	s.total.Add(uint64(len(b)))
	if s.files != nil && s.jsonShape == nil {
		s.files.q.put(&s.fileAs, b, bytes.Count(b, newline))
	}
	s.mu.Lock()
	s.split.feed(b)
	waiting := s.split.note(now)
	s.mu.Unlock()
	if waiting {
		s.c.await(s)
	}
}

// outlet is a stream's place in a queue.
type outlet struct {
	q   *queue
	src *source
}

// lines is the fast path: all but the formatting is done in bulk.
func (s *stream) lines(b []byte) {
	s.tail.write(b)
	file, console := outlet{}, outlet{}
	if s.jsonShape != nil {
		file = outlet{s.files.q, &s.fileAs}
	}
	if s.console != nil {
		console = outlet{s.console.q, &s.consoleAs}
	}
	if s.shape.format == JSON { // a line is the same object in both
		s.format(&s.shape, b, file, console)
	} else {
		s.format(s.jsonShape, b, file)
		s.format(&s.shape, b, console)
	}
	for s.onLine != nil && len(b) > 0 {
		var line []byte
		line, b = nextLine(b)
		s.tell(line)
	}
}

// format puts whole lines into queues, in portions so that scratch stays small.
// What no queue has room for is only counted: that costs the reader next to
// nothing, and the worker is not slowed down.
func (s *stream) format(sh *shape, b []byte, to ...outlet) {
	to = slices.DeleteFunc(to, func(o outlet) bool { return o.q == nil })
	for len(b) > 0 && len(to) > 0 {
		if !slices.ContainsFunc(to, func(o outlet) bool { return o.q.open(o.src) }) {
			for _, o := range to {
				o.q.lose(o.src, bytes.Count(b, newline), len(b))
			}
			return
		}
		out, n := s.c.scratch[:0], 0
		for len(b) > 0 && len(out) < readSize {
			var line []byte
			line, b = nextLine(b)
			out = sh.line(out, line, false, true, s.c.stamp)
			n++
		}
		for _, o := range to {
			o.q.put(o.src, out, n)
		}
		s.c.keepScratch(out)
	}
}

func (s *stream) piece(p piece) {
	s.tail.write(p.data)
	if p.end {
		s.tail.write(newline)
	}
	if s.jsonShape != nil && (len(p.data) > 0 || !p.cont) {
		s.one(s.files.q, &s.fileAs, s.jsonShape, p.data, p.cont, p.end)
	}
	s.show(p)
	if len(p.data) > 0 || !p.cont {
		s.tell(p.data)
	}
}

// show puts on the console what it has not had of a piece.
func (s *stream) show(p piece) {
	fresh := p.data[p.shown:]
	cont := p.cont || p.shown > 0
	if s.console != nil && (len(fresh) > 0 || !cont) {
		s.one(s.console.q, &s.consoleAs, &s.shape, fresh, cont, p.end)
	}
}

func (s *stream) one(q *queue, src *source, sh *shape, data []byte, cont, end bool) {
	out := sh.line(s.c.scratch[:0], data, cont, end, s.c.stamp)
	q.put(src, out, 1)
	s.c.keepScratch(out)
}

func (s *stream) tell(line []byte) {
	if s.onLine != nil && !s.onLine(s.id, line) {
		s.onLine = nil
	}
}

// showWaiting shows a line that has no end yet. JSON files and the tail's ring
// wait for the end.
func (s *stream) showWaiting(now time.Time) {
	s.mu.Lock()
	p := s.split.unshown(now)
	s.mu.Unlock()
	s.show(p)
	s.tell(p.data)
}

// waiting tells since when something is unshown, and until when it may be.
func (s *stream) waiting() (due time.Time, yes bool) {
	if s.split.began.IsZero() || len(s.split.part) <= s.split.shown {
		return time.Time{}, false
	}
	return s.split.due(s.c.opts.PartialDelay, s.c.opts.ProgressInterval), true
}

// readOnce reads what one buffer holds: a flood waits its turn like all others.
func (s *stream) readOnce(buf []byte, now time.Time) (n int, more bool) {
	for {
		n, err := unix.Read(s.fd, buf)
		switch {
		case n > 0:
			s.feed(buf[:n], now)
			return n, true
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return 0, true
		}
		return 0, false // the end, or an error that will not pass
	}
}

// drain takes what lay in the pipe when the worker was known to be gone, and
// no more: a grandchild that still holds the pipe may write for ever.
func (s *stream) drain(buf []byte, now time.Time) {
	// TIOCINQ is what pipes and sockets know as FIONREAD: bytes to be read now.
	left, err := unix.IoctlGetInt(s.fd, unix.TIOCINQ)
	for err == nil && left > 0 {
		n, _ := s.readOnce(buf[:min(left, len(buf))], now)
		if n == 0 {
			return
		}
		left -= n
	}
}

// hangUp gives the descriptor back. Left in the set, a pipe that nobody can write
// to any more would be ready for ever.
func (s *stream) hangUp() {
	if s.fd < 0 {
		return
	}
	_ = unix.EpollCtl(s.c.epoll, unix.EPOLL_CTL_DEL, s.fd, nil)
	_ = unix.Close(s.fd)
	s.fd = -1
	s.mu.Lock()
	s.split.flush()
	s.mu.Unlock()
}

// finish ends the stream once the worker is gone.
func (s *stream) finish(buf []byte, now time.Time) {
	if s.fd >= 0 {
		s.drain(buf, now)
		s.hangUp()
	}
	if s.files != nil {
		s.files.q.finish(&s.fileAs)
	}
}
