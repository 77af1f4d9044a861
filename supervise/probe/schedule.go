package probe

import (
	"container/heap"
	"time"
)

// run is the scheduler: it does what is due, and sleeps until the next thing is,
// or something new has come in.
func (p *Prober) run() {
	defer close(p.over)
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	for {
		var due <-chan time.Time
		if at := p.turn(); !at.IsZero() {
			timer.Reset(time.Until(at))
			due = timer.C
		}
		select {
		case <-p.wake:
		case <-due:
		case <-p.done:
			return
		}
		timer.Stop()
	}
}

// turn does what is due and says when the next thing is, the zero time if nothing.
func (p *Prober) turn() time.Time {
	p.lookAtFresh()
	p.deliver()
	now := time.Now()
	p.mu.Lock()
	p.releaseNews(now)
	p.expire(now)
	p.launch(now)
	r, ok := p.duePass(now)
	p.mu.Unlock()
	if ok {
		p.pass(r)
		p.deliver()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next(time.Now())
}

// deliver makes the calls that were waiting for it, without the lock.
func (p *Prober) deliver() {
	p.mu.Lock()
	calls := p.reports
	p.reports = nil
	p.mu.Unlock()
	for _, f := range calls {
		f()
	}
}

// next arms the pass if anything needs one.
func (p *Prober) next(now time.Time) time.Time {
	if !p.sampling() {
		p.judgeAt = time.Time{}
	}
	if !p.sampling() && p.polled == 0 && p.tracked == 0 {
		p.passAt = time.Time{}
	} else if p.passAt.IsZero() {
		p.passAt = now.Add(p.o.Interval)
	}
	at := earliest(p.passAt, p.judgeAt)
	if len(p.due) > 0 {
		at = earliest(at, p.due[0].at)
	}
	for _, t := range p.late {
		at = earliest(at, t)
	}
	for _, t := range p.timed {
		at = earliest(at, t)
	}
	if len(p.reports) > 0 {
		p.nudge()
	}
	return at
}

func (p *Prober) sampling() bool {
	return p.o.ZombieDetection && len(p.watches) > 0 || p.needy > 0
}

// earliest takes the zero time for never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// round is one pass over the workers.
type round struct {
	all    bool // every worker, or only those about to be judged
	sample bool
	now    time.Time
	late   time.Duration // now, after it was due
}

// duePass tells whether a pass is due, and plans the one after it.
func (p *Prober) duePass(now time.Time) (round, bool) {
	r := round{sample: p.sampling(), now: now}
	switch {
	case !p.passAt.IsZero() && !now.Before(p.passAt):
		r.all, r.late = true, now.Sub(p.passAt)
		if p.passAt = p.passAt.Add(p.o.Interval); !p.passAt.After(now) {
			p.passAt = now.Add(p.o.Interval)
		}
		return r, true
	case !p.judgeAt.IsZero() && !now.Before(p.judgeAt):
		r.late = now.Sub(p.judgeAt)
		return r, true
	}
	return r, false
}

// checkHeap orders watches by when their next check is due (container/heap).
type checkHeap []*watch

func (h checkHeap) Len() int           { return len(h) }
func (h checkHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h checkHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push implements heap.Interface.
func (h *checkHeap) Push(x any) {
	w := x.(*watch)
	w.place = len(*h)
	*h = append(*h, w)
}

// Pop implements heap.Interface.
func (h *checkHeap) Pop() any {
	old := *h
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	w.place = -1
	return w
}

func (p *Prober) enqueue(w *watch, at time.Time) {
	w.at = at
	heap.Push(&p.due, w)
}

func (p *Prober) dequeue(w *watch) {
	if w.place >= 0 {
		heap.Remove(&p.due, w.place)
	}
}
