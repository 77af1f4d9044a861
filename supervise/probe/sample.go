package probe

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
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
}

// pass polls files and samples workers, and judges by what it sees.
func (p *Prober) pass(r round) {
	if r.all {
		p.pollFiles()
	}
	if !r.sample {
		return
	}
	p.mu.Lock()
	p.choose(r)
	p.mu.Unlock()
	for i := range p.visits {
		p.visit(&p.visits[i])
	}
	suspects := p.account(r)
	clear(p.visits) // they would keep watches alive
	for _, s := range suspects {
		p.examine(s)
	}
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
		if p.record(v) {
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

// record keeps what a visit has found. It tells whether that says anything.
func (p *Prober) record(v *visit) bool {
	w := v.w
	if v.opened {
		w.fd = v.fd
	}
	switch {
	case w.lost:
		return false
	case errors.Is(v.err, unix.ESRCH) || errors.Is(v.err, unix.ENOENT):
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
	w.sample = Sample{Time: at, State: r.state, CPU: cpu, RSS: rss, Memory: p.percentMemory(rss), Threads: r.threads}
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

// sampleNow is for status where no samples are taken. It holds the lock for as
// long as one read of /proc takes, some microseconds.
func (p *Prober) sampleNow(w *watch) {
	if p.passing {
		return // the last pass before ZombieDetection was turned off has a newer one soon
	}
	v := visit{w: w, fd: w.fd, lost: w.lost}
	p.read(&v)
	p.record(&v)
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
