package logs

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Collector reads the output of all workers.
type Collector struct {
	opts     Options
	consoles [2]*console // may be one and the same; nil: not shown
	colors   [2]bool
	files    *fileWriter
	epoll    int
	wakeup   int // eventfd
	finished chan struct{}

	read    atomic.Uint64
	wakeups atomic.Uint64

	mu       sync.Mutex
	streams  map[uint64]*stream
	lastKey  uint64
	ending   []*Worker
	closed   bool // nothing may be added, or asked of the reader, any more
	stopping bool // Close was called

	// The reader's own.
	waiting map[*stream]struct{} // have an unfinished line to show
	nextDue time.Time            // not later than the first of them
	stamp   []byte               // this round's time
	scratch []byte
}

// New starts a Collector. It fails only when the kernel refuses an epoll set or
// an eventfd.
func New(o Options) (*Collector, error) {
	c := &Collector{
		opts:     o.withDefaults(),
		finished: make(chan struct{}),
		streams:  map[uint64]*stream{},
		waiting:  map[*stream]struct{}{},
	}
	if err := c.openPoll(); err != nil {
		return nil, err
	}
	c.openConsoles()
	c.files = newFileWriter(c.opts, c.notice)
	go c.run()
	return c, nil
}

func (c *Collector) openPoll() (err error) {
	if c.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("logs: epoll: %w", err)
	}
	if c.wakeup, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		_ = unix.Close(c.epoll)
		return fmt.Errorf("logs: eventfd: %w", err)
	}
	if err = c.watch(c.wakeup, 0); err != nil {
		_ = unix.Close(c.epoll)
		_ = unix.Close(c.wakeup)
		return fmt.Errorf("logs: eventfd: %w", err)
	}
	return nil
}

func (c *Collector) openConsoles() {
	for i, w := range []io.Writer{c.opts.Stdout, c.opts.Stderr} {
		switch {
		case w == nil:
		case i == 1 && sameDestination(c.opts.Stdout, w):
			c.consoles[1] = c.consoles[0]
		default:
			c.consoles[i] = newConsole(w, c.opts, c.notice)
		}
		c.colors[i] = w != nil && wantColor(w, c.opts)
	}
}

func wantColor(w io.Writer, o Options) bool {
	switch o.Color {
	case ColorAlways:
		return true
	case ColorNever:
		return false
	}
	return os.Getenv("NO_COLOR") == "" && isTerminal(w)
}

// watch uses the 64 bits that epoll carries for a key that is never used twice:
// an event for a descriptor that was closed in the same round must not hit its
// successor.
func (c *Collector) watch(fd int, key uint64) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(uint32(key)), Pad: int32(uint32(key >> 32))}
	return unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, fd, &ev)
}

func keyOf(ev *unix.EpollEvent) uint64 { return uint64(uint32(ev.Fd)) | uint64(uint32(ev.Pad))<<32 }

// Open makes the pipes for a process that is about to be started.
func (c *Collector) Open(spec StreamSpec) (*Worker, error) {
	var pipes [2]pipe
	for s := range pipes {
		p, err := newPipe(spec.Worker + " " + Stream(s).String())
		if err != nil {
			if s > 0 {
				pipes[0].close()
			}
			return nil, fmt.Errorf("logs: %w", err)
		}
		pipes[s] = p
	}
	return c.join(spec, pipes)
}

// Adopt reads the output of a process that an earlier supervisor started and that
// is still running. The process must be known to be the same one (pid and
// start time). If neither output can be found the error is ErrNoPipe; one
// alone that was redirected by the program is simply not read.
func (c *Collector) Adopt(pid int, spec StreamSpec) (*Worker, error) {
	pipes, err := findPipes(pid, spec.Pipes)
	if err != nil {
		return nil, fmt.Errorf("logs: adopt %s: %w", spec.Worker, err)
	}
	return c.join(spec, pipes)
}

func (c *Collector) join(spec StreamSpec, pipes [2]pipe) (*Worker, error) {
	w := &Worker{c: c, done: make(chan struct{}), Stdout: pipes[0].child, Stderr: pipes[1].child}
	now := time.Now()
	for i := range pipes {
		if pipes[i].read >= 0 {
			w.streams[i] = c.newStream(w, spec, Stream(i), pipes[i].read, now)
			w.pipes[i] = pipes[i].inode
		}
	}
	if err := c.register(w); err != nil {
		for i := range pipes {
			pipes[i].close()
		}
		return nil, err
	}
	return w, nil
}

func (c *Collector) newStream(w *Worker, spec StreamSpec, id Stream, fd int, now time.Time) *stream {
	shown, filed := c.opts.Format, c.opts.FileFormat
	if spec.JSON {
		shown, filed = JSON, JSON
	}
	s := &stream{
		c: c, w: w, id: id, fd: fd, onLine: spec.OnLine, started: now,
		console: c.consoles[id], shape: newShape(shown, spec, id, c.colors[id]),
		tail: tail{max: c.opts.TailBytes},
	}
	if spec.Quiet {
		s.console = nil
	}
	as := source{worker: spec.Worker, stream: id, attempt: spec.Attempt}
	s.split.out, s.consoleAs, s.fileAs = s, as, as
	if spec.Dir != "" {
		s.files = c.files
		s.fileAs.file = c.files.newTarget(spec, id)
		if filed == JSON {
			sh := newShape(JSON, spec, id, false)
			s.jsonShape = &sh
		}
	}
	return s
}

// register needs no wake-up: epoll takes new descriptors while it is waited for.
func (c *Collector) register(w *Worker) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	for i, s := range w.streams {
		if s == nil {
			continue
		}
		c.lastKey++
		s.key = c.lastKey
		// The reader needs c.mu to look an event up: it cannot see
		// one of these pipes before both are in, nor after one was taken back.
		c.streams[s.key] = s
		if err := c.watch(s.fd, s.key); err != nil {
			for _, s := range w.streams[:i+1] {
				c.unwatch(s)
			}
			return fmt.Errorf("logs: epoll: %w", err)
		}
	}
	return nil
}

func (c *Collector) unwatch(s *stream) {
	if s != nil {
		_ = unix.EpollCtl(c.epoll, unix.EPOLL_CTL_DEL, s.fd, nil)
		delete(c.streams, s.key)
	}
}

func (c *Collector) finish(w *Worker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || w.ending { // a closing reader finishes everything by itself
		return
	}
	w.ending = true
	c.ending = append(c.ending, w)
	signal(c.wakeup)
}

// Close reads what is in the pipes, lets the writers finish for at most timeout, and
// ends all goroutines but one that hangs in a write that nothing can
// interrupt. Workers that still run keep their pipes: they can be adopted.
func (c *Collector) Close(timeout time.Duration) error {
	c.mu.Lock()
	if c.stopping {
		c.mu.Unlock()
		return ErrClosed
	}
	c.stopping = true
	if !c.closed {
		c.closed = true
		signal(c.wakeup)
	}
	c.mu.Unlock()
	<-c.finished

	// A closed channel, not a timer's: more than one writer may have to see it.
	deadline := make(chan time.Time)
	t := time.AfterFunc(timeout, func() { close(deadline) })
	defer t.Stop()
	ok, left := c.files.stop(deadline), 0
	for i, con := range c.consoles {
		if con != nil && (i == 0 || con != c.consoles[0]) {
			ok = con.stop(deadline) && ok
			left += con.q.left()
		}
	}
	if !ok {
		return fmt.Errorf("%w after %v: %d bytes for files, %d for the console", ErrUnflushed, timeout, c.files.q.left(), left)
	}
	return nil
}

// Stats may be asked for at any time.
func (c *Collector) Stats() Stats {
	c.mu.Lock()
	st := Stats{Streams: len(c.streams), Read: c.read.Load(), Wakeups: c.wakeups.Load()}
	c.mu.Unlock()
	st.FileLostLines, st.FileLostBytes = c.files.q.lostWith(&c.files.lost)
	st.FilesFailing = int(c.files.lost.failing.Load())
	for i, con := range c.consoles {
		if con != nil && (i == 0 || con != c.consoles[0]) {
			lines, bytes := con.q.lostWith(&con.lost)
			st.ConsoleLostLines += lines
			st.ConsoleLostBytes += bytes
		}
	}
	return st
}

// notice tells about a sink in trouble, on the console if nobody else listens.
func (c *Collector) notice(text string) {
	if c.opts.Notice != nil {
		c.opts.Notice(text)
		return
	}
	if con := c.consoles[1]; con != nil {
		line := "[procguard] " + text + "\n"
		if c.opts.Format == JSON {
			line = string(appendNotice(nil, text, time.Now()))
		}
		con.q.put(&source{worker: "procguard", stream: Stderr}, []byte(line), 1)
	}
}
