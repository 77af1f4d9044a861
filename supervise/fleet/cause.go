package fleet

import (
	"strings"
	"time"

	"github.com/procguard/procguard/state"
)

// young is how long a process without a readiness check is taken to be starting.
const young = 5 * time.Second

// classed completes a cause of w's end.
func (f *Fleet) classed(w *worker, c state.Cause) state.Cause {
	if c.Class == "" {
		c.Class = classOf(c.Kind)
		if c.Class == state.ClassRuntime && c.Kind != state.CauseLog && f.starts(w) {
			c.Class = state.ClassStartup
		}
	}
	return signed(c)
}

// starts says that w is not ready, or is so by default only.
func (f *Fleet) starts(w *worker) bool {
	return w.state == starting || (w.state == suspect && w.before == starting) || (!w.spec.NeedsReady && f.now.Sub(w.born) < young)
}

var classes = map[state.CauseKind]state.Class{
	state.CauseSpawn: state.ClassExec, state.CauseStartup: state.ClassStartup, state.CauseLost: state.ClassLost,
	state.CauseOperator: state.ClassOperator, state.CauseMemory: state.ClassLimit, state.CauseCPU: state.ClassLimit,
	state.CauseUnresponsive: state.ClassHang, state.CauseZombie: state.ClassHang, state.CauseNoProgress: state.ClassHang,
}

func classOf(k state.CauseKind) state.Class {
	if c, ok := classes[k]; ok {
		return c
	}
	return state.ClassRuntime
}

// signed gives a cause a signature, unless somebody who knows more has: what it
// says, without the numbers, which differ from time to time.
func signed(c state.Cause) state.Cause {
	if c.Signature == "" {
		d := c
		d.Detail, d.Core = "", false
		c.Signature = d.String()
		if c.Detail != "" {
			c.Signature += ": " + plain(c.Detail)
		}
	}
	return c
}

// plain is text with every number, decimal or hexadecimal, replaced by #, and
// not too long.
func plain(text string) string {
	var b strings.Builder
	for i := 0; i < len(text) && b.Len() < 160; {
		n := numberAt(text, i)
		if n == 0 {
			b.WriteByte(text[i])
			i++
			continue
		}
		b.WriteByte('#')
		i += n
	}
	return strings.ToValidUTF8(b.String(), "")
}

// numberAt is the length of the number at text[i:], 0 if there is none. A
// hexadecimal one has 0x in front.
func numberAt(text string, i int) int {
	if rest, ok := strings.CutPrefix(text[i:], "0x"); ok {
		if n := span(rest, "0123456789abcdefABCDEF"); n > 0 {
			return 2 + n
		}
		return 1
	}
	if text[i] == '.' {
		return 0
	}
	return span(text[i:], "0123456789.")
}

// span counts the bytes at the start of text that are among chars.
func span(text, chars string) int { return len(text) - len(strings.TrimLeft(text, chars)) }

func (x Exited) cause() state.Cause {
	c := state.Cause{Kind: state.CauseExit, Code: x.Code, Detail: x.Detail, Class: x.Class, Signature: x.Signature}
	switch {
	case x.Lost:
		c.Kind, c.Code = state.CauseLost, 0
	case x.Signal != "":
		c.Kind, c.Code, c.Signal, c.Core = state.CauseSignal, 0, x.Signal, x.Core
	}
	return c
}
