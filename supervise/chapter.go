package supervise

import (
	"fmt"
	"syscall"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/state/journal/incident"
	"github.com/procguard/procguard/supervise/fleet"
	"github.com/procguard/procguard/supervise/logs"
)

// The roles in an incident.
const roleCulprit, roleVictim = "culprit", "victim"

// roleOf a worker that ended: one whose end we had asked for is a victim, unless it was found
// to hang before, like the one that was seen first.
func roleOf(e *Event, w *instance) string {
	if e.Expected && (w == nil || w.found == nil || w.found.death.Hang == "") {
		return roleVictim
	}
	return roleCulprit
}

func spawnFailed(e *Event) bool { return e.Cause != nil && e.Cause.Kind == state.CauseSpawn }

func (c *chapter) step(e *Event, p state.Phase, note string) {
	since := float64(e.Time.Sub(c.began).Microseconds()) / 1000
	c.Phases = append(c.Phases, incident.Phase{Phase: p, TimeMS: e.Time.UnixMilli(), SinceMS: since, Note: note})
}

// detail adds what happened to one worker or task on the way.
func (c *chapter) detail(e *Event, w *instance) {
	switch e.Kind {
	case fleet.NoteExited:
		if e.Worker != c.Culprit {
			c.worker(e, w, roleOf(e, w), c.l)
		}
	case fleet.NoteMoved:
		for _, t := range e.Tasks {
			c.Moves = append(c.Moves, incident.Move{TaskID: t, From: e.From, To: e.Worker})
		}
	case fleet.NoteKilling, fleet.NoteStuck, fleet.NoteExcluded, fleet.NoteStandby, fleet.NoteShrunk, fleet.NoteSetAside:
		_, text := sentence(e)
		if len(c.Notes) < maxListed {
			c.Notes = append(c.Notes, text)
		}
	}
}

func (c *chapter) worker(e *Event, w *instance, role string, l *loop) {
	if c.seen[e.Worker] {
		return
	}
	c.seen[e.Worker] = true
	switch {
	case role == roleVictim:
		c.Victims = append(c.Victims, e.Worker)
	case e.Worker != c.Culprit:
		c.Culprits = append(c.Culprits, e.Worker)
	}
	c.note(e, w)
	if len(c.Workers) >= maxListed {
		if !c.named {
			c.named = true
			c.Notes = append(c.Notes, fmt.Sprintf("details of the first %d workers only", maxListed))
		}
		return
	}
	d := describe(incident.Worker{WorkerID: e.Worker, Generation: e.Gen, Role: role, PID: e.PID, Cause: e.Cause, Tail: []string{}}, w, l)
	if w == nil && spawnFailed(e) {
		unborn(e).describe(&d)
	}
	c.Workers = append(c.Workers, d)
}

// note keeps the facts of a death for when all of them are known.
func (c *chapter) note(e *Event, w *instance) {
	switch {
	case len(c.deaths) >= maxListed:
	case w == nil && spawnFailed(e):
		c.deaths = append(c.deaths, unborn(e).death)
	case w == nil:
	case w.found != nil:
		c.deaths = append(c.deaths, w.found.death)
		c.suspect(e.Worker, w)
	case w.exit != nil:
		c.deaths = append(c.deaths, c.l.inquest.death(e.Worker, w))
		if sig := w.exit.Signal(); sig != 0 && sig != w.exit.Sent && sig != syscall.SIGKILL {
			c.suspect(e.Worker, w)
		}
	}
}

func (c *chapter) suspect(worker string, w *instance) {
	if c.crashed == nil {
		c.crashed = map[string]*instance{}
	}
	c.crashed[worker] = w
}

func describe(d incident.Worker, w *instance, l *loop) incident.Worker {
	if w == nil {
		return d
	}
	d.PID, d.StartMS = w.proc.PID, w.start.UnixMilli()
	if !w.ready.IsZero() {
		d.ReadyMS = w.ready.UnixMilli()
	}
	if x := w.exit; x != nil {
		d.EndMS = x.Time.UnixMilli()
		if x.Sent != 0 && x.Signal() == x.Sent {
			d.SignalSender = "procguard"
		}
		d.Usage = usage(w)
	}
	if w.found != nil {
		w.found.describe(&d)
	}
	d.Rank = max(0, w.rank)
	if len(w.errorFile) > 0 {
		d.ErrorFile = d.WorkerID + "/error.json"
	}
	if l != nil {
		if s, ok := l.fleet.Worker(d.WorkerID); ok {
			d.RestartCount, d.BudgetUsed = s.RestartCount, s.BudgetUsed
		}
	}
	return d
}

// usage is what a process that was reaped has used, nil if that is not known.
func usage(w *instance) *incident.Usage {
	x := w.exit
	if x == nil || x.Unknown {
		return nil
	}
	return &incident.Usage{UserMS: x.Rusage.Utime.Nano() / 1e6, SystemMS: x.Rusage.Stime.Nano() / 1e6,
		MaxRSSBytes: x.Rusage.Maxrss * 1024, MajorFaults: x.Rusage.Majflt}
}

// finishTail puts the culprit's last lines into the description once they are
// complete.
func (c *chapter) finishTail() {
	w := c.culprit
	if w == nil || w.lines == nil || w.drained == nil || len(c.Workers) == 0 || len(c.Workers[0].Tail) > 0 {
		return
	}
	select {
	case <-w.drained:
	default:
		return
	}
	c.Workers[0].Tail = lastLines(append(w.lines.Tail(logs.Stdout, tailBytes/4), w.lines.Tail(logs.Stderr, tailBytes/4)...))
	c.culprit = nil // its buffers are not needed any more
}
