package supervise

import (
	"fmt"
	"slices"
	"time"

	"github.com/procguard/procguard/state/journal/incident"
	"github.com/procguard/procguard/supervise/cause"
)

// judge looks at all deaths of an incident together, once all have died: one that was seen
// first may have died of another's death.
func (s *story) judge(c *chapter) {
	if c.judged || len(c.deaths) < 2 {
		return
	}
	c.judged = true
	deaths := slices.Clone(c.deaths)
	atOnce(deaths)
	s.afterwards(func() func() {
		d := cause.Decide(deaths) // of hundreds it takes milliseconds
		return func() { s.decided(c, d) }
	})
}

// atOnce: of those that hang at the same time the one that was judged first stays the first,
// whichever was looked at first.
func atOnce(deaths []cause.Death) {
	first := &deaths[0]
	for i := range deaths {
		d := &deaths[i]
		if by := first.Time.Sub(d.Time); first.Hang != "" && d.Hang != "" && by > 0 && by < time.Second {
			d.Time = first.Time
		}
	}
}

// afterwards finds something out beside the loop; what that returns is done by the loop.
func (s *story) afterwards(find func() func()) {
	s.late.Add(1)
	go func() {
		defer s.late.Done()
		then := find()
		s.mu.Lock()
		s.decisions = append(s.decisions, then)
		s.mu.Unlock()
		s.l.g.in.call(func(*loop) { s.decide() })
	}()
}

// decide takes over what has been found out meanwhile, if anything has.
func (s *story) decide() bool {
	s.mu.Lock()
	list := s.decisions
	s.decisions = nil
	s.mu.Unlock()
	for _, f := range list {
		f()
	}
	return len(list) > 0
}

// decided puts what the deaths say together into the incident, which may be over by now.
func (s *story) decided(c *chapter, d cause.Decision) {
	if d.Culprit < 0 {
		return
	}
	c.Summary = d.Summary
	if first := d.Verdicts[d.Culprit].Worker; first != c.Culprit {
		s.accuse(c, first)
	}
	for i := range d.Verdicts {
		c.verdict(&d.Verdicts[i])
	}
	c.headline()
	s.save(c)
}

// accuse makes another one the culprit than the one that was seen first. It may count as a
// victim: it had crashed, but its end was not seen before the stop had begun.
func (s *story) accuse(c *chapter, first string) {
	i := slices.IndexFunc(c.Workers, func(w incident.Worker) bool { return w.WorkerID == first })
	if i < 0 {
		return // beyond what is listed
	}
	c.Notes = append(c.Notes, fmt.Sprintf("%s was seen first; %s failed first", c.Culprit, first))
	c.finishTail()
	w := c.Workers[i]
	w.Role = roleCulprit
	c.Workers = slices.Insert(slices.Delete(c.Workers, i, i+1), 0, w)
	c.Culprit, c.Cause = first, w.Cause
	c.Victims = slices.DeleteFunc(c.Victims, func(id string) bool { return id == first })
	c.Culprits = slices.Insert(slices.DeleteFunc(c.Culprits, func(id string) bool { return id == first }), 0, first)
	if c.culprit = c.crashed[first]; c.culprit != nil {
		s.evidence(c, first, c.culprit)
	}
}

func (c *chapter) verdict(v *cause.Verdict) {
	for i := range c.Workers {
		if w := &c.Workers[i]; w.WorkerID == v.Worker {
			w.Class, w.Reason, w.Signature, w.Confidence = string(v.Class), v.Reason, v.Signature, string(v.Confidence)
			if v.Sender != "" {
				w.SignalSender = v.Sender
			}
			if v.Collateral {
				w.Collateral = v.Because
			}
		}
	}
}
