package probe

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/state"
)

// feedTimer reads a FIFO. The lock is held, as it is below.
func (p *Prober) feedTimer(d *door, buf []byte) {
	n, err := unix.Read(d.fd, buf)
	if err != nil || n <= 0 {
		return
	}
	p.setTimers(d.w, buf[:n], time.Now())
	p.nudge()
}

func (p *Prober) setTimers(w *watch, data []byte, now time.Time) {
	p.counts.Malformed += uint64(w.timers.Feed(data, now))
	p.timed[w] = w.timers.Next()
	if p.timed[w].IsZero() {
		delete(p.timed, w)
	}
}

// expire judges by the timers that have run out.
func (p *Prober) expire(now time.Time) {
	for w, at := range p.timed {
		if at.After(now) {
			continue
		}
		t, ok := w.timers.Take(now)
		p.setTimers(w, nil, now)
		// One of a process that has ended was forgotten, not missed.
		if !ok || w.settled() || w.suspect || !p.proc.exists(t.PID) {
			continue
		}
		p.convict(w, func(look string, _ time.Time) *state.Cause {
			return &state.Cause{Kind: state.CauseUnresponsive, Detail: with(t.String(), look)}
		})
	}
}
