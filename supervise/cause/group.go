package cause

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Decision is the story of several deaths.
type Decision struct {
	// Culprit is the index, in the deaths given, of the one that failed first; -1 if
	// there were none.
	Culprit  int
	Verdicts []Verdict // in the order of the deaths given
	// Summary says who failed and what became of the others, in one sentence.
	Summary string
}

// How much a death speaks for itself, the strongest first.
const (
	own   = iota // it had a cause of its own
	late         // a fault of its own, but after we had asked it to stop
	weak         // it says that others are to blame
	asked        // it ended because we asked
)

// Decide classes each death and names the first. A death with a cause of its own
// comes before all that only report a lost peer, whenever they were seen: a
// crash that writes a core closes its connections long before its status is
// known. Of equals the earliest is first.
func Decide(deaths []Death) Decision {
	g := grouping{deaths: deaths, out: Decision{Culprit: -1, Verdicts: make([]Verdict, len(deaths))}}
	for i := range deaths {
		g.out.Verdicts[i] = Classify(deaths[i])
	}
	for i := range deaths {
		if g.out.Culprit < 0 || g.before(i, g.out.Culprit) {
			g.out.Culprit = i
		}
	}
	if g.out.Culprit >= 0 {
		g.accuse()
		g.blame()
		g.out.Summary = g.summary()
	}
	return g.out
}

type grouping struct {
	deaths []Death
	out    Decision
}

func (g *grouping) strength(i int) int {
	d, v := &g.deaths[i], &g.out.Verdicts[i]
	switch {
	case v.Class == StoppedByUs:
		return asked
	case d.Hang != "":
		return own
	case reports(v.Class):
		return weak
	case g.afterStop(i):
		if d.Signal != "" && d.Signal != d.Sent {
			return late
		}
		return asked
	}
	return own
}

// reports says that a class tells of others' failure rather than of one's own.
func reports(c Class) bool {
	switch c {
	case ConnectionLost, NCCLTimeout, GlooTimeout, NCCLError, RendezvousFailed, BrokenPipe, ExitEarly, Hangup:
		return true
	}
	return false
}

// afterStop says that it ended after our signal, unless its error.json is older.
func (g *grouping) afterStop(i int) bool {
	d := &g.deaths[i]
	if d.Sent == "" {
		return false
	}
	if e := d.Error; e != nil && !e.Time.IsZero() && e.Time.Add(e.Resolution).Before(d.SentAt) {
		return false
	}
	return true
}

// before orders by strength, then by the times in the error.json files where they
// are clearly apart, then by when the ends were seen.
func (g *grouping) before(i, j int) bool {
	if a, b := g.strength(i), g.strength(j); a != b {
		return a < b
	}
	a, b := &g.deaths[i], &g.deaths[j]
	if e, f := a.Error, b.Error; e != nil && f != nil && !e.Time.IsZero() && !f.Time.IsZero() {
		switch {
		case clearly(e, f):
			return true
		case clearly(f, e):
			return false
		}
	}
	return a.Time.Before(b.Time)
}

// skew is how much clocks of two hosts may differ, and what lies between raising
// and noting it.
const skew = 10 * time.Millisecond

// clearly says that e is older than f, however the seconds were rounded.
func clearly(e, f *ErrorFile) bool {
	res := e.Resolution
	if res >= time.Second {
		// Both were cut to whole seconds: those of different seconds are in order, up to
		// the skew.
		return e.Time.Before(f.Time)
	}
	return e.Time.Add(skew).Before(f.Time)
}

// accuse: where all only report others, and most name a rank that is among the
// dead, that one is first.
func (g *grouping) accuse() {
	if g.strength(g.out.Culprit) != weak {
		return
	}
	votes := map[int]int{}
	for i := range g.out.Verdicts {
		for _, r := range g.out.Verdicts[i].Accuses {
			votes[r]++
		}
	}
	best := 0
	for i := range g.deaths {
		d := &g.deaths[i]
		if n := votes[d.Rank]; d.Rank >= 0 && n > best && g.strength(i) == weak && !slices.Contains(g.out.Verdicts[i].Accuses, d.Rank) {
			best, g.out.Culprit = n, i
		}
	}
}

// blame says of each other death why it came about.
func (g *grouping) blame() {
	c := g.out.Culprit
	first := &g.deaths[c]
	culprit := &g.out.Verdicts[c]
	culprit.Collateral, culprit.Because = false, ""
	g.elsewhere(c)
	for i := range g.out.Verdicts {
		if i == c {
			continue
		}
		v := &g.out.Verdicts[i]
		v.Collateral, v.Because = true, ""
		switch s := g.strength(i); {
		case v.Class == StoppedByUs:
			v.Because = "stopped by ProcGuard with " + g.deaths[i].Sent
		case s == asked || s == late:
			v.Because = fmt.Sprintf("it was being stopped by ProcGuard (%s) when this happened", g.deaths[i].Sent)
		case shared(v.Class) && v.Class == culprit.Class:
			v.Because = "the same " + sharedEvent(v.Class) + " as " + first.Worker
		case s == weak:
			v.Because = weakReason(v.Class) + apart(first, &g.deaths[i])
		default:
			v.Collateral = false // it failed by itself too
		}
	}
}

// elsewhere: a first one that only reports others says so, with the ranks that
// are missing and not among the dead.
func (g *grouping) elsewhere(c int) {
	v := &g.out.Verdicts[c]
	if g.strength(c) != weak || len(g.deaths) == 1 && len(v.Accuses) == 0 {
		return
	}
	var missing []string
	for _, r := range v.Accuses {
		if !slices.ContainsFunc(g.deaths, func(d Death) bool { return d.Rank == r }) {
			missing = append(missing, strconv.Itoa(r))
		}
	}
	if len(missing) > 0 {
		v.Reason += "; it waited for rank " + strings.Join(missing, ", ") + ", which is not among the dead"
		v.Confidence = Guess
	}
}

func shared(c Class) bool { return c == OOMContainer || c == OOMHost }

func sharedEvent(c Class) string {
	if c == OOMHost {
		return "shortage of memory on the machine"
	}
	return "shortage of memory in the container"
}

func weakReason(c Class) string {
	switch c {
	case NCCLTimeout, GlooTimeout:
		return "it waited for a rank that did not come"
	case ExitEarly:
		return "it ended early"
	}
	return "its connection to a peer was lost"
}

// apart says how long before or after the first this one ended.
func apart(first, d *Death) string {
	by := d.Time.Sub(first.Time).Round(time.Millisecond)
	if by < 0 {
		return fmt.Sprintf(", seen %s before the end of %s", -by, first.Worker)
	}
	return fmt.Sprintf(", %s after %s died", by, first.Worker)
}

func (g *grouping) summary() string {
	c := &g.out.Verdicts[g.out.Culprit]
	var also, others []string
	for i := range g.out.Verdicts {
		v := &g.out.Verdicts[i]
		switch {
		case i == g.out.Culprit:
		case v.Collateral:
			others = append(others, v.Worker)
		default:
			also = append(also, v.Worker)
		}
	}
	s := c.Worker + ": " + c.Reason
	if len(also) > 0 {
		s += fmt.Sprintf("; failed as well: %s", names(also))
	}
	if len(others) > 0 {
		s += fmt.Sprintf("; ended because of it or of the stop: %s", names(others))
	}
	return s
}

// names lists the first few.
func names(list []string) string {
	const shown = 5
	if len(list) > shown {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:shown], ", "), len(list)-shown)
	}
	return strings.Join(list, ", ")
}

var missingRanks = regexp.MustCompile(`Ranks? (\d+(?:, ?\d+)*) failed to pass monitoredBarrier|from rank (\d+), retcode|Proxy Call to rank (\d+) failed`)

// accused are the ranks that a text names as missing.
func accused(lines []string) []int {
	var out []int
	for _, l := range lines {
		if !strings.Contains(l, "rank ") && !strings.Contains(l, "Rank") {
			continue
		}
		for _, m := range missingRanks.FindAllStringSubmatch(l, -1) {
			for n := range strings.SplitSeq(m[1]+m[2]+m[3], ",") {
				if r, err := strconv.Atoi(strings.TrimSpace(n)); err == nil && !slices.Contains(out, r) {
					out = append(out, r)
				}
			}
		}
	}
	return out
}
