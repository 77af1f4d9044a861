package journal

import (
	"time"
)

// fault is one way in which the volume can be out of order.
type fault int

const (
	faultJournal fault = iota // records cannot be appended
	faultStall                // the disk does not answer
	faultMirror               // state.json cannot be written
	faultMemory               // there is no volume
	faults
)

// quiet is the time in which a fault that comes and goes is mentioned once.
const quiet = 10 * time.Second

type trouble struct {
	why   string // "": none
	since time.Time
}

// health is guarded by Journal.mu.
type health struct {
	faults [faults]trouble
	said   bool      // that it is degraded
	when   time.Time // the last time that it was said
}

func (h *health) has(f fault) bool { return h.faults[f].why != "" }

// set notes a fault; since stays that of the first time.
func (h *health) set(f fault, why string, now time.Time) {
	if !h.has(f) {
		h.faults[f].since = now
	}
	h.faults[f].why = why
}

func (h *health) clear(f fault) { h.faults[f] = trouble{} }

// why is the worst fault's reason, "" if all is well.
func (h *health) why() string {
	for _, t := range h.faults {
		if t.why != "" {
			return t.why
		}
	}
	return ""
}

func (h *health) since() time.Time {
	var first time.Time
	for _, t := range h.faults {
		if t.why != "" && (first.IsZero() || t.since.Before(first)) {
			first = t.since
		}
	}
	return first
}

// Health reports whether all that was appended gets to the disk in time; if
// not, why, and since when.
func (j *Journal) Health() (ok bool, why string, since time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	why = j.health.why()
	return why == "", why, j.health.since()
}

// reportHealth logs and signals that the volume has failed or healed, once
// each. The caller does not hold mu: Log is foreign code.
func (j *Journal) reportHealth() {
	j.mu.Lock()
	h := &j.health
	why, now := h.why(), j.opt.Now()
	bad := why != ""
	change := bad != h.said && (!bad || h.when.IsZero() || now.Sub(h.when) >= quiet)
	if change {
		h.said = bad
		if bad {
			h.when = now
		}
	}
	j.mu.Unlock()
	if !change {
		return
	}
	j.signal()
	if bad {
		j.opt.Log(Error, "state directory degraded: "+why)
	} else {
		j.opt.Log(Info, "state directory healed: all is on the disk again")
	}
}
