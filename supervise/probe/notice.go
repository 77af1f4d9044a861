package probe

import (
	"fmt"
	"net/url"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/probe/notify"
	"github.com/procguard/procguard/supervise/probe/tree"
)

// Counts are of what came by sd_notify and by timer FIFOs and was of no use.
type Counts struct {
	Unknown   uint64 // datagrams whose sender does not belong to the worker
	Malformed uint64 // assignments, and lines, that could not be understood
	Oversized uint64 // datagrams of more than 4 KiB
}

// Counts since the Prober was made.
func (p *Prober) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts
}

// letter is a message and who has sent it.
type letter struct {
	notify.Message
	pid int
	uid uint32
}

// news is what OnExtend and the others have not been told yet.
type news struct {
	main     int
	stopping bool
	extend   time.Duration
	timeout  time.Duration
	phase    *notify.Phase
	step     *int64
	status   *string
}

// fileName makes a name for a file of a worker's id, as the supervisor does.
func fileName(worker string) string { return url.PathEscape(worker) }

// accept checks who has sent a message, without the lock, and lets it count. It returns
// the worker's main pid.
func (p *Prober) accept(w *watch, main int, l *letter) int {
	ok := p.belongs(w, main, l.pid) || p.vanished(w, l)
	if ok && l.MainPID != 0 && !p.belongs(w, main, l.MainPID) {
		l.MainPID = 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case w.gone || p.closed:
	case !ok:
		p.counts.Unknown++
		p.once("sd_notify: a datagram of a stranger was dropped", fmt.Errorf("pid %d does not belong to worker %s", l.pid, w.s.Worker))
	default:
		p.notified(w, &l.Message, time.Now())
	}
	return w.main
}

// belongs: the leader, the process that it has named as its main one, their
// descendants, and who is in the leader's group or session or carries its marker.
func (p *Prober) belongs(w *watch, main, pid int) bool {
	if pid <= 0 {
		return false // from outside of our pid namespace
	}
	up := pid
	for range maxKin {
		if up == w.s.PID || up == main {
			return true
		}
		var s tree.Stat
		if p.proc.Stat(up, &s) != nil {
			break
		}
		if up == pid && (s.Group == w.s.PID || s.Session == w.s.PID) {
			return true
		}
		if up = s.PPID; up <= 1 {
			break
		}
	}
	return w.s.Instance != "" && p.proc.marked(pid, w.s.Instance)
}

// vanished: the sender has ended and was waited for before we could look, as is usual
// for a shell's `systemd-notify --ready`. It has used the worker's own socket; that it
// was of the worker's user has to do, who could do worse than this to the worker.
func (p *Prober) vanished(w *watch, l *letter) bool {
	var s tree.Stat
	return l.pid > 0 && gone(p.proc.Stat(l.pid, &s)) && p.proc.exists(w.s.PID) && p.proc.isUser(w.s.PID, l.uid)
}

// notified lets a message count. The lock is held, as it is below.
func (p *Prober) notified(w *watch, m *notify.Message, now time.Time) {
	w.sign = now
	if m.MainPID != 0 && m.MainPID != w.main {
		w.main, w.news.main = m.MainPID, m.MainPID
	}
	if m.Ready {
		p.readyByNotify(w, now)
	}
	if m.Reloading {
		w.reload = true
		w.news.phase = &notify.Phase{Name: "reload"}
	}
	w.news.stopping = w.news.stopping || m.Stopping
	p.askTime(w, m, now)
	if m.Status != nil {
		w.news.status = m.Status
	}
	if m.Errno != 0 {
		text := fmt.Sprintf("errno %d: %s", m.Errno, unix.Errno(m.Errno).Error())
		if m.Status != nil {
			text = *m.Status + " (" + text + ")"
		}
		w.news.status = &text
	}
	if m.Step != nil {
		p.progressed(w, *m.Step, now)
	}
	if m.Watchdog {
		p.hearBeat(w, now)
	}
	p.publish(w, now)
	if m.Trigger && w.ready && !w.settled() && !w.suspect {
		p.convict(w, func(look string, _ time.Time) *state.Cause {
			return &state.Cause{Kind: state.CauseUnresponsive, Detail: with("it reported itself hung (WATCHDOG=trigger)", look)}
		})
	}
}

// readyByNotify: the same word ends start-up and a reload.
func (p *Prober) readyByNotify(w *watch, now time.Time) {
	if w.s.ReadyNotify && !w.ready {
		p.becomeReady(w, now)
	}
	if w.reload {
		w.reload = false
		w.news.phase = &notify.Phase{}
	}
}

// askTime is what a message says of deadlines.
func (p *Prober) askTime(w *watch, m *notify.Message, now time.Time) {
	if m.Phase != nil {
		w.news.phase = m.Phase
		p.extend(w, m.Phase.For, now)
	}
	if m.Extend > 0 {
		w.news.extend = m.Extend
		p.extend(w, m.Extend, now)
	}
	if m.Timeout > 0 {
		w.news.timeout = m.Timeout
		w.s.HeartbeatTimeout = m.Timeout
	}
}

func (p *Prober) extend(w *watch, d time.Duration, now time.Time) {
	w.hold = time.Time{}
	if d > 0 {
		w.hold = now.Add(min(d, notify.Forever))
	} else {
		w.sign = now // silence counts from here
	}
}

// publish has the news of a worker told, now or when the last are old enough.
func (p *Prober) publish(w *watch, now time.Time) {
	if w.queued || w.news == (news{}) {
		return
	}
	if at := w.newsAt.Add(maxBeatRate); at.After(now) && !w.newsAt.IsZero() {
		p.late[w] = at
		p.nudge()
		return
	}
	delete(p.late, w)
	w.queued, w.newsAt = true, now
	p.report(func() { p.tell(w) })
}

// releaseNews has those told that have waited long enough.
func (p *Prober) releaseNews(now time.Time) {
	for w, at := range p.late {
		if !at.After(now) {
			p.publish(w, now)
		}
	}
}

// tell makes the calls.
func (p *Prober) tell(w *watch) {
	p.mu.Lock()
	n, o := w.news, p.o
	w.news, w.queued = news{}, false
	p.mu.Unlock()
	id, gen := w.s.Worker, w.s.Gen
	if n.main != 0 && o.OnMainPID != nil {
		o.OnMainPID(id, gen, n.main)
	}
	if n.timeout > 0 && o.OnTimeout != nil {
		o.OnTimeout(id, gen, n.timeout)
	}
	if n.phase != nil && o.OnPhase != nil {
		o.OnPhase(id, gen, n.phase.Name, n.phase.For)
	}
	if n.extend > 0 && o.OnExtend != nil {
		o.OnExtend(id, gen, n.extend)
	}
	if n.step != nil && o.OnProgress != nil {
		o.OnProgress(id, gen, *n.step)
	}
	if n.status != nil && o.OnStatus != nil {
		o.OnStatus(id, gen, *n.status)
	}
	if n.stopping && o.OnStopping != nil {
		o.OnStopping(id, gen)
	}
}
