package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/supervise/config/dotenv"
)

// beatKind is a time or the word auto.
type beatKind struct{}

func (beatKind) label() string { return "duration or auto" }

func (beatKind) decode(d *decoder, c cursor, dst any) {
	out := dst.(*beatSpec)
	if isWord(d, c, "auto") {
		*out = beatSpec{auto: true}
		return
	}
	var v *time.Duration
	optional[time.Duration]{someSeconds}.decode(d, c, &v)
	*out = beatSpec{timeout: v}
}

func (beatKind) schema() schema {
	return either(schema{"type": "string", "pattern": anyCase([]string{"auto"})}, someSeconds.schema())
}

// isWord tells whether a word stands at c, with no complaint if it does not.
func isWord(d *decoder, c cursor, word string) bool {
	quiet := decoder{vars: d.vars}
	s, ok := quiet.scalar(c, "")
	return ok && strings.EqualFold(s.text, word)
}

// phasesKind is a mapping of the names of phases to their times.
type phasesKind struct{}

var phaseName = nameKind("a phase")

func (phasesKind) label() string { return "mapping" }

func (phasesKind) decode(d *decoder, c cursor, dst any) {
	m := clone(*dst.(*map[string]time.Duration))
	for _, p := range d.pairs(c) {
		at := c.key(dotenv.Clip(p.name), p.value)
		if _, _, ok := phaseName.parse(scalar{text: p.name}); !ok {
			d.fail(cursor{p.key, at.path}, "", "expected %s", phaseName.want)
			continue
		}
		var v time.Duration
		if someSeconds.decode(d, at, &v); v > 0 {
			m[p.name] = v
		}
	}
	*dst.(*map[string]time.Duration) = m
}

func (phasesKind) schema() schema { return mapOf(someSeconds.schema()) }

// memoryKind is a size or a percentage.
type memoryKind struct{}

func (memoryKind) label() string { return "size or percentage" }

func (memoryKind) decode(d *decoder, c cursor, dst any) {
	const want = "a size such as 8GiB, or a percentage such as 80%"
	s, ok := d.scalar(c, want)
	if !ok {
		return
	}
	m, ok := parseMemory(s.text)
	if !ok {
		d.fail(c, "", "expected %s, got %s", want, describeScalar(c, s))
		return
	}
	*dst.(*Memory) = m
}

func parseMemory(text string) (Memory, bool) {
	if share, ok := strings.CutSuffix(text, "%"); ok {
		f, err := strconv.ParseFloat(strings.TrimSpace(share), 64)
		return Memory{Percent: f}, err == nil && f > 0 && f <= 100
	}
	n, hint, ok := size.parse(scalar{text: text})
	return Memory{Bytes: n}, ok && hint == ""
}

func (memoryKind) schema() schema { return schema{"type": []string{"integer", "string"}} }

// dumpSignal is a signal that a program may have an answer to.
var dumpSignal = valueKind[syscall.Signal]{name: "signal", want: "a signal that a program can answer, such as USR1 or QUIT", js: signal.js,
	parse: func(s scalar) (syscall.Signal, string, bool) {
		n, hint, ok := signal.parse(s)
		return n, hint, ok && n != unix.SIGKILL
	}}

// stepPattern is a regular expression with one group.
var stepPattern = valueKind[*regexp.Regexp]{name: "regular expression", want: "a regular expression (RE2) with one group for the number", js: typed("string"),
	parse: func(s scalar) (*regexp.Regexp, string, bool) {
		re, hint, ok := pattern.parse(s)
		if ok && re.NumSubexp() != 1 {
			return nil, "groups that are only for alternatives are written (?:…)", false
		}
		return re, hint, ok
	}}

var gpuWords = []string{"auto", "true", "false"}

// gpuKind is a boolean, or left to what is found.
var gpuKind = valueKind[string]{name: "true, false or auto", want: "true, false or auto", js: either(schema{"type": "boolean"}, schema{"type": "string", "pattern": anyCase(gpuWords) + "|" + variablePattern}),
	parse: func(s scalar) (string, string, bool) {
		word := strings.ToLower(s.text)
		return word, "", slices.Contains(gpuWords, word)
	}}
