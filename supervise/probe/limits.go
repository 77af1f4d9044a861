package probe

import (
	"fmt"
	"time"

	"github.com/procguard/procguard/state"
)

// limits is what has been seen of a worker that has some.
type limits struct {
	judged  bool // once per process
	over    int  // samples in a row in which the memory was over its limit
	again   time.Time
	marks   []cpuMark // oldest first, one each tenth of the window
	sharing bool      // its memory is being measured
}

type cpuMark struct {
	at    time.Time
	ticks uint64
}

const (
	// overFor is how many samples in a row memory has to be over its limit: between
	// fork and exec all that the parent has counts for the child too.
	overFor = 3
	// shareAgain is between two measurements of what is really used.
	shareAgain   = 30 * time.Second
	windowMarks  = 10
	usualCPUSpan = time.Minute
)

// checkLimits goes by the newest sample.
func (p *Prober) checkLimits(w *watch, ticks uint64) {
	l := &w.limits
	if l.judged {
		return
	}
	if w.s.MaxMemory > 0 {
		p.checkMemory(w)
	}
	if w.s.MaxCPU > 0 {
		p.checkCPU(w, ticks)
	}
}

// exceed reports a worker that uses too much. It may still be judged for other things.
func (p *Prober) exceed(w *watch, kind state.CauseKind, detail string) {
	w.limits.judged = true
	p.report(func() { p.o.OnJudged(w.s.Worker, w.s.Gen, state.Cause{Kind: kind, Detail: detail}) })
}

// checkMemory has the sum of resident memory looked into when it is over the limit: it
// counts pages several times that processes share, as data loaders do that were forked.
func (p *Prober) checkMemory(w *watch) {
	l, now := &w.limits, w.sample.Time
	if w.sample.RSS <= w.s.MaxMemory {
		l.over = 0
		return
	}
	if l.over++; l.over < overFor || l.sharing || now.Before(l.again) {
		return
	}
	if w.sample.Processes == 1 {
		p.exceed(w, state.CauseMemory, overMemory(w.sample.RSS, w.s.MaxMemory, 1))
		return
	}
	if p.closed {
		return
	}
	l.sharing, l.again = true, now.Add(shareAgain)
	p.measure(w, w.tree.PIDs(), w.sample.RSS)
}

// measure asks for the proportional share, which counts every page once, without the
// lock. Where it may not be read the sum stands.
func (p *Prober) measure(w *watch, pids []int, rss uint64) {
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		bytes := p.proc.share(pids)
		if bytes == 0 {
			bytes = rss
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		w.limits.sharing = false
		if !w.gone && !p.closed && bytes > w.s.MaxMemory {
			p.exceed(w, state.CauseMemory, overMemory(bytes, w.s.MaxMemory, len(pids)))
		}
	}()
}

func overMemory(bytes, limit uint64, processes int) string {
	return fmt.Sprintf("%s in %s, max_memory is %s", mebi(bytes), count(processes, "process"), mebi(limit))
}

// mebi is a size with as many digits as it is worth.
func mebi(bytes uint64) string {
	if bytes >= 10<<30 {
		return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
	}
	return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
}

func (p *Prober) checkCPU(w *watch, ticks uint64) {
	window := w.s.CPUWindow
	if window <= 0 {
		window = usualCPUSpan
	}
	l, now := &w.limits, w.sample.Time
	if n := len(l.marks); n == 0 || now.Sub(l.marks[n-1].at) >= window/windowMarks {
		l.marks = append(l.marks, cpuMark{now, ticks})
	}
	for len(l.marks) > 1 && now.Sub(l.marks[1].at) >= window {
		l.marks = append(l.marks[:0], l.marks[1:]...)
	}
	first := l.marks[0]
	span := now.Sub(first.at)
	if span < window {
		return
	}
	if cpu := percentCPU(first.ticks, ticks, span); cpu > w.s.MaxCPU {
		p.exceed(w, state.CauseCPU, fmt.Sprintf("%.0f %% over %.0f s, max_cpu is %g %%", cpu, span.Seconds(), w.s.MaxCPU))
	}
}
