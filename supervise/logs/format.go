package logs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// RFC 3339 in UTC with microseconds, of one width so that lines sort as text.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// shape is how one stream's lines look on one sink; worked out once per stream.
type shape struct {
	format      Format
	first, cont string // text: what stands before a line, and before what continues one
	fields      string // JSON: everything between time and line
}

func newShape(format Format, spec StreamSpec, stream Stream, color bool) shape {
	label := spec.Label
	if label == "" {
		label = spec.Worker
	}
	label = printable(label)
	on, off := "", ""
	if color {
		on, off = colorOf(spec.Worker), "\x1b[0m"
	}
	return shape{
		format: format,
		first:  on + "[" + label + "]" + off + " ",
		cont:   on + "[" + label + "+]" + off + " ",
		fields: jsonFields(spec.Worker, stream, spec.Attempt),
	}
}

func jsonFields(worker string, stream Stream, attempt int) string {
	b := appendJSONString([]byte(`,"worker":`), []byte(worker))
	return fmt.Sprintf(`%s,"stream":"%s","attempt":%d`, b, stream, attempt)
}

// colorOf picks one of six colours by the id alone, so that it stays the same
// over restarts.
func colorOf(worker string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(worker))
	return "\x1b[3" + strconv.Itoa(1+int(h.Sum32()%6)) + "m"
}

// printable keeps a label from breaking the line or driving the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == ']' {
			return '?'
		}
		return r
	}, s)
}

// line appends one console line, with its "\n".
func (s *shape) line(dst, data []byte, cont, end bool, stamp []byte) []byte {
	if s.format == JSON {
		return s.object(dst, data, end, stamp)
	}
	if cont {
		dst = append(dst, s.cont...)
	} else {
		dst = append(dst, s.first...)
	}
	dst = append(dst, data...)
	return append(dst, '\n')
}

func (s *shape) object(dst, data []byte, end bool, stamp []byte) []byte {
	dst = append(dst, `{"time":"`...)
	dst = append(dst, stamp...)
	dst = append(dst, '"')
	dst = append(dst, s.fields...)
	dst = append(dst, `,"line":`...)
	dst = appendJSONString(dst, data)
	if !end {
		dst = append(dst, `,"partial":true`...)
	}
	return append(dst, '}', '\n')
}

// nextLine splits b, which holds whole lines, after its first one.
func nextLine(b []byte) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	return b[:i], b[i+1:]
}

func appendStamp(dst []byte, now time.Time) []byte {
	return now.UTC().AppendFormat(dst, timeLayout)
}

// appendMark appends the line that stands where output is missing.
func appendMark(dst []byte, format Format, l loss, reason string, now time.Time) []byte {
	if format == JSON {
		dst = append(dst, `{"time":"`...)
		dst = append(appendStamp(dst, now), '"')
		dst = append(dst, jsonFields(l.src.worker, l.src.stream, l.src.attempt)...)
		dst = fmt.Appendf(dst, `,"dropped_lines":%d,"dropped_bytes":%d,"reason":`, l.lines, l.bytes)
		return append(appendJSONString(dst, []byte(reason)), '}', '\n')
	}
	return fmt.Appendf(dst, "[procguard] %d %s (%s) of %s dropped: %s\n",
		l.lines, plural(l.lines, "line"), byteCount(l.bytes), printable(l.src.worker), reason)
}

func appendNotice(dst []byte, text string, now time.Time) []byte {
	dst = append(dst, `{"time":"`...)
	dst = append(appendStamp(dst, now), `","worker":"procguard","notice":`...)
	return append(appendJSONString(dst, []byte(text)), '}', '\n')
}

func plural(n uint64, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

func byteCount(n uint64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}

// appendJSONString appends b as a JSON string (RFC 8259): control characters
// escaped, and U+2028 and U+2029 for readers that take lines as JavaScript; what is
// not UTF-8 becomes U+FFFD.
func appendJSONString(dst, b []byte) []byte {
	dst = append(dst, '"')
	start := 0
	for i := plainRun(b); i < len(b); i += plainRun(b[i:]) {
		c := b[i]
		if c < utf8.RuneSelf {
			if c < ' ' || c == '"' || c == '\\' {
				dst = appendEscape(append(dst, b[start:i]...), c)
				start = i + 1
			}
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 || r == 0x2028 || r == 0x2029 {
			dst = fmt.Appendf(append(dst, b[start:i]...), `\u%04x`, r)
			start = i + n
		}
		i += n
	}
	dst = append(dst, b[start:]...)
	return append(dst, '"')
}

// plainRun is how many bytes at the start of b, in steps of eight, surely need no
// escape. It makes JSON twice as fast for what programs usually print. The
// tests for a byte below n, or zero, in a word are those of "Bit Twiddling Hacks".
func plainRun(b []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(b)-n >= 8; n += 8 {
		w := binary.LittleEndian.Uint64(b[n:])
		quote, slash := w^(ones*'"'), w^(ones*'\\')
		if (w|(w-ones*' ')|(quote-ones)|(slash-ones))&tops != 0 {
			break
		}
	}
	return n
}

func appendEscape(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}
