package supervise

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/state/journal/incident"
	"github.com/procguard/procguard/supervise/fleet"
	"github.com/procguard/procguard/supervise/logs"
)

// story writes each incident's folder as its chain goes on. It runs on the
// loop's goroutine; files are written by the incident package's own.
type story struct {
	l    *loop
	to   *incident.Incidents // nil without a volume
	open map[uint64]*chapter
	late sync.WaitGroup // tails that are still being waited for
}

// chapter is an incident that is not over.
type chapter struct {
	incident.Incident
	began   time.Time
	culprit *instance
	seen    map[string]bool // workers that are in it already
	named   bool            // victims were too many to list
	alone   bool            // only the culprit was tried again
}

// Bounds of what one incident lists, so that the failure of one worker in 5,000
// does not write megabytes.
const (
	maxListed = 256
	tailLines = 20
	tailBytes = 16 << 10
	tailWait  = 2 * time.Second // for output that is still in the pipe
)

func newStory(l *loop) *story {
	s := &story{l: l, open: map[uint64]*chapter{}}
	if l.dir != "" {
		s.to = incident.New(l.dir, incident.Options{Keep: l.cfg.State.KeepIncidents})
	}
	return s
}

func (s *story) close() {
	s.late.Wait()
	for _, c := range s.open {
		s.end(c, incident.Ended, "ProcGuard was stopped in the middle")
	}
	if s.to != nil {
		if err := s.to.Close(2 * time.Second); err != nil {
			s.l.log.Warn("evidence is incomplete", "error", err)
		}
	}
}

// add tells of one event; w is the instance it is about, if it still has one.
func (s *story) add(e Event, w *instance) {
	if s.to == nil {
		return
	}
	if e.Kind == fleet.NoteReady {
		s.closeAlone(&e)
	}
	switch {
	case e.Incident == 0:
	case e.Kind == fleet.NotePhase && e.Phase == state.Detected:
		s.supersede(&e, e.Text == "") // with a text it stands beside the chain
		s.begin(&e, w)
	case e.Kind == fleet.NoteRetry:
		s.supersede(&e, false)
		s.begin(&e, w)
		s.open[e.Incident].alone = true
	case e.Kind == fleet.NotePhase:
		s.phase(&e)
	default:
		if c := s.open[e.Incident]; c != nil {
			c.detail(&e, w)
		}
	}
}

func (s *story) begin(e *Event, w *instance) {
	c := &chapter{began: e.Time, culprit: w, seen: map[string]bool{}}
	c.Incident = incident.Incident{Number: e.Incident, Group: e.Group, TimeMS: e.Time.UnixMilli(), Node: s.l.cfg.Node, Run: s.l.run,
		Epoch: e.Epoch, Attempt: max(e.Attempt, 1), Cause: e.Cause, Culprit: e.Worker, Culprits: []string{e.Worker}, Outcome: incident.Open,
		Victims: []string{}, Moves: []incident.Move{}}
	s.open[e.Incident] = c
	c.step(e, state.Detected, fmt.Sprintf("%s: %s", e.Worker, e.Cause))
	c.worker(e, w, "culprit", s.l)
	s.evidence(e.Incident, e.Worker, w)
	s.save(c)
	if e.Text != "" && e.Kind == fleet.NotePhase {
		s.end(c, incident.Ended, e.Text)
	}
}

// closeAlone ends the incident of a worker that was tried again alone and is
// back.
func (s *story) closeAlone(e *Event) {
	for _, c := range s.open {
		if c.alone && c.Culprit == e.Worker {
			c.step(e, state.Completed, "tried again alone")
			s.end(c, incident.Recovered, "")
		}
	}
}

// supersede ends what a later failure has overtaken: an earlier one of the same
// worker, and with chain the whole earlier chain of the group.
func (s *story) supersede(e *Event, chain bool) {
	for _, c := range s.open {
		if c.Number < e.Incident && c.Group == e.Group && (c.Culprit == e.Worker || chain && !c.alone) {
			s.end(c, incident.Ended, fmt.Sprintf("it failed again before it was back: incident %d", e.Incident))
		}
	}
}

// phase adds a step. A chain that an earlier ProcGuard began is taken up from
// its file.
func (s *story) phase(e *Event) {
	c := s.open[e.Incident]
	if c == nil {
		if c = s.reopen(e.Incident); c == nil {
			return
		}
	}
	c.Epoch, c.Attempt = e.Epoch, e.Attempt
	c.step(e, e.Phase, e.Text)
	switch e.Phase {
	case state.Completed:
		s.end(c, incident.Recovered, "")
	case state.GaveUp:
		s.end(c, incident.GaveUp, e.Text)
	default:
		s.save(c)
	}
}

func (s *story) reopen(n uint64) *chapter {
	inc, err := incident.Load(s.l.dir, n)
	if err != nil || inc.Outcome != incident.Open && inc.Outcome != incident.Ended {
		return nil
	}
	c := &chapter{Incident: *inc, began: time.UnixMilli(inc.TimeMS), seen: map[string]bool{}}
	c.Outcome, c.Why = incident.Open, ""
	c.Notes = append(c.Notes, "ProcGuard was started again in the middle and went on from there")
	s.open[n] = c
	return c
}

func (s *story) save(c *chapter) {
	c.finishTail()
	s.to.Save(&c.Incident)
}

func (s *story) end(c *chapter, o incident.Outcome, why string) {
	c.Outcome, c.Why = o, why
	s.save(c)
	delete(s.open, c.Number)
}

// evidence writes what the culprit said last, once all of it has been read.
func (s *story) evidence(n uint64, worker string, w *instance) {
	if w == nil || w.lines == nil {
		return
	}
	if len(w.errorFile) > 0 {
		s.to.Write(n, worker+".error.json", w.errorFile)
	}
	drained, lines := w.drained, w.lines
	s.late.Add(1)
	go func() {
		defer s.late.Done()
		if drained != nil {
			select {
			case <-drained:
			case <-time.After(tailWait):
			}
		}
		for _, id := range []logs.Stream{logs.Stdout, logs.Stderr} {
			if tail := lines.Tail(id, tailBytes); len(tail) > 0 {
				s.to.Write(n, worker+"."+id.String()+".tail", tail)
			}
		}
	}()
}

func (c *chapter) step(e *Event, p state.Phase, note string) {
	since := float64(e.Time.Sub(c.began).Microseconds()) / 1000
	c.Phases = append(c.Phases, incident.Phase{Phase: p, TimeMS: e.Time.UnixMilli(), SinceMS: since, Note: note})
}

// detail adds what happened to one worker or task on the way.
func (c *chapter) detail(e *Event, w *instance) {
	switch e.Kind {
	case fleet.NoteExited:
		if e.Expected && e.Worker != c.Culprit {
			c.worker(e, w, "victim", nil)
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
	if role == "victim" {
		c.Victims = append(c.Victims, e.Worker)
	}
	if len(c.Workers) >= maxListed {
		if !c.named {
			c.named = true
			c.Notes = append(c.Notes, fmt.Sprintf("details of the first %d workers only", maxListed))
		}
		return
	}
	d := incident.Worker{WorkerID: e.Worker, Generation: e.Gen, Role: role, PID: e.PID, Cause: e.Cause, Tail: []string{}}
	c.Workers = append(c.Workers, describe(d, w, l))
}

func describe(d incident.Worker, w *instance, l *loop) incident.Worker {
	if w == nil {
		return d
	}
	d.PID, d.StartMS = w.proc.PID, w.start.UnixMilli()
	if x := w.exit; x != nil {
		d.EndMS = x.Time.UnixMilli()
		if x.Sent != 0 && x.Signal() == x.Sent {
			d.SignalSender = "procguard"
		}
		if !x.Unknown {
			d.Usage = &incident.Usage{UserMS: x.Rusage.Utime.Nano() / 1e6, SystemMS: x.Rusage.Stime.Nano() / 1e6,
				MaxRSSBytes: x.Rusage.Maxrss * 1024, MajorFaults: x.Rusage.Majflt}
		}
	}
	if l != nil {
		if s, ok := l.fleet.Worker(d.WorkerID); ok {
			d.RestartCount, d.BudgetUsed = s.RestartCount, s.BudgetUsed
		}
	}
	return d
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

func lastLines(data []byte) []string {
	data = bytes.TrimRight(data, "\n")
	if len(data) == 0 {
		return nil
	}
	lines := strings.Split(strings.ToValidUTF8(string(data), "\uFFFD"), "\n")
	return slices.Clone(lines[max(0, len(lines)-tailLines):])
}

// errorMessage is the first line of the message in a torch error.json, "" if
// there is none.
func errorMessage(data []byte) string {
	var f struct {
		Message struct {
			Message string `json:"message"`
		} `json:"message"`
	}
	if json.Unmarshal(data, &f) != nil {
		return ""
	}
	first, _, _ := strings.Cut(f.Message.Message, "\n")
	return first[:min(len(first), 300)]
}
