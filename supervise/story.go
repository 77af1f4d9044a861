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
	"github.com/procguard/procguard/supervise/cause"
	"github.com/procguard/procguard/supervise/evidence"
	"github.com/procguard/procguard/supervise/fleet"
	"github.com/procguard/procguard/supervise/logs"
)

// story writes each incident's folder as its chain goes on. It runs on the
// loop's goroutine; files are written by the incident package's own.
type story struct {
	l    *loop
	to   *incident.Incidents // nil without a volume
	open map[uint64]*chapter
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
	deaths  []cause.Death   // of all in it, in the order seen
	judged  bool            // they have been looked at together
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
	s.decide()
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
	case e.Kind == fleet.NoteHung:
		s.supersede(&e, false)
		s.begin(&e, w)
	case e.Kind == fleet.NoteWell:
		s.well(&e, w)
	case e.Kind == fleet.NotePhase:
		s.phase(&e)
	default:
		if c := s.open[e.Incident]; c != nil {
			c.detail(&e, w)
		}
	}
}

func (s *story) begin(e *Event, w *instance) {
	c := &chapter{l: s.l, began: e.Time, culprit: w, seen: map[string]bool{}}
	c.Incident = incident.Incident{Number: e.Incident, Group: e.Group, TimeMS: e.Time.UnixMilli(), Node: s.l.cfg.Node, Run: s.l.run,
		Epoch: e.Epoch, Attempt: max(e.Attempt, 1), Cause: e.Cause, Culprit: e.Worker, Culprits: []string{e.Worker}, Outcome: incident.Open,
		Victims: []string{}, Moves: []incident.Move{}}
	s.open[e.Incident] = c
	c.step(e, state.Detected, fmt.Sprintf("%s: %s", e.Worker, e.Cause))
	c.worker(e, w, "culprit", s.l)
	c.headline()
	s.evidence(e.Incident, e.Worker, w)
	s.save(c)
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

// judge looks at all deaths of an incident together, once all have died: one that was seen
// first may have died of another's death.
func (s *story) judge(c *chapter) {
	if c.judged || len(c.deaths) < 2 {
		return
	}
	c.judged = true
	deaths := slices.Clone(c.deaths)
	s.late.Add(1)
	go func() {
		defer s.late.Done()
		d := cause.Decide(deaths) // of hundreds it takes milliseconds
		s.mu.Lock()
		s.decisions = append(s.decisions, func() { s.decided(c, d) })
		s.mu.Unlock()
		s.l.g.in.call(func(*loop) { s.decide() })
	}()
}

// decide takes over what has been found out meanwhile.
func (s *story) decide() {
	s.mu.Lock()
	list := s.decisions
	s.decisions = nil
	s.mu.Unlock()
	for _, f := range list {
		f()
	}
}

// decided puts what the deaths say together into the incident, which may be over by now.
func (s *story) decided(c *chapter, d cause.Decision) {
	if d.Culprit < 0 {
		return
	}
	c.Summary = d.Summary
	if first := d.Verdicts[d.Culprit].Worker; first != c.Culprit && slices.Contains(c.Culprits, first) {
		c.Notes = append(c.Notes, fmt.Sprintf("%s was seen first; %s failed first", c.Culprit, first))
		c.Culprit = first
	}
	for i := range d.Verdicts {
		c.verdict(&d.Verdicts[i])
	}
	c.headline()
	s.save(c)
}

func (c *chapter) verdict(v *cause.Verdict) {
	for i := range c.Workers {
		if w := &c.Workers[i]; w.WorkerID == v.Worker {
			w.Class, w.Reason, w.Signature, w.Confidence = string(v.Class), v.Reason, v.Signature, string(v.Confidence)
			if v.Collateral {
				w.Collateral = v.Because
			}
		}
	}
}

// evidence writes what was found about the culprit, and what it said last once all of it has
// been read.
func (s *story) evidence(n uint64, worker string, w *instance) {
	if w == nil {
		return
	}
	file := func(name string, data []byte) { s.to.Write(n, worker+"/"+name, data) }
	if len(w.errorFile) > 0 {
		file("error.json", w.errorFile)
	}
	s.found(w, file)
	if w.lines == nil {
		return
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
				file(id.String()+".tail", tail)
			}
		}
	}()
}

func (s *story) found(w *instance, file func(string, []byte)) {
	f := w.found
	if f == nil {
		return
	}
	for _, x := range f.seen.Files {
		file(x.Name, x.Data)
	}
	if f.growth.Cgroup != nil {
		x := evidence.CgroupFile(f.growth.Cgroup)
		file(x.Name, x.Data)
	}
	if u := usage(w); u != nil {
		x := evidence.RusageFile(u)
		file(x.Name, x.Data)
	}
}

func (c *chapter) step(e *Event, p state.Phase, note string) {
	since := float64(e.Time.Sub(c.began).Microseconds()) / 1000
	c.Phases = append(c.Phases, incident.Phase{Phase: p, TimeMS: e.Time.UnixMilli(), SinceMS: since, Note: note})
}

// detail adds what happened to one worker or task on the way.
func (c *chapter) detail(e *Event, w *instance) {
	switch e.Kind {
	case fleet.NoteExited:
		if e.Worker != c.Culprit {
			c.worker(e, w, roleOf(e), c.l)
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

// roleOf a worker that ended: one whose end we had asked for is a victim.
func roleOf(e *Event) string {
	if e.Expected {
		return "victim"
	}
	return "culprit"
}

func (c *chapter) worker(e *Event, w *instance, role string, l *loop) {
	if c.seen[e.Worker] {
		return
	}
	c.seen[e.Worker] = true
	switch {
	case role == "victim":
		c.Victims = append(c.Victims, e.Worker)
	case e.Worker != c.Culprit:
		c.Culprits = append(c.Culprits, e.Worker)
	}
	c.note(e.Worker, w)
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

// note keeps the facts of a death for when all of them are known.
func (c *chapter) note(worker string, w *instance) {
	switch {
	case w == nil || len(c.deaths) >= maxListed:
	case w.found != nil:
		c.deaths = append(c.deaths, w.found.death)
	case w.exit != nil:
		c.deaths = append(c.deaths, c.l.inquest.death(worker, w))
	}
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
		d.Usage = usage(w)
	}
	if w.found != nil {
		w.found.describe(&d)
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
