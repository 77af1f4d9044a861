package probe

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/procguard/procguard/state"
)

// How many checks are in progress at once, at most. Commands cost a fork and more.
// What has to wait its turn is not held against the worker.
const (
	maxCalls = 128
	maxExecs = 8
)

const (
	// firstPause is between the first two readiness checks; each pause is half as
	// long again as the one before, up to Interval.
	firstPause = 20 * time.Millisecond
	// execLimit bounds a readiness command. It is wide because a cold interpreter
	// on a busy machine takes seconds to start.
	execLimit = 30 * time.Second
	// stall is how late we may be before our own lateness is the explanation.
	stall = 500 * time.Millisecond
)

// job is the check that a watch is busy with.
type job int

const (
	noJob job = iota
	readyHTTP
	readyTCP
	readyExec
	healthHTTP
)

// health is how the health check has gone.
type health struct {
	answered bool      // at least once since the worker was ready
	failing  time.Time // start of the first of the failures in a row
	failures int
}

// plan chooses the job of a watch and queues its first check. A check that is in
// progress is left to queue the next one.
func (p *Prober) plan(w *watch, now time.Time) {
	before := w.job
	w.job, w.pause = w.s.nextJob(w.ready), min(firstPause, p.o.Interval)
	if w.judged || w.cancel != nil || w.job == before && w.place >= 0 {
		return
	}
	p.dequeue(w)
	if w.job == noJob {
		return
	}
	first := now.Add(w.pause)
	if w.job == healthHTTP {
		first = now.Add(p.o.Interval)
	}
	p.enqueue(w, first)
}

func (p *Prober) unplan(w *watch) {
	p.dequeue(w)
	w.job = noJob
	if w.cancel != nil {
		w.cancel()
	}
}

func (s *Subject) nextJob(ready bool) job {
	switch {
	case !ready && s.ReadyHTTP != "":
		return readyHTTP
	case !ready && s.ReadyTCP != "":
		return readyTCP
	case !ready && len(s.ReadyExec) > 0:
		return readyExec
	case s.HealthURL != "":
		return healthHTTP
	}
	return noJob
}

// launch starts the checks that are due.
func (p *Prober) launch(now time.Time) {
	for len(p.due) > 0 && !p.due[0].at.After(now) {
		w := heap.Pop(&p.due).(*watch)
		ctx, cancel := context.WithCancel(context.Background())
		w.cancel = cancel
		c := check{w: w, job: w.job, limit: p.limit(w), slots: p.calls}
		if c.job == readyExec {
			c.slots = p.execs
		}
		p.wg.Add(1)
		go p.perform(ctx, c)
	}
}

// limit is how long a check may take.
func (p *Prober) limit(w *watch) time.Duration {
	if w.job == readyExec {
		return execLimit
	}
	d := max(p.o.Interval, time.Second)
	if t := p.patience(w); t > 0 {
		d = min(d, t)
	}
	return d
}

// patience is how long a health check may fail.
func (p *Prober) patience(w *watch) time.Duration {
	if w.s.HeartbeatTimeout > 0 {
		return w.s.HeartbeatTimeout
	}
	return p.o.HeartbeatTimeout
}

// check is one check in progress.
type check struct {
	w     *watch
	job   job
	limit time.Duration
	slots chan struct{}
}

// perform waits for its turn, checks, and lets the result count.
func (p *Prober) perform(ctx context.Context, c check) {
	defer p.wg.Done()
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return
	}
	start := time.Now()
	err := p.attempt(ctx, c)
	end := time.Now()
	<-c.slots
	p.mu.Lock()
	defer p.mu.Unlock()
	c.w.cancel()
	c.w.cancel = nil
	p.conclude(c, start, end, err)
	p.nudge()
}

func (p *Prober) attempt(ctx context.Context, c check) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.limit, noAnswer(c.limit))
	defer cancel()
	var err error
	s := &c.w.s
	switch c.job {
	case readyHTTP:
		err = p.net.get(ctx, s.ReadyHTTP)
	case readyTCP:
		err = p.net.dial(ctx, s.ReadyTCP)
	case readyExec:
		err = p.o.Exec(ctx, s.Worker, s.Gen, s.ReadyExec)
	case healthHTTP:
		err = p.health(ctx, c.w)
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (p *Prober) health(ctx context.Context, w *watch) error {
	if w.s.HealthBody == nil {
		return p.net.get(ctx, w.s.HealthURL)
	}
	body, err := p.net.body(ctx, w.s.HealthURL)
	if err != nil {
		return err
	}
	return contains(body, w.s.HealthBody)
}

type noAnswer time.Duration

func (d noAnswer) Error() string { return "no answer within " + span(time.Duration(d)) }

// conclude takes a result into account and queues the next check.
func (p *Prober) conclude(c check, start, end time.Time, err error) {
	w := c.w
	switch {
	case c.job != w.job:
		// The result is of no use: somebody else has found the worker ready, or it
		// has been unwatched or judged and has no job any more.
		p.requeue(w, end)
	case c.job == healthHTTP:
		if end.Sub(start) <= c.limit+stall {
			p.diagnose(w, start, end, err)
		}
		if !w.judged {
			p.enqueue(w, later(start.Add(p.o.Interval), end))
		}
	case err == nil:
		p.becomeReady(w, end)
	default:
		p.log.Debug("not ready", "worker", w.s.Worker, "error", plain(err))
		w.pause = min(w.pause+w.pause/2, p.o.Interval)
		p.enqueue(w, end.Add(w.pause))
	}
}

func (p *Prober) requeue(w *watch, now time.Time) {
	if w.job != noJob {
		p.enqueue(w, now.Add(w.pause))
	}
}

// diagnose judges by a health check. Two failures at least, because one check may
// last as long as the whole patience, and what it met may have been a pause of ours.
func (p *Prober) diagnose(w *watch, start, end time.Time, err error) {
	h := &w.health
	if err == nil {
		*h = health{answered: true}
		return
	}
	if h.failures == 0 {
		h.failing = start
	}
	h.failures++
	p.log.Debug("health check failed", "worker", w.s.Worker, "error", plain(err))
	t, lasted := p.patience(w), end.Sub(h.failing)
	if !w.ready || !h.answered || t <= 0 || h.failures < 2 || lasted < t || w.suspect {
		return
	}
	reason := fmt.Sprintf("health check %s failed for %s: %s", w.s.HealthURL, span(lasted), plain(err))
	p.convict(w, func(look string, _ time.Time) *state.Cause {
		if h.failures == 0 {
			return nil // it answered while we looked
		}
		return &state.Cause{Kind: state.CauseUnresponsive, Detail: with(reason, look)}
	})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// plain is an error without the wrappings that repeat what the reader knows: who
// was asked, and by which call.
func plain(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// span is a duration in seconds, with as many digits as it is worth.
func span(d time.Duration) string {
	if s := d.Seconds(); s < 9.95 && d%time.Second != 0 {
		return fmt.Sprintf("%.1f s", s)
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}
