package probe

import (
	"fmt"
	"strings"
	"time"

	"github.com/procguard/procguard/state"
)

// calm is the silence of a worker while it lasts.
type calm struct {
	since time.Time // the last sign of life
	at    time.Time // of the first sample after it: CPU time counts from here,
	ticks uint64    // which was this then
	due   time.Time // when it may be judged, if that is ahead
}

// suspect is a worker that looks like a soft zombie in its samples.
type suspect struct {
	w     *watch
	r     reading
	since time.Time
	cpu   float64 // percent of one core, over the silence
}

// lastSign is when it was last known to be well.
func (w *watch) lastSign() time.Time {
	return later(later(later(w.beat, w.out), later(w.sign, w.floor)), w.held(w.s.HeartbeatTimeout))
}

// held is the sign of life that would let a silence of d end when the extension of its
// deadline does.
func (w *watch) held(d time.Duration) time.Time {
	if w.hold.IsZero() {
		return time.Time{}
	}
	return w.hold.Add(-d)
}

// verdictAfter is how long a silence is judged after. The fleet's own deadline is
// at t; this comes before it by as little as reports need on their way.
func verdictAfter(t time.Duration) time.Duration { return t - min(t/10, 200*time.Millisecond) }

// suspect follows the silence of a worker and tells when it is long enough, and
// idle enough, to be looked into.
func (p *Prober) suspect(v *visit) (suspect, bool) {
	w, c, t := v.w, &v.w.calm, v.w.s.HeartbeatTimeout
	if sign := w.lastSign(); !sign.Equal(c.since) {
		// The CPU time between the sign and now is not seen, less than an interval
		// of it. It must not be taken from before the sign, when it was busy.
		*c = calm{since: sign, at: v.at, ticks: v.r.ticks}
	}
	if !p.o.ZombieDetection || w.judged || !w.ready || w.beat.IsZero() || t <= 0 {
		return suspect{}, false
	}
	if due := c.since.Add(verdictAfter(t)); due.After(v.at) {
		c.due = due
		return suspect{}, false
	}
	seen := v.at.Sub(c.at)
	s := suspect{w: w, r: v.r, since: c.since, cpu: percentCPU(c.ticks, v.r.ticks, seen)}
	idle := seen >= t/2 && s.cpu < p.o.CPUThreshold
	return s, idle && !v.active && p.small(w.sample.RSS) && mayBeIdle(v.r.state)
}

func (p *Prober) small(rss uint64) bool {
	return p.memory > 0 && p.percentMemory(rss) < p.o.MemoryThreshold
}

// mayBeIdle: one that is runnable wants to work and gets no CPU, and one that is
// traced is in the hands of somebody who looks into it.
func mayBeIdle(state byte) bool { return state != 'R' && state != 't' }

// planJudgement sets the next pass over those alone who are about to be judged,
// where that is before the next regular one: the fleet's deadline would else win.
func (p *Prober) planJudgement() {
	p.judgeAt = time.Time{}
	for _, w := range p.watches {
		if d := w.calm.due; !d.IsZero() && d.Before(p.passAt) {
			p.judgeAt = earliest(p.judgeAt, d)
		}
	}
}

// pardon has all silence begin now: we were away ourselves, and what was said
// meanwhile may not have been read yet.
func (p *Prober) pardon(now time.Time) {
	for _, w := range p.watches {
		w.floor = now
	}
}

// examine gathers the evidence, without the lock, and judges.
func (p *Prober) examine(s suspect) {
	start := time.Now()
	e := p.proc.evidence(s.w.s.PID)
	var out time.Time
	var bytes uint64
	if f := s.w.s.Activity; f != nil {
		out, bytes = f()
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	w := s.w
	w.hearOutput(out, bytes, now)
	// It may have ended or come back to life while we looked, and if that took
	// long, its signs of life may not have been read yet.
	if w.gone || w.judged || !w.lastSign().Equal(s.since) || now.Sub(start) > stall {
		return
	}
	if e.busy || e.rss == 0 || !p.small(e.rss) {
		return
	}
	p.judgeSilence(w, state.Cause{Kind: state.CauseZombie, Detail: p.describe(&s, &e, now)})
}

// describe is the reason in words.
func (p *Prober) describe(s *suspect, e *evidence, now time.Time) string {
	w := s.w
	parts := []string{"no heartbeat for " + span(now.Sub(w.beat))}
	switch {
	case w.s.Activity == nil:
	case w.out.IsZero():
		parts = append(parts, "no output at all")
	default:
		parts = append(parts, "no output for "+span(now.Sub(w.out)))
	}
	parts = append(parts,
		fmt.Sprintf("CPU %.2f %% (threshold %g %%)", s.cpu, p.o.CPUThreshold),
		fmt.Sprintf("memory %.1f MiB, %.2f %% (threshold %g %%)", float64(e.rss)/(1<<20), p.percentMemory(e.rss), p.o.MemoryThreshold),
		count(w.sample.Threads, "thread"))
	if n := w.sample.Processes; n > 1 {
		parts = append(parts, count(n, "process"))
	}
	if e.files >= 0 {
		parts = append(parts, count(e.files, "open file"))
	}
	parts = append(parts, condition(s.r.state, e.status))
	if e.wchan != "" {
		parts = append(parts, "wchan "+e.wchan)
	}
	return strings.Join(parts, ", ")
}

// condition says what the kernel calls its state, and what that means where it is
// the reason.
func condition(state byte, status string) string {
	switch state {
	case 'T':
		return "state T (stopped by a signal; SIGCONT would resume it)"
	case 'Z':
		return "state Z (the main thread has exited, others live)"
	case 'D':
		return "state D (waits for a device or file system)"
	}
	if status == "" {
		return fmt.Sprintf("state %c", state)
	}
	return fmt.Sprintf("state %c (%s)", state, status)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if strings.HasSuffix(what, "s") {
		what += "e"
	}
	return fmt.Sprintf("%d %ss", n, what)
}
