package supervise

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/procguard/procguard/reaper"
	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/state/journal/incident"
	"github.com/procguard/procguard/supervise/cause"
	"github.com/procguard/procguard/supervise/evidence"
	"github.com/procguard/procguard/supervise/fleet"
	"github.com/procguard/procguard/supervise/logs"
)

// look gathers evidence of a living worker that was judged, and answers the machine. The
// worker's own time limit bounds it.
func (l *loop) look(a fleet.Dump) {
	w := l.instance(a.Worker, a.Gen)
	if w == nil {
		l.g.in.fact(fleet.Dumped{Worker: a.Worker, Gen: a.Gen})
		return
	}
	q, s := l.inquest, l.dumpSubject(a, w)
	death := q.death(a.Worker, w)
	death.Hang = hangText(&a.Cause)
	// The machine waits as long as the file says: what has been found by then has to be with it.
	ctx, cancel := context.WithTimeout(q.ctx, w.cfg.DumpTimeout*9/10)
	q.jobs.Go(func() {
		defer cancel()
		if s.Incident != "" {
			_ = os.MkdirAll(s.Incident, 0o755) // the command will say that it is not there
		}
		s.Extra = l.kin(ctx, w, s.PID)
		f := &finding{death: death, seen: q.col.Live(ctx, s), growth: w.base.growth(time.Now())}
		evidence.Fill(&f.death, f.growth, f.seen.Process, q.log(w))
		f.verdict = cause.Classify(f.death)
		l.g.in.call(func(l *loop) {
			l.looked(a.Worker, w, f)
			l.step(fleet.Dumped{Worker: a.Worker, Gen: a.Gen, Detail: f.detail(), Signature: f.verdict.Signature})
		})
	})
}

// looked takes over what was seen of a worker, which may have died meanwhile, or be well
// again.
func (l *loop) looked(id string, w *instance, f *finding) {
	if w.exit != nil && w.found != nil {
		f = &finding{death: w.found.death, verdict: w.found.verdict, growth: w.found.growth, seen: f.seen}
	}
	w.found = f
	l.story.looked(id, w)
	if s, ok := l.fleet.Worker(id); ok && w.exit == nil && s.Verdict == nil {
		w.found = nil // it says nothing about what comes later
	}
}

// hangText is the verdict in words, without what Cause.String puts before it.
func hangText(c *state.Cause) string {
	if c.Detail != "" {
		return c.Detail
	}
	return c.String()
}

func (l *loop) dumpSubject(a fleet.Dump, w *instance) evidence.Subject {
	s := evidence.Subject{Worker: a.Worker, PID: w.proc.PID, Dump: w.cfg.Dump}
	if slices.ContainsFunc(s.Dump, func(arg string) bool { return strings.Contains(arg, "{incident}") }) {
		s.Incident = l.story.place(a.Worker, w)
	}
	if sig := w.cfg.DumpSignal; sig != 0 {
		s.Signal = func() error { return l.kernel.Signal(w.proc, sig, reaper.Leader) }
	}
	if lines := w.lines; lines != nil {
		s.Output = func() uint64 { return lines.Activity(logs.Stdout).Bytes + lines.Activity(logs.Stderr).Bytes }
	}
	return s
}

// kinPatience is ample for a look at all processes that does not hang.
const kinPatience = time.Second

// kin are processes of an instance that its leader is no ancestor of any more. To find them
// environments are read, which hangs with a process whose memory map is locked.
func (l *loop) kin(ctx context.Context, w *instance, leader int) []int {
	ctx, cancel := context.WithTimeout(ctx, kinPatience)
	defer cancel()
	pids := make(chan []int, 1)
	go func() {
		var list []int
		found, _ := l.kernel.Survivors(w.marker)
		for _, s := range found {
			if s.Instance == w.marker && s.PID != leader {
				list = append(list, s.PID)
			}
		}
		pids <- list
	}()
	select {
	case list := <-pids:
		return list
	case <-ctx.Done():
		return nil
	}
}

// describe puts what was found into the incident's entry of the worker.
func (f *finding) describe(d *incident.Worker) {
	evidence.Describe(d, &f.death, &f.verdict, f.growth)
	d.Process, d.GPU, d.Missing = f.seen.Process, f.seen.GPU, f.seen.Missing
	if f.death.Hang != "" {
		d.Hang = f.death.Hang
	}
}

// detail is what the verdict adds to the machine's own words for the end.
func (f *finding) detail() string {
	switch f.verdict.Class {
	case cause.ExitCode, cause.StoppedByUs, cause.LostStatus, cause.HangOther:
		return "" // no more than the kind and the number say
	case cause.KilledOutside:
		if f.verdict.Confidence == cause.Guess {
			return "from outside, or by the OOM killer, whose counters cannot be read"
		}
		return "from outside, not by the OOM killer"
	}
	return strings.TrimSpace(f.verdict.Reason)
}
