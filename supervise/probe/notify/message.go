package notify

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxSize is of a datagram, in bytes: PIPE_BUF, which is systemd's limit too.
const MaxSize = 4096

// maxStatus is how much of a status text is kept, in bytes; maxPhase of a name.
const (
	maxStatus = 512
	maxPhase  = 64
)

// Forever is what times are cut to. Nobody extends a deadline by more than a month
// and means it; systemd's word for no limit, the largest number, is among those.
const Forever = 30 * 24 * time.Hour

// Message is what one datagram says, see sd_notify(3). Names that begin with X_ are
// ProcGuard's own.
type Message struct {
	Ready     bool // READY=1: start-up, or the reload, is done
	Stopping  bool
	Reloading bool
	Watchdog  bool // WATCHDOG=1: a heartbeat
	Trigger   bool // WATCHDOG=trigger: the worker wants to be taken for hung
	Barrier   bool // BARRIER=1: waits until its descriptor is closed

	Status  *string       // one line of valid UTF-8
	Extend  time.Duration // EXTEND_TIMEOUT_USEC; 0: none
	Timeout time.Duration // WATCHDOG_USEC: its own heartbeat time-out; 0: none
	MainPID int           // 0: none
	Errno   int           // 0: none

	Step  *int64 // X_STEP=7, or STATUS=... step=7 ...
	Phase *Phase
}

// Phase is X_PHASE=checkpoint, with X_PHASE_USEC=600000000 for how long it may take.
type Phase struct {
	Name string        // empty: it is over
	For  time.Duration // 0: not said
}

// Parse takes a datagram apart. bad counts assignments that are none, or whose value
// is no such value; they are passed over, and so are names that are not known. Of
// two assignments to one name the later holds.
func Parse(b []byte) (m Message, bad int) {
	var p parsing
	for line := range bytes.SplitSeq(b, []byte{'\n'}) {
		if len(line) > 0 && !p.line(string(line)) {
			bad++
		}
	}
	if p.Step == nil {
		p.Step = p.stated
	}
	if p.named {
		p.Phase = &p.phase
	}
	return p.Message, bad
}

// parsing is a message of which not all lines were read.
type parsing struct {
	Message
	stated *int64 // the step in the status
	phase  Phase
	named  bool
}

func (p *parsing) line(line string) (ok bool) {
	key, value, ok := strings.Cut(line, "=")
	if !ok || key == "" || strings.ContainsRune(key, 0) {
		return false
	}
	switch key {
	case "STATUS":
		p.Status, p.stated = status(value)
	case "X_PHASE":
		p.phase.Name, p.named = clean(value, maxPhase), true
	case "X_PHASE_USEC":
		p.phase.For, ok = usec(value)
	default:
		return p.assign(key, value)
	}
	return ok
}

func (m *Message) assign(key, value string) (ok bool) {
	switch key {
	case "READY":
		return flag(&m.Ready, value)
	case "STOPPING":
		return flag(&m.Stopping, value)
	case "RELOADING":
		return flag(&m.Reloading, value)
	case "BARRIER":
		return flag(&m.Barrier, value)
	case "WATCHDOG":
		m.Trigger = m.Trigger || value == "trigger"
		return value == "trigger" || flag(&m.Watchdog, value)
	}
	return m.assignNumber(key, value)
}

func (m *Message) assignNumber(key, value string) (ok bool) {
	switch key {
	case "EXTEND_TIMEOUT_USEC":
		m.Extend, ok = usec(value)
	case "WATCHDOG_USEC":
		m.Timeout, ok = usec(value)
	case "MAINPID":
		m.MainPID, ok = whole(value, 1, math.MaxInt32)
	case "ERRNO":
		m.Errno, ok = whole(value, 0, 4095) // MAX_ERRNO of the kernel
	case "X_STEP":
		var step int64
		if step, ok = number(value); ok {
			m.Step = &step
		}
	default:
		return true
	}
	return ok
}

// flag: nothing but 1 has a meaning.
func flag(to *bool, value string) bool {
	*to = *to || value == "1"
	return value == "1"
}

func whole(value string, low, high int) (int, bool) {
	n, err := strconv.Atoi(value)
	if err != nil || n < low || n > high {
		return 0, false
	}
	return n, true
}

func number(value string) (int64, bool) {
	n, err := strconv.ParseInt(value, 10, 64)
	return n, err == nil && n >= 0
}

func usec(value string) (time.Duration, bool) {
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil {
		return 0, false
	}
	if n > uint64(Forever/time.Microsecond) {
		return Forever, true
	}
	return time.Duration(n) * time.Microsecond, true
}

func status(value string) (*string, *int64) {
	text := clean(value, maxStatus)
	if n, ok := StepIn(value); ok {
		return &text, &n
	}
	return &text, nil
}

// StepIn finds "step=123" as a word of its own.
func StepIn(text string) (int64, bool) {
	for at := 0; ; {
		i := strings.Index(text[at:], "step=")
		if i < 0 {
			return 0, false
		}
		i += at
		at = i + len("step=")
		if i > 0 && wordByte(text[i-1]) {
			continue // "substep="
		}
		end := at
		for end < len(text) && '0' <= text[end] && text[end] <= '9' {
			end++
		}
		if n, ok := number(text[at:end]); ok {
			return n, true
		}
	}
}

func wordByte(c byte) bool {
	return c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// clean makes a line that can be shown anywhere.
func clean(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	s = strings.TrimSpace(s)
	for len(s) > limit {
		cut := limit
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut]
	}
	return s
}
