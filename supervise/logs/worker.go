package logs

import (
	"os"
	"time"
)

// Worker is the output of one process, from its start to its end. Its methods
// may be called from any goroutine.
type Worker struct {
	// Stdout and Stderr are the child's ends, to be passed to the spawner as
	// files. They are blocking, close on exec, and nil for an adopted worker.
	Stdout, Stderr *os.File

	c       *Collector
	streams [2]*stream // nil: not ours (adopted, and redirected by the program)
	pipes   [2]uint64
	done    chan struct{}
	ending  bool // guarded by c.mu
}

// CloseChildEnds closes this process's copy of the child's ends. Call it once
// the process was forked, or could not be.
func (w *Worker) CloseChildEnds() {
	for _, f := range []*os.File{w.Stdout, w.Stderr} {
		if f != nil {
			_ = f.Close() // closing twice is an error without an effect
		}
	}
}

// Pipes are the inode numbers of the two pipes, for StreamSpec.Pipes of a later
// Adopt. Zero: this pipe cannot be adopted (no /proc), or is not read.
func (w *Worker) Pipes() [2]uint64 { return w.pipes }

// Finish says that the process is gone. It does not wait: what
// is still in the pipes is read, an unfinished line is flushed, and the channel
// is closed when Tail is complete (well under a millisecond later, as a
// rule). Descendants that still hold the pipe are not read any more. Calling it
// again is harmless.
func (w *Worker) Finish() (done <-chan struct{}) {
	w.CloseChildEnds()
	w.c.finish(w)
	return w.done
}

// Tail gives the newest lines of a stream, oldest first, an unfinished one
// included: at most maxBytes (0: all that is kept) and Options.TailLines. Lines that
// were overwritten with "\r" are not among them.
func (w *Worker) Tail(id Stream, maxBytes int) []byte {
	s := w.stream(id)
	if s == nil {
		return nil
	}
	if maxBytes <= 0 {
		maxBytes = s.c.opts.TailBytes
	}
	s.mu.Lock()
	b := append(s.tail.bytes(), s.split.part...)
	whole := len(s.tail.buf) < s.tail.max
	s.mu.Unlock()
	return lastLines(b, maxBytes, s.c.opts.TailLines, whole)
}

// Activity is cheap enough to ask for at every sample.
func (w *Worker) Activity(id Stream) Activity {
	s := w.stream(id)
	if s == nil {
		return Activity{}
	}
	a := Activity{Bytes: s.total.Load()}
	if last := s.last.Load(); last != 0 {
		a.Last = s.started.Add(time.Duration(last))
	}
	return a
}

func (w *Worker) stream(id Stream) *stream {
	if id < Stdout || id > Stderr {
		return nil
	}
	return w.streams[id]
}
