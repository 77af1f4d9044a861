package reaper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Output is what Run kept of a helper command.
type Output struct {
	Stdout, Stderr []byte // the first OutputLimit bytes of each
	Truncated      bool
}

// OutputLimit is how many bytes of each stream Run keeps; the rest is read and dropped,
// so that a chatty command is not blocked.
const OutputLimit = 64 << 10

// killGrace bounds how long Run waits for a killed command: one in uninterruptible
// sleep must not hold a health check for ever.
const killGrace = 2 * time.Second

// ErrUnkillable is returned by Run when the command, or something of it, is still there
// two seconds after KILL.
var ErrUnkillable = errors.New("reaper: command does not die")

// runner receives the events of one Run.
type runner struct {
	exit chan Exit
	gone chan struct{}
}

// take never blocks: there is one event of each kind and room for it.
func (t *runner) take(ev *event) {
	switch {
	case ev.exit != nil:
		t.exit <- *ev.exit
		if ev.exit.Gone {
			close(t.gone)
		}
	case ev.gone != nil:
		close(t.gone)
	}
}

// Run runs a helper command to its end (a check, a hook) and returns its exit and
// output. When ctx ends first the command is killed, and the error is ctx's cause. In
// any case nothing of the command is left when Run returns without ErrUnkillable:
// its children die with it. Spec.Instance is chosen by Run if empty; it must not be
// a worker's. Stdout and Stderr are captured unless the Spec sets them. OnExit
// and OnGone are not called. Run must not be called from a callback.
func (r *Reaper) Run(ctx context.Context, s Spec) (Exit, Output, error) {
	if err := ctx.Err(); err != nil {
		return Exit{}, Output{}, context.Cause(ctx)
	}
	if s.Instance == "" {
		s.Instance = r.helperInstance()
	}
	s.Keep = false
	var out, errs capture
	defer out.drop()
	defer errs.drop()
	if err := errors.Join(out.into(&s.Stdout), errs.into(&s.Stderr)); err != nil {
		return Exit{}, Output{}, err
	}
	t := &runner{exit: make(chan Exit, 1), gone: make(chan struct{})}
	p, err := r.spawn(s, t)
	out.started()
	errs.started()
	if err != nil {
		return Exit{}, Output{}, err
	}
	e, err := r.await(ctx, p, t)
	o := Output{Stdout: out.bytes(), Stderr: errs.bytes()}
	o.Truncated = out.cut || errs.cut
	return e, o, err
}

// helperInstance cannot be a worker's: those are the caller's to name, and none
// starts with a blank.
func (r *Reaper) helperInstance() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq++
	return fmt.Sprintf(" run/%d/%d", os.Getpid(), r.seq)
}

func (r *Reaper) await(ctx context.Context, p Proc, t *runner) (Exit, error) {
	e := Exit{PID: p.PID, Unknown: true, Start: p.Start}
	var cause error
	select {
	case e = <-t.exit:
	case <-ctx.Done():
		cause = context.Cause(ctx)
		_ = r.Kill(p)
	case <-r.done:
		return e, ErrClosed
	}
	limit := time.NewTimer(killGrace)
	defer limit.Stop()
	select {
	case <-t.gone:
	case <-limit.C:
		select {
		case e = <-t.exit:
		default:
		}
		return e, errors.Join(cause, ErrUnkillable)
	case <-r.done:
		return e, errors.Join(cause, ErrClosed)
	}
	if e.Unknown {
		e = <-t.exit
	}
	return e, cause
}

// capture reads one stream.
type capture struct {
	r, w *os.File
	buf  bytes.Buffer
	cut  bool
	done chan struct{}
}

func (c *capture) into(f **os.File) error {
	if *f != nil {
		return nil
	}
	var err error
	c.r, c.w, err = os.Pipe()
	*f = c.w
	return err
}

// started closes our copy of the write end: the pipe ends with the last process.
func (c *capture) started() {
	if c.w == nil {
		return
	}
	_ = c.w.Close()
	c.done = make(chan struct{})
	go c.read()
}

func (c *capture) read() {
	defer close(c.done)
	_, err := io.CopyN(&c.buf, c.r, OutputLimit)
	if err != nil {
		return
	}
	n, _ := io.Copy(io.Discard, c.r)
	c.cut = n > 0
}

// bytes ends the reading. What is in the pipe is read; a stranger that holds the
// write end open cannot hold us: the deadline is the end.
func (c *capture) bytes() []byte {
	if c.done == nil {
		return nil
	}
	_ = c.r.SetReadDeadline(time.Now().Add(drainTime))
	<-c.done
	return c.buf.Bytes()
}

// drainTime is ample for reading a full pipe and short for a check to be late.
const drainTime = 100 * time.Millisecond

func (c *capture) drop() {
	if c.r == nil {
		return
	}
	if c.done == nil {
		_ = c.w.Close()
	} else {
		_ = c.r.SetReadDeadline(time.Unix(1, 0))
		<-c.done
	}
	_ = c.r.Close()
}
