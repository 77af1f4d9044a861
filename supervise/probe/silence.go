package probe

import (
	"fmt"
	"strings"
	"time"

	"github.com/procguard/procguard/state"
)

// maxLooks is how many looks at stuck processes there are at once, and lookFor how
// long one lasts: CPU time is counted in steps of 10 ms. When a thousand hang at once
// most verdicts have to do without one, for none waits longer than maxWait.
const (
	maxLooks = 32
	lookFor  = 200 * time.Millisecond
	maxWait  = 300 * time.Millisecond
)

// checkSilence judges a worker that has printed nothing for longer than it may.
func (p *Prober) checkSilence(w *watch, now time.Time) {
	d := w.s.LogSilence
	if d <= 0 || !w.ready || w.judged || w.suspect || w.out.IsZero() {
		return
	}
	since := later(later(w.out, w.floor), w.held(d))
	if now.Sub(since) < d {
		return
	}
	out, start := w.out, now
	p.convict(w, func(look string, now time.Time) *state.Cause {
		if w.out != out || now.Sub(start) > maxWait+lookFor+stall || now.Before(w.hold) {
			return nil // it has spoken, or we were away
		}
		reason := fmt.Sprintf("no output for %s (log_silence %s)", span(now.Sub(out)), span(d))
		p.judgeSilence(w, state.Cause{Kind: state.CauseUnresponsive, Detail: with(reason, p.missing(w, now, "output"), look)})
		return nil
	})
}

// judgeSilence is judge for what the next sign of life takes back.
func (p *Prober) judgeSilence(w *watch, c state.Cause) {
	p.judge(w, c)
	w.silent = true
}

// settled: there was a verdict that no sign of life takes back.
func (w *watch) settled() bool { return w.judged && !w.silent }

// forgive takes back a verdict by silence that has ended.
func (p *Prober) forgive(w *watch, now time.Time) {
	if !w.judged || !w.silent || p.o.OnCleared == nil || !later(later(w.beat, w.out), w.sign).After(w.judgedAt) {
		return
	}
	w.judged, w.silent = false, false
	p.plan(w, now)
	p.report(func() { p.o.OnCleared(w.s.Worker, w.s.Gen) })
}

// convict looks at what a worker is doing, without the lock, and then judges it, if
// finally still says that there is a reason.
func (p *Prober) convict(w *watch, finally func(look string, now time.Time) *state.Cause) {
	if p.closed {
		return
	}
	w.suspect = true
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		look := p.explain(w)
		var out time.Time
		var bytes uint64
		if f := w.s.Activity; f != nil {
			out, bytes = f()
		}
		now := time.Now()
		p.mu.Lock()
		defer p.mu.Unlock()
		w.suspect = false
		w.hearOutput(out, bytes, now)
		if w.gone || w.settled() || p.closed {
			return
		}
		if c := finally(look, now); c != nil {
			p.judge(w, *c)
		}
	}()
}

// explain is what a worker does, in words.
func (p *Prober) explain(w *watch) string {
	wait := time.NewTimer(maxWait)
	defer wait.Stop()
	select {
	case p.looks <- struct{}{}:
	case <-wait.C:
		return ""
	case <-p.done:
		return ""
	}
	defer func() { <-p.looks }()
	l := p.proc.look(w.s.PID, lookFor, p.done)
	return l.String()
}

// Explain says why a worker may be thought to hang: how long its signs of life have
// been missing, and what its process does. It takes up to 0.5 s: not from a callback;
// for verdicts that others come to, by deadlines of their own. It is empty for a
// generation that is not watched.
func (p *Prober) Explain(worker string, gen uint64) string {
	p.mu.Lock()
	w := p.find(worker, gen)
	p.mu.Unlock()
	if w == nil {
		return ""
	}
	look := p.explain(w)
	p.mu.Lock()
	defer p.mu.Unlock()
	return with(p.missing(w, time.Now(), ""), look)
}

// missing lists the signs of life that the worker has given, but one, and when it did
// last.
func (p *Prober) missing(w *watch, now time.Time, but string) string {
	if w.s.Activity != nil {
		out, bytes := w.s.Activity()
		w.hearOutput(out, bytes, now)
	}
	var parts []string
	for _, x := range []struct {
		what string
		last time.Time
	}{{"heartbeat", w.beat}, {"output", w.out}, {"progress", w.progress.at}} {
		if x.what == but || x.last.IsZero() {
			continue
		}
		s := "no " + x.what + " for " + span(now.Sub(x.last))
		if x.what == "progress" {
			s += fmt.Sprintf(" (step %d)", w.progress.step)
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

// with puts what belongs together in one line.
func with(parts ...string) string {
	var list []string
	for _, s := range parts {
		if s != "" {
			list = append(list, s)
		}
	}
	return strings.Join(list, ", ")
}
