package probe

import (
	"bytes"
	"regexp"
	"regexp/syntax"
	"strconv"
	"time"

	"github.com/procguard/procguard/state"
)

// maxMatched is how much of a line is looked at, in bytes.
const maxMatched = 4096

// PatternSpec are expressions that a worker's lines are compared with; nil: none.
type PatternSpec struct {
	Ready *regexp.Regexp // it is ready
	Alive *regexp.Regexp // a heartbeat
	Fail  *regexp.Regexp // it is broken, though it lives
	// Progress: its first group, else the first number in what matches, is a step.
	Progress *regexp.Regexp
}

// Patterns finds signs of life in the lines of one process. It holds what it has said
// already, so each process has its own; it is not safe for concurrent use.
type Patterns struct {
	ready, alive, fail, progress *pattern
	isReady, hasFailed           bool
	aliveAt, stepAt              time.Time
}

// Found is what a line says, less what was said before.
type Found struct {
	Ready, Alive bool
	Fail         string // the line, where it says that
	Step         *int64
}

// Any: there is something to tell.
func (f *Found) Any() bool { return f.Ready || f.Alive || f.Fail != "" || f.Step != nil }

// pattern is an expression, with a text that every match contains, for which a line is
// searched first: that is quick, and most lines do not have it.
type pattern struct {
	re   *regexp.Regexp
	need []byte
}

// NewPatterns: nil if there are none, which Match takes.
func NewPatterns(s PatternSpec) *Patterns {
	if s == (PatternSpec{}) {
		return nil
	}
	return &Patterns{ready: newPattern(s.Ready), alive: newPattern(s.Alive), fail: newPattern(s.Fail), progress: newPattern(s.Progress)}
}

func newPattern(re *regexp.Regexp) *pattern {
	if re == nil {
		return nil
	}
	return &pattern{re, required(re.String())}
}

// required is the longest text that is part of every match, as far as is easily seen.
func required(expr string) []byte {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil
	}
	return []byte(longest(re))
}

func longest(re *syntax.Regexp) (text string) {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 {
			return string(re.Rune)
		}
	case syntax.OpCapture, syntax.OpPlus:
		return longest(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return longest(re.Sub[0])
		}
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if s := longest(sub); len(s) > len(text) {
				text = s
			}
		}
	}
	return text
}

// Match looks at a line, without its end. It says that the worker is ready once, that it
// failed once, and the others once per 50 ms, of steps the newest of those that it looks
// at.
func (p *Patterns) Match(line []byte, now time.Time) (f Found) {
	if p == nil {
		return f
	}
	line = line[:min(len(line), maxMatched)]
	if !p.isReady && p.ready.in(line) {
		p.isReady, f.Ready = true, true
	}
	if now.Sub(p.aliveAt) >= maxBeatRate && p.alive.in(line) {
		p.aliveAt, f.Alive = now, true
	}
	if !p.hasFailed && p.fail.in(line) {
		p.hasFailed, f.Fail = true, string(line)
	}
	if now.Sub(p.stepAt) >= maxBeatRate {
		if n, ok := p.progress.number(line); ok {
			step := n // only this escapes
			p.stepAt, f.Step = now, &step
		}
	}
	return f
}

func (p *pattern) in(line []byte) bool {
	return p != nil && bytes.Contains(line, p.need) && p.re.Match(line)
}

func (p *pattern) number(line []byte) (int64, bool) {
	if p == nil || !bytes.Contains(line, p.need) {
		return 0, false
	}
	m := p.re.FindSubmatch(line)
	if m == nil {
		return 0, false
	}
	if len(m) > 1 {
		n, err := strconv.ParseInt(string(m[1]), 10, 64)
		return n, err == nil
	}
	n, err := firstNumber(m[0])
	return n, err == nil
}

// Heard lets what Patterns.Match has found count, and causes the calls that follow from
// it. It is quick.
func (p *Prober) Heard(worker string, gen uint64, f Found) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.find(worker, gen)
	if w == nil || p.closed {
		return
	}
	if f.Ready && !w.ready {
		p.becomeReady(w, now)
	}
	if f.Alive {
		p.hearBeat(w, now)
	}
	if f.Step != nil {
		p.progressed(w, *f.Step, now)
	}
	if f.Fail != "" && !w.settled() && !w.suspect {
		line := quoted(f.Fail)
		p.convict(w, func(look string, _ time.Time) *state.Cause {
			return &state.Cause{Kind: state.CauseLog, Detail: with(line, look)}
		})
	}
}

// quoted is a line as it can be shown, cut to what is readable.
func quoted(line string) string {
	if len(line) > 200 {
		line = line[:200]
	}
	return strconv.QuoteToGraphic(line)
}
