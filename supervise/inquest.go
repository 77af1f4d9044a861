package supervise

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper"
	"github.com/procguard/procguard/state/journal/incident"
	"github.com/procguard/procguard/supervise/cause"
	"github.com/procguard/procguard/supervise/evidence"
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
	reaper *reaper.Reaper
	rest   context.CancelFunc // ends the ticks; nil: there are none

	surveyAt  atomic.Int64 // of the next survey, in ns since the epoch
	surveying atomic.Bool
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
	q.reaper = r
	q.pace()
}

// pace begins to tick as the configuration says. Where workers are not sampled nothing of ours
// wakes up: an OOM kill then counts from the worker's start on.
func (q *inquest) pace() {
	if q.rest != nil {
		q.rest()
		q.rest = nil
	}
	m := q.l.cfg.Monitoring
	if !m.ZombieDetection {
		return
	}
	ctx, rest := context.WithCancel(q.ctx)
	q.rest = rest
	q.jobs.Go(func() { q.tick(ctx, max(m.Interval, time.Second)) })
}

func (q *inquest) tick(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			q.meter.Tick(now)
			if now.UnixNano() >= q.surveyAt.Load() {
				q.surveyAt.Store(now.Add(surveyEvery).UnixNano())
				q.l.g.in.call(func(l *loop) { l.survey(q.reaper) })
			}
		case <-ctx.Done():
			return
		}
	}
}

// closePatience is how long the end waits for what looks at processes: it may hang with them.
const closePatience = 3 * time.Second

func (q *inquest) close() {
	q.stop()
	over := make(chan struct{})
	go func() {
		q.jobs.Wait()
		close(over)
	}()
	late := time.NewTimer(closePatience)
	defer late.Stop()
	select {
	case <-over:
	case <-late.C:
		q.l.log.Warn("a look at a worker hangs, and is left behind")
	}
	if q.kernel != nil {
		q.kernel.Close()
	}
}

// baseline is what the counters said when a worker started. It is read on the side.
type baseline struct {
	atomic.Pointer[evidence.Baseline]
	over atomic.Bool // its worker is gone, maybe before it was read
}

func (q *inquest) begin(w *instance) {
	b, pid := &baseline{}, w.proc.PID
	w.base = b
	q.jobs.Go(func() {
		b.Store(q.meter.Start(pid))
		if b.over.Load() {
			b.close()
		}
	})
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
		b.over.Store(true)
		if base := b.Load(); base != nil {
			base.Close()
		}
	}
}

// died looks into the end of an instance that nobody had asked to end.
func (q *inquest) died(id string, w *instance) *finding {
	f := &finding{death: q.death(id, w), growth: w.base.growth(w.exit.Time)}
	if w.found != nil {
		f.seen = w.found.seen // it had been suspected before
	}
	evidence.Fill(&f.death, f.growth, f.seen.Process, q.log(w))
	f.verdict = cause.Classify(f.death)
	return f
}

// unborn is the finding on a process that could not be made.
func unborn(e *Event) *finding {
	f := &finding{death: cause.Death{Worker: e.Worker, Rank: -1, Time: e.Time, ExecError: e.Cause.Detail}}
	f.verdict = cause.Classify(f.death)
	return f
}

// core finds the core file that a dead instance has left, nil if it has left none. The file
// system may be slow: not for the loop.
func (q *inquest) core(w *instance) *incident.Core {
	if w.exit == nil || !w.exit.CoreDumped() {
		return nil
	}
	dir := w.cfg.WorkingDir
	if dir == "" {
		dir, _ = os.Getwd() // without one a relative name finds nothing, and that is said
	}
	return q.col.Core(evidence.Crash{PID: w.proc.PID, Dir: dir, From: w.start})
}

func (q *inquest) log(w *instance) []cause.KernelFact {
	if q.kernel == nil {
		return nil
	}
	return q.kernel.Since(w.start)
}

// death is what the reaper and the pipes tell. It may be asked for a living instance.
func (q *inquest) death(id string, w *instance) cause.Death {
	d := cause.Death{Worker: id, Rank: w.rank, PID: w.proc.PID, Time: time.Now(), Started: w.start, Ready: !w.ready.IsZero(), Text: lastWords(w)}
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
	if x.Sent != 0 && (w.asked || x.Time.Sub(x.SentAt) < obeys) {
		d.Sent, d.SentAt = signalName(x.Sent), x.SentAt
	}
	d.CPUTime = time.Duration(x.Rusage.Utime.Nano() + x.Rusage.Stime.Nano())
	return d
}

// obeys is how long after a signal that did not ask it to stop the end of a process may have
// come of it.
const obeys = 2 * time.Second

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
