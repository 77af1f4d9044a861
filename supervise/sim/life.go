package sim

import (
	"time"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/fleet"
)

// drawLife gives a worker what is asked of it while it lives.
func (p *plan) drawLife(d dice, w *fleet.Worker) {
	if w.HeartbeatTimeout > 0 && d.chance(0.3) {
		w.HeartbeatAuto, w.HeartbeatFloor, w.StartupTimeout = true, w.HeartbeatTimeout, max(w.StartupTimeout, time.Minute)
	}
	if d.chance(0.2) {
		w.ProgressTimeout = d.between(2*time.Second, 20*time.Second)
	}
	w.NotifyHang = d.chance(0.1)
	w.DumpTimeout = pick(d, 0, 0, time.Second, 10*time.Second)
	w.Phases = map[string]time.Duration{phaseName: d.between(time.Second, time.Minute)}
}

const phaseName = "eval"

// unit is what makes progress together, by the world's own reckoning.
func unit(s *fleet.Worker) string {
	if s.Ranked {
		return state.RankUnit(s.Group)
	}
	return s.ID
}

// enliven sets off what a process says of itself beside its heartbeats. Its
// steps go on from its last checkpoint.
func (w *world) enliven(p *proc, s *fleet.Worker) {
	p.unit = unit(s)
	if s.ProgressTimeout > 0 {
		p.stepEvery = s.ProgressTimeout / 4
		p.step = max(0, w.made[p.unit]-int64(w.IntN(8)))
		w.later(w.between(0, p.stepEvery), job{deed: deedStep, p: p})
	}
	if w.faults.words > 0 {
		w.later(w.within(w.faults.words), job{deed: deedWord, p: p})
	}
}

func (w *world) makeStep(p *proc, j job) {
	w.later(p.stepEvery, j)
	if p.hung || w.now < p.quiet {
		return
	}
	p.step++
	w.made[p.unit] = max(w.made[p.unit], p.step)
	w.tell(p, fleet.Progressed{Worker: p.worker, Gen: p.gen, Step: p.step})
}

// speak is a word that a process says now and then. A phase that it announces
// lasts shorter than it says, or longer if it hangs in it.
func (w *world) speak(p *proc, j job) {
	if p.hung || w.calm {
		return
	}
	w.later(w.within(w.faults.words), j)
	if !w.watched(p) {
		return
	}
	switch w.IntN(5) {
	case 0:
		w.tell(p, fleet.Extended{Worker: p.worker, Gen: p.gen, For: w.between(0, 30*time.Second)})
	case 1, 2:
		d := w.between(time.Second, 20*time.Second)
		p.quiet = w.now + d/2
		w.tell(p, fleet.Phased{Worker: p.worker, Gen: p.gen, Name: phaseName, Timeout: d})
		w.tellAfter(nil, d/2, fleet.Phased{Worker: p.worker, Gen: p.gen})
	case 3:
		w.tell(p, fleet.Cleared{Worker: p.worker, Gen: p.gen})
	case 4:
		if p.finishes {
			w.tell(p, fleet.Stopping{Worker: p.worker, Gen: p.gen})
			w.later(w.between(0, time.Second), job{deed: deedFinish, p: p})
		}
	}
}

// dump takes evidence, sometimes for longer than anybody waits. Whatever else
// happens to the process does not wait for it.
func (w *world) dump(a fleet.Dump) {
	p := w.check.target(a.Worker, a.Gen)
	w.check.book(a.Worker).dumped = a.Gen
	if p == nil || w.chance(0.2) {
		return
	}
	w.tellAfter(nil, w.between(0, 3*time.Second), fleet.Dumped{Worker: a.Worker, Gen: a.Gen})
}

// judgedRight: nobody is charged for a hang who was to be left alone, or before
// the evidence was asked for.
func (c *checker) judgedRight(r *state.Record) {
	s := c.w.workers[r.Worker]
	if limit := c.w.plan.spec.Recovery.SameFailures; limit > 0 && r.Count >= limit {
		c.again = true
	}
	if s == nil || r.Cause == nil || c.amnesty {
		return
	}
	switch class := r.Cause.Class; {
	case class == state.ClassHang && s.NotifyHang:
		c.w.failf("worker %s is charged for %s, which was only to be told of", r.Worker, r.Cause)
	case (class == state.ClassHang || class == state.ClassLimit) && s.DumpTimeout > 0 && c.book(r.Worker).dumped != r.Gen:
		c.w.failf("worker %s is charged for %s, and nobody has looked at it", r.Worker, r.Cause)
	}
}

// progress: a step was really made, or the worker was well for long enough.
func (c *checker) progress(r *state.Record) {
	if r.Step == 0 {
		c.refill(r)
		return
	}
	if made := c.w.made[r.Unit]; r.Step > made {
		c.w.failf("%s is said to have made step %d, it has made %d", r.Unit, r.Step, made)
	}
	c.book(r.Worker).used = 0
}

// notice: whatever is told of has a number of its own.
func (c *checker) notice(r *state.Record) {
	if r.Incident <= c.opened {
		c.w.failf("incident number %d is used again, %d was the last", r.Incident, c.opened)
	}
	c.opened = r.Incident
}
