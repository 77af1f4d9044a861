package supervise

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper"
	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/state/journal/incident"
	"github.com/procguard/procguard/supervise/cause"
	"github.com/procguard/procguard/supervise/evidence"
	"github.com/procguard/procguard/supervise/fleet"
	"github.com/procguard/procguard/supervise/logs"
)

// inquest finds out why workers die or hang. The loop asks it; whatever takes longer
// than a fraction of a millisecond runs on goroutines of its own.
type inquest struct {
	l      *loop
	meter  *evidence.Meter
	kernel *evidence.KernelLog // nil where it cannot be read
	col    *evidence.Collector
	ctx    context.Context // until close
	stop   context.CancelFunc
	jobs   sync.WaitGroup
}

// finding is what is known of one instance's end, or of its hang.
type finding struct {
	death   cause.Death
	verdict cause.Verdict
	growth  evidence.Growth
	seen    evidence.Result // the last look at it while it was alive
}

func (l *loop) openInquest(r *reaper.Reaper) {
	q := &inquest{l: l, meter: evidence.NewMeter("")}
	q.ctx, q.stop = context.WithCancel(context.Background())
	for _, m := range q.meter.Missing() {
		l.log.Debug("evidence that cannot be had here", "what", m)
	}
	var err error
	if q.kernel, err = evidence.OpenKernelLog(""); err != nil {
		l.log.Debug("the kernel's log cannot be read", "error", err)
	}
	run := func(ctx context.Context, argv []string) (out, errs []byte, err error) {
		_, o, err := r.Run(ctx, reaper.Spec{ID: argv[0], Argv: argv, Env: envOf(ownEnv()).list})
		return o.Stdout, o.Stderr, err
	}
	q.col = evidence.New(evidence.Options{Exec: run})
	l.command = func(ctx context.Context, argv []string) ([]byte, error) {
		out, _, err := run(ctx, argv)
		return out, err
	}
	l.inquest = q
	// Where workers are not sampled nothing of ours wakes up: an OOM kill then counts
	// from the worker's start on.
	if l.cfg.Monitoring.ZombieDetection {
		q.jobs.Go(func() { q.tick(l.cfg.Monitoring.Interval, r) })
	}
}

func (q *inquest) tick(every time.Duration, r *reaper.Reaper) {
	t := time.NewTicker(max(every, time.Second))
	defer t.Stop()
	surveyed := time.Now()
	for {
		select {
		case now := <-t.C:
			q.meter.Tick(now)
			if now.Sub(surveyed) >= surveyEvery {
				surveyed = now
				q.l.g.in.call(func(l *loop) { l.survey(r) })
			}
		case <-q.ctx.Done():
			return
		}
	}
}

func (q *inquest) close() {
	q.stop()
	q.jobs.Wait()
	if q.kernel != nil {
		q.kernel.Close()
	}
}

// baseline is what the counters said when a worker started. It is read on the side.
type baseline struct {
	atomic.Pointer[evidence.Baseline]
}

func (q *inquest) begin(w *instance) {
	w.base = &baseline{}
	q.jobs.Go(func() { w.base.Store(q.meter.Start(w.proc.PID)) })
}

func (b *baseline) growth(at time.Time) (g evidence.Growth) {
	if b != nil {
		if base := b.Load(); base != nil {
			g = base.Growth(at)
		}
	}
	return g
}

func (b *baseline) close() {
	if b != nil {
		if base := b.Load(); base != nil {
			base.Close()
		}
	}
}

// tailPatience is how long the loop waits for the last words of what has died by itself.
// They are in the pipe by then, and are read within microseconds.
const tailPatience = 5 * time.Millisecond

// died looks into the end of an instance that nobody had asked to end.
func (q *inquest) died(id string, w *instance) *finding {
	select {
	case <-w.drained:
	case <-time.After(tailPatience):
	}
	f := &finding{death: q.death(id, w), growth: w.base.growth(w.exit.Time)}
	if w.found != nil {
		f.seen = w.found.seen // it had been suspected before
	}
	evidence.Fill(&f.death, f.growth, f.seen.Process, q.log(w))
	f.verdict = cause.Classify(f.death)
	return f
}

func (q *inquest) log(w *instance) []cause.KernelFact {
	if q.kernel == nil {
		return nil
	}
	return q.kernel.Since(w.start)
}

// death is what the reaper and the pipes tell. It may be asked for a living instance.
func (q *inquest) death(id string, w *instance) cause.Death {
	d := cause.Death{Worker: id, Rank: w.rank, PID: w.proc.PID, Time: time.Now(), Started: w.start, Ready: w.ready, Text: lastWords(w)}
	if f, ok := cause.ParseErrorFile(w.errorFile); ok {
		d.Error = &f
	}
	x := w.exit
	if x == nil {
		return d
	}
	d.Time, d.Lost, d.Core = x.Time, x.Unknown, x.CoreDumped()
	if s := x.Signal(); s != 0 {
		d.Signal = signalName(s)
	} else if !x.Unknown {
		d.Code = x.Code()
	}
	if x.Sent != 0 {
		d.Sent, d.SentAt = signalName(x.Sent), x.SentAt
	}
	d.CPUTime = time.Duration(x.Rusage.Utime.Nano() + x.Rusage.Stime.Nano())
	return d
}

func signalName(s syscall.Signal) string {
	if n := unix.SignalName(s); n != "" {
		return n
	}
	return "signal " + s.String()
}

// lastWords are the last lines of a worker, standard error last.
func lastWords(w *instance) []string {
	if w.lines == nil {
		return nil
	}
	return append(lastLines(w.lines.Tail(logs.Stdout, tailBytes/4)), lastLines(w.lines.Tail(logs.Stderr, tailBytes))...)
}

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
	ctx, cancel := context.WithTimeout(q.ctx, w.cfg.DumpTimeout)
	q.jobs.Go(func() {
		defer cancel()
		s.Extra = l.kin(w, s.PID)
		f := &finding{death: death, seen: q.col.Live(ctx, s), growth: w.base.growth(time.Now())}
		evidence.Fill(&f.death, f.growth, f.seen.Process, q.log(w))
		f.verdict = cause.Classify(f.death)
		l.g.in.call(func(l *loop) {
			w.found = f
			l.step(fleet.Dumped{Worker: a.Worker, Gen: a.Gen, Detail: f.detail(), Signature: f.verdict.Signature})
		})
	})
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
	if sig := w.cfg.DumpSignal; sig != 0 {
		s.Signal = func() error { return l.kernel.Signal(w.proc, sig, reaper.Leader) }
	}
	if lines := w.lines; lines != nil {
		s.Output = func() uint64 { return lines.Activity(logs.Stdout).Bytes + lines.Activity(logs.Stderr).Bytes }
	}
	return s
}

// kin are processes of an instance that its leader is no ancestor of any more.
func (l *loop) kin(w *instance, leader int) (pids []int) {
	found, _ := l.kernel.Survivors(w.marker)
	for _, s := range found {
		if s.Instance == w.marker && s.PID != leader {
			pids = append(pids, s.PID)
		}
	}
	return pids
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
