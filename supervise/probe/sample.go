package probe

import (
	"errors"
	"time"
)

// visit is one worker in a pass. It is filled in without the lock.
type visit struct {
	w      *watch
	fd     int
	lost   bool
	opened bool // in this pass, w does not know yet
	err    error
	r      reading
	at     time.Time
	out    time.Time
	bytes  uint64
	active bool // a descendant wants to run, or is traced
}

// pass polls files and samples workers, and judges by what it sees.
func (p *Prober) pass(r round) {
	if r.all {
		p.pollFiles()
		p.pollProgress()
	}
	if !r.sample {
		return
	}
	p.passes.Lock()
	suspects := p.survey(r)
	p.passes.Unlock()
	for _, s := range suspects {
		p.examine(s)
	}
}

// survey takes the samples of a pass, and returns who looks like a zombie in them.
func (p *Prober) survey(r round) []suspect {
	p.mu.Lock()
	p.choose(r)
	p.mu.Unlock()
	for i := range p.visits {
		p.visit(&p.visits[i])
	}
	p.climb(r)
	suspects := p.account(r)
	clear(p.visits) // they would keep watches alive
	clear(p.trees)
	return suspects
}

// sampleAll is a pass for somebody who asks. It waits for one that is on its way.
func (p *Prober) sampleAll() {
	p.passes.Lock()
	defer p.passes.Unlock()
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if !closed {
		p.survey(round{all: true, sample: true, now: time.Now()})
	}
}

// climb adds what belongs to the leaders to their readings: to all by one scan of
// /proc, to those about to be judged by a look at those who belonged to them then.
func (p *Prober) climb(r round) {
	p.trees = p.trees[:0]
	for i := range p.visits {
		if v := &p.visits[i]; v.err == nil && !v.lost {
			v.w.tree.Own = v.r.stat
			p.trees = append(p.trees, v.w.tree)
		} else if !v.lost && v.w.tree.Processes > 0 {
			p.trees = append(p.trees, v.w.tree) // with the numbers of the last time
		}
	}
	var err error
	if r.all {
		err = p.forest.Scan(p.trees)
	}
	if !r.all || err != nil {
		p.forest.Again(p.trees)
	}
	for i := range p.visits {
		p.visits[i].overlay()
	}
	if err != nil {
		p.mu.Lock()
		p.once("the children of workers cannot be seen: /proc cannot be listed", err)
		p.mu.Unlock()
	}
}

// overlay puts the sums of the whole tree in the place of the leader's numbers.
func (v *visit) overlay() {
	if v.err != nil || v.lost {
		return
	}
	t := v.w.tree
	v.active = t.Active > 0
	v.r.ticks, v.r.pages = t.Ticks, t.Pages
}

// choose lists whom to visit. From here to account the descriptors in the list
// stay open, whatever is unwatched meanwhile: a closed one could be somebody
// else's file by the time that it is read.
func (p *Prober) choose(r round) {
	p.passing = true
	p.visits = p.visits[:0]
	for _, w := range p.watches {
		if r.all || !w.calm.due.IsZero() && !w.calm.due.After(r.now) {
			p.visits = append(p.visits, visit{w: w, fd: w.fd, lost: w.lost})
		}
	}
}

func (p *Prober) visit(v *visit) {
	p.read(v)
	if f := v.w.s.Activity; f != nil {
		v.out, v.bytes = f()
	}
}

// read takes the sample, opening the file if it is not open yet.
func (p *Prober) read(v *visit) {
	if v.fd < 0 && !v.lost {
		v.fd, v.err = p.proc.open(v.w.s.PID)
		v.opened = v.err == nil
	}
	if v.fd >= 0 {
		v.err = p.proc.read(v.fd, &v.r)
	}
	v.at = time.Now()
}

// account takes a pass into account and returns who looks like a zombie.
func (p *Prober) account(r round) (suspects []suspect) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// Late at the start, or held up on the way.
	if r.late+time.Since(r.now) > stall {
		p.pardon(time.Now())
	}
	for i := range p.visits {
		v := &p.visits[i]
		v.w.calm.due = time.Time{} // else one that cannot be sampled would be due for ever
		if v.w.gone {
			if v.opened {
				p.proc.close(v.fd)
			}
			continue
		}
		v.w.hearOutput(v.out, v.bytes, v.at)
		p.forgive(v.w, v.at)
		p.checkSilence(v.w, v.at)
		if p.record(v) {
			p.checkLimits(v.w, v.r.ticks)
			if s, ok := p.suspect(v); ok {
				suspects = append(suspects, s)
			}
		}
	}
	p.passing = false
	for _, fd := range p.retired {
		p.proc.close(fd)
	}
	p.retired = p.retired[:0]
	p.planJudgement()
	return suspects
}

var errHidden = errors.New("/proc hides their processes (hidepid)")

// record keeps what a visit has found. It tells whether that says anything.
func (p *Prober) record(v *visit) bool {
	w := v.w
	if v.opened {
		w.fd = v.fd
	}
	switch {
	case w.lost:
		return false
	case gone(v.err):
		if v.w.fd < 0 && p.proc.exists(w.s.PID) {
			p.once("workers of other users cannot be sampled", errHidden)
		}
		p.retire(w)
		w.lost = true
		return false
	case v.err != nil:
		p.once("workers cannot be sampled", v.err)
		return false
	case v.r.state == 'X' || v.r.state == 'Z' && v.r.threads <= 1:
		return false // dead: the reaper knows
	}
	p.setSample(w, &v.r, v.at)
	return true
}

// minSpan is the least time over which CPU is reckoned: it is counted in steps
// of 10 ms.
const minSpan = 100 * time.Millisecond

func (p *Prober) setSample(w *watch, r *reading, at time.Time) {
	cpu := w.sample.CPU
	switch d := at.Sub(w.cpuAt); {
	case w.cpuAt.IsZero():
		w.cpuAt, w.cpuTick = at, r.ticks
	case d >= minSpan:
		cpu = percentCPU(w.cpuTick, r.ticks, d)
		w.cpuAt, w.cpuTick = at, r.ticks
	}
	rss := r.pages * pageSize
	w.sample = Sample{Time: at, State: r.state, CPU: cpu, RSS: rss, Memory: p.percentMemory(rss), Threads: r.threads, Processes: 1}
	if t := w.tree; t.Processes > 0 {
		w.sample.Threads, w.sample.Processes = t.Threads, t.Processes
		w.sample.Read, w.sample.Written, w.sample.Partial = t.Read, t.Written, t.NoIO
	}
}

// percentCPU is of one core. The kernel's sum may lose a tick when a thread ends.
func percentCPU(from, to uint64, d time.Duration) float64 {
	if to <= from || d <= 0 {
		return 0
	}
	return float64(to-from) / ticksPerSecond / d.Seconds() * 100
}

func (p *Prober) percentMemory(rss uint64) float64 {
	if p.memory == 0 {
		return 0
	}
	return float64(rss) / float64(p.memory) * 100
}

// hearOutput notes when the worker last printed. A time that the caller does not
// know is when the bytes were first seen to have grown.
func (w *watch) hearOutput(last time.Time, bytes uint64, now time.Time) {
	if last.IsZero() && bytes != w.bytes {
		last = now
	}
	w.out, w.bytes = later(w.out, last), bytes
}

// retire closes a descriptor, or leaves it to the end of the pass that may be
// about to read it.
func (p *Prober) retire(w *watch) {
	if w.fd < 0 {
		return
	}
	if p.passing {
		p.retired = append(p.retired, w.fd)
	} else {
		p.proc.close(w.fd)
	}
	w.fd = -1
}
