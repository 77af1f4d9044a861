package probe

import (
	"slices"
	"time"

	"github.com/procguard/procguard/state"
)

// Degraded says in words what does not work here, in the order in which it was found.
func (p *Prober) Degraded() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.words)
}

// What follows is called with the lock held.

// alive notes a sign of life that is a heartbeat.
func (p *Prober) alive(w *watch, now time.Time) {
	if w.s.ReadyHeartbeat && !w.ready {
		p.becomeReady(w, now)
	}
	if w.ready {
		w.beat = now
	}
}

// becomeReady is settle for those who have to be told.
func (p *Prober) becomeReady(w *watch, now time.Time) {
	p.settle(w, now)
	p.report(func() { p.o.OnReady(w.s.Worker, w.s.Gen) })
}

func (p *Prober) settle(w *watch, now time.Time) {
	if w.ready {
		return
	}
	w.ready, w.floor, w.health = true, now, health{}
	p.plan(w, now)
	p.nudge()
}

// judge reports a worker, once.
func (p *Prober) judge(w *watch, c state.Cause) {
	w.judged, w.judgedAt = true, time.Now()
	w.silent = false
	p.unplan(w)
	p.report(func() { p.o.OnJudged(w.s.Worker, w.s.Gen, c) })
}

// report has the scheduler call f.
func (p *Prober) report(f func()) {
	p.reports = append(p.reports, f)
	p.nudge()
}

func (p *Prober) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// once logs a degradation the first time only: it would come back every interval.
func (p *Prober) once(what string, err error) {
	if !p.said[what] {
		p.said[what] = true
		p.words = append(p.words, what+": "+err.Error())
		p.log.Warn(what, "error", err)
	}
}
