package cause

import (
	"regexp"
	"strings"
)

// exception is the last uncaught Python exception in a text.
type exception struct {
	Type, Message string
	rest          string // further lines of the message
	thread        bool   // it ended a thread, not the program
}

var (
	// A line that torch or a launcher wrote for a rank: "[rank3]: ...".
	rankPrefix  = regexp.MustCompile(`^\s?\[(?:rank|default)?\d+\]:\s?`)
	colours     = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`)
	raised      = regexp.MustCompile(`^([A-Za-z_][\w.]*)(?:: ?(.*))?$`)
	syntaxError = regexp.MustCompile(`^(SyntaxError|IndentationError|TabError): (.*)$`)
)

// relays are exceptions that only say that a child raised one.
var relays = map[string]bool{"ChildFailedError": true, "ProcessRaisedException": true, "RemoteTraceback": true}

// Bounds of what is looked at: a program may print anything before it dies.
const (
	maxLines = 200
	maxLine  = 500
)

// clean takes the last lines without blanks at the end, colours and prefixes, and
// of a progress bar's line what was written last.
func clean(lines []string) []string {
	lines = lines[max(0, len(lines)-maxLines):]
	out := make([]string, 0, len(lines))
	for _, l := range lines {
		l = strings.TrimRight(l, " \r\n")
		l = l[strings.LastIndexByte(l, '\r')+1:]
		l = l[:min(len(l), maxLine)]
		if strings.Contains(l, "\x1b") {
			l = colours.ReplaceAllString(l, "")
		}
		if strings.HasPrefix(strings.TrimLeft(l, " "), "[") {
			l = rankPrefix.ReplaceAllString(l, "")
		}
		if l = strings.TrimRight(l, " "); l != "" {
			out = append(out, l)
		}
	}
	return out
}

// lastException finds what the last traceback in clean lines ended with. One
// that Python ignored does not count, and one that only passes on another's is
// the last choice.
func lastException(lines []string) *exception {
	var relay *exception
	for i := len(lines) - 1; i >= 0; i-- {
		if m := syntaxError.FindStringSubmatch(lines[i]); m != nil {
			return &exception{Type: m[1], Message: m[2]}
		}
		if !strings.HasSuffix(lines[i], "Traceback (most recent call last):") {
			continue
		}
		x := traceback(lines[i+1:])
		if x == nil || i > 0 && strings.HasPrefix(lines[i-1], "Exception ignored in") {
			continue
		}
		x.thread = i > 0 && strings.HasPrefix(lines[i-1], "Exception in thread ")
		if !relays[x.short()] {
			return x
		}
		relay = x
	}
	return relay
}

// traceback reads the exception below the frames, which are indented.
func traceback(lines []string) *exception {
	for i, l := range lines {
		if l[0] == ' ' || l[0] == '\t' {
			continue
		}
		m := raised.FindStringSubmatch(l)
		if m == nil {
			return nil
		}
		x := &exception{Type: m[1], Message: m[2]}
		x.rest = strings.Join(lines[i+1:min(len(lines), i+6)], "\n")
		return x
	}
	return nil
}

func (x *exception) short() string { return x.Type[strings.LastIndexByte(x.Type, '.')+1:] }

func (x *exception) String() string {
	if x.Message == "" {
		return x.short()
	}
	return x.short() + ": " + clip(x.Message)
}

// splitException takes "Type: message" apart, as in an error.json.
func splitException(s string) *exception {
	first, rest, _ := strings.Cut(s, "\n")
	m := raised.FindStringSubmatch(strings.TrimSpace(first))
	if m == nil {
		return nil
	}
	return &exception{Type: m[1], Message: m[2], rest: rest}
}

// clip bounds a line that is quoted in a reason.
func clip(s string) string {
	const longest = 200
	if s = strings.TrimSpace(s); len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "..."
	}
	return s
}
