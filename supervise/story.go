package supervise

import (
	"fmt"
	"sync"
	"time"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/state/journal/incident"
	"github.com/procguard/procguard/supervise/cause"
	"github.com/procguard/procguard/supervise/fleet"
)

// story writes each incident's folder as its chain goes on. It runs on the
// loop's goroutine; files are written by the incident package's own.
type story struct {
	l    *loop
	to   *incident.Incidents // nil without a volume
	open map[uint64]*chapter
	last uint64         // the newest incident
	late sync.WaitGroup // tails that are still being waited for, deaths that are looked into

	mu        sync.Mutex
	decisions []func()
}

// chapter is an incident that is not over.
type chapter struct {
	incident.Incident
	l       *loop
	began   time.Time
	culprit *instance
	seen    map[string]bool // workers that are in it already
	named   bool            // victims were too many to list
	alone   bool            // only the culprit was tried again
	hung    bool            // the culprit hangs, and is left alone
	deaths  []cause.Death   // of all in it, in the order seen
	judged  bool            // they have been looked at together
	// crashed are those whose end the one seen first may have come from
	crashed map[string]*instance
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
	for again := true; again; again = s.decide() { // which may find more to wait for
		s.late.Wait()
	}
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
	s.last = max(s.last, e.Incident)
	switch e.Kind {
	case fleet.NoteReady:
		s.closeAlone(&e)
	case fleet.NoteExited:
		s.closeHung(&e)
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
	case e.Kind == fleet.NoteHung:
		s.supersede(&e, false)
		s.begin(&e, w)
		s.open[e.Incident].hung = true
	case e.Kind == fleet.NoteWell:
		s.well(&e, w)
	case e.Kind == fleet.NotePhase:
		s.phase(&e)
	default:
		if c := s.open[e.Incident]; c != nil {
			c.detail(&e, w)
			if e.Kind == fleet.NoteExited && roleOf(&e, w) == roleCulprit && e.Worker != c.Culprit {
				s.evidence(c, e.Worker, w)
			}
		}
	}
}

func (s *story) begin(e *Event, w *instance) {
	c := &chapter{l: s.l, began: e.Time, culprit: w, seen: map[string]bool{}}
	c.Incident = incident.Incident{Number: e.Incident, Group: e.Group, TimeMS: e.Time.UnixMilli(), Node: s.l.cfg.Node, Run: s.l.run,
		Epoch: e.Epoch, Attempt: max(e.Attempt, 1), Cause: e.Cause, Culprit: e.Worker, Culprits: []string{e.Worker}, Outcome: incident.Open,
		Victims: []string{}, Moves: []incident.Move{}}
	s.open[e.Incident] = c
	if w != nil {
		w.told = c
	}
	c.step(e, state.Detected, fmt.Sprintf("%s: %s", e.Worker, e.Cause))
	c.worker(e, w, roleCulprit, s.l)
	c.headline()
	s.save(c) // first: whoever finds the folder finds it in there
	s.evidence(c, e.Worker, w)
	if e.Text != "" && e.Kind == fleet.NotePhase {
		s.end(c, incident.Ended, e.Text)
	}
}

// headline puts what was found out about the culprit at the top.
func (c *chapter) headline() {
	for i := range c.Workers {
		if d := &c.Workers[i]; d.WorkerID == c.Culprit {
			c.Class, c.Reason, c.Signature, c.Confidence = d.Class, d.Reason, d.Signature, d.Confidence
		}
	}
}

// well ends the incident of a worker that was only suspected, or left alone, and shows a
// sign of life.
func (s *story) well(e *Event, w *instance) {
	if s.open[e.Incident] == nil {
		s.begin(e, w)
	}
	c := s.open[e.Incident]
	c.step(e, state.Completed, "well again: "+e.Text)
	s.end(c, incident.Recovered, "nothing was done: "+e.Text)
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

// closeHung ends the incident of a worker that was left alone: its verdict dies with it.
func (s *story) closeHung(e *Event) {
	for _, c := range s.open {
		if c.hung && c.Culprit == e.Worker {
			s.end(c, incident.Ended, fmt.Sprintf("it ended: %s", e.Cause))
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
	if e.Phase == state.Reassign || e.Phase == state.GaveUp {
		s.judge(c)
	}
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
	c := &chapter{l: s.l, Incident: *inc, began: time.UnixMilli(inc.TimeMS), seen: map[string]bool{}}
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

// unclean adds what could not be cleaned before a group's restart.
func (s *story) unclean(group string, what []string) {
	if len(what) == 0 {
		return
	}
	var last *chapter
	for _, c := range s.open {
		if c.Group == group && (last == nil || c.Number > last.Number) {
			last = c
		}
	}
	if last != nil {
		last.Unclean = append(last.Unclean, what...)
		s.save(last)
	}
}
