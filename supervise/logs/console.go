package logs

import (
	"bytes"
	"errors"
	"io"
	"os"
	"reflect"
	"time"

	"golang.org/x/sys/unix"
)

// console is one destination of the container with the one goroutine
// that writes to it.
type console struct {
	q      *queue
	out    sink
	format Format
	notice func(string)
	done   chan struct{}

	failing bool
	lost    lostCount // taken from the queue, but not writable
}

// sink writes all of b or fails. abort makes a write that waits give up.
type sink interface {
	write(b []byte) error
	abort()
	close()
}

func newConsole(w io.Writer, o Options, notice func(string)) *console {
	c := &console{q: newQueue(o.ConsoleQueue), out: newSink(w), format: o.Format, notice: notice, done: make(chan struct{})}
	go c.run()
	return c
}

func (c *console) run() {
	defer close(c.done)
	for {
		b, ok := c.q.take()
		if !ok {
			return
		}
		if len(b.data) > 0 {
			c.try(b.data)
		}
		for _, l := range b.losses {
			c.try(appendMark(nil, c.format, l, "console blocked", time.Now()))
		}
	}
}

func (c *console) try(b []byte) {
	err := c.out.write(b)
	if err != nil {
		c.lost.add(uint64(bytes.Count(b, newline)), uint64(len(b)))
	}
	if failed := err != nil && !errors.Is(err, errAborted); failed != c.failing {
		c.failing = failed
		if failed {
			c.notice("cannot write to the console: " + err.Error())
		} else {
			c.notice("the console can be written again")
		}
	}
}

// stop lets the writer finish what is queued until the deadline, then makes it give up.
// A writer that cannot be interrupted is left where it is; false says so.
func (c *console) stop(deadline <-chan time.Time) bool {
	c.q.close()
	select {
	case <-c.done:
		c.out.close()
		return true
	case <-deadline:
	}
	c.out.abort()
	select {
	case <-c.done:
		c.out.close()
	case <-time.After(100 * time.Millisecond):
	}
	return false
}

func newSink(w io.Writer) sink {
	if f, ok := w.(*os.File); ok {
		if s, err := newFDSink(f); err == nil {
			return s
		}
	}
	return writerSink{w}
}

// writerSink is for a writer that is no file: nothing is known about how to
// write to it without waiting.
type writerSink struct{ w io.Writer }

func (s writerSink) write(b []byte) error {
	_, err := s.w.Write(b)
	return err
}
func (writerSink) abort() {}
func (writerSink) close() {}

var errAborted = errors.New("given up")

// fdSink writes when poll(2) says that there is room. It does not use os.File.Write:
// that ends the whole program on a broken pipe at descriptor 1 or 2.
type fdSink struct {
	fd, stop int
	atomic   bool // a pipe, socket or terminal: what fits one PIPE_BUF goes at once
}

func newFDSink(f *os.File) (*fdSink, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &fdSink{fd: -1}
	var dupErr error
	// Not f.Fd(): it would change O_NONBLOCK, which others share with us.
	if err := raw.Control(func(fd uintptr) { s.fd, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3) }); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, dupErr
	}
	if s.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		_ = unix.Close(s.fd)
		return nil, err
	}
	var st unix.Stat_t
	s.atomic = unix.Fstat(s.fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG
	return s, nil
}

func (s *fdSink) write(b []byte) error {
	for len(b) > 0 {
		if err := s.wait(); err != nil {
			return err
		}
		n, err := unix.Write(s.fd, s.portion(b))
		if err != nil && err != unix.EAGAIN && err != unix.EINTR {
			return err
		}
		b = b[max(n, 0):]
	}
	return nil
}

// portion is what may be written at once. After POLLOUT a pipe takes PIPE_BUF
// bytes (4096, pipe(7)) without blocking, and as one: cut at
// a line's end where there is one, so that what others write to the same
// console does not fall into the middle of a line.
func (s *fdSink) portion(b []byte) []byte {
	const pipeBuf = 4096
	if !s.atomic || len(b) <= pipeBuf {
		return b
	}
	if i := bytes.LastIndexByte(b[:pipeBuf], '\n'); i >= 0 {
		return b[:i+1]
	}
	return b[:pipeBuf]
}

func (s *fdSink) wait() error {
	for {
		fds := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLOUT}, {Fd: int32(s.stop), Events: unix.POLLIN}}
		_, err := unix.Poll(fds, -1)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case fds[0].Revents != 0: // room, or an error that write will tell
			return nil
		case fds[1].Revents != 0:
			return errAborted
		}
	}
}

func (s *fdSink) abort() { signal(s.stop) }

// close is for when no write can be under way any more.
func (s *fdSink) close() {
	_ = unix.Close(s.fd)
	_ = unix.Close(s.stop)
}

// sameDestination tells whether both writers lead to one place, where order counts.
func sameDestination(a, b io.Writer) bool {
	fa, okA := a.(*os.File)
	fb, okB := b.(*os.File)
	if okA && okB {
		ia, errA := fa.Stat()
		ib, errB := fb.Stat()
		return errA == nil && errB == nil && os.SameFile(ia, ib)
	}
	return a != nil && b != nil && reflect.TypeOf(a).Comparable() && reflect.TypeOf(b).Comparable() && a == b
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	is := false
	_ = raw.Control(func(fd uintptr) {
		_, err := unix.IoctlGetTermios(int(fd), unix.TCGETS)
		is = err == nil
	})
	return is
}
