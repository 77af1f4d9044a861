package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/procguard/procguard/supervise/config/dotenv"
)

// valueKind is a kind written as one scalar. parse answers with a value, or with
// ok false where the text is none; hint may then say what to do about it.
type valueKind[V any] struct {
	name  string // in doc/config.md
	want  string // in messages, after "expected"
	js    schema
	parse func(s scalar) (v V, hint string, ok bool)
}

func (k valueKind[V]) label() string  { return k.name }
func (k valueKind[V]) schema() schema { return k.js }

func (k valueKind[V]) decode(d *decoder, c cursor, dst any) {
	s, ok := d.scalar(c, k.want)
	if !ok {
		return
	}
	v, hint, ok := k.parse(s)
	if !ok {
		d.fail(c, hint, "expected %s, got %s", k.want, describeScalar(c, s))
		return
	}
	*dst.(*V) = v
}

// describeScalar names a value that did not fit, and what it stands for if it
// was written with variables.
func describeScalar(c cursor, s scalar) string {
	if s.expanded {
		return describe(c.target()) + ", which is " + strconv.Quote(dotenv.Clip(s.text))
	}
	return describe(c.target())
}

// optional makes a kind's value a pointer, nil when the key is not given.
type optional[V any] struct{ kind }

func (k optional[V]) decode(d *decoder, c cursor, dst any) {
	before := len(d.bad.list) + d.bad.dropped
	v := new(V)
	k.kind.decode(d, c, v)
	if len(d.bad.list)+d.bad.dropped == before {
		*dst.(**V) = v
	}
}

// text is any string. Numbers are taken as they are written, so that ids and
// environment values need no quotes; booleans too where loose.
func textKind(want string, check func(string) (hint string, ok bool)) valueKind[string] {
	return valueKind[string]{name: "string", want: want, js: orNumber(), parse: func(s scalar) (string, string, bool) {
		if s.tag == "!!bool" && !s.expanded {
			return "", "put it in quotes", false
		}
		if check == nil {
			return s.text, "", true
		}
		hint, ok := check(s.text)
		return s.text, hint, ok
	}}
}

func notEmpty(s string) (string, bool) { return "", strings.TrimSpace(s) != "" }

var anyText = textKind("a string", nil)
var someText = textKind("a string that is not empty", notEmpty)

// enum is one of a few words, of any case, stored as listed.
func enum(words ...string) valueKind[string] {
	list := strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
	return valueKind[string]{name: list, want: list, js: schema{"anyOf": []schema{
		{"enum": words}, {"type": "string", "pattern": anyCase(words) + "|" + variablePattern},
	}}, parse: func(s scalar) (string, string, bool) {
		i := slices.IndexFunc(words, func(w string) bool { return strings.EqualFold(w, s.text) })
		if i < 0 {
			near := nearest(s.text, words)
			if near != "" {
				near = didYouMean(near)
			}
			return "", near, false
		}
		return words[i], "", true
	}}
}

// anyCase is a pattern for the words in any case, without the flags that JSON
// Schema's dialect of patterns lacks.
func anyCase(words []string) string {
	var b strings.Builder
	b.WriteString("^(")
	for i, w := range words {
		if i > 0 {
			b.WriteByte('|')
		}
		for _, r := range w {
			if lo, up := strings.ToLower(string(r)), strings.ToUpper(string(r)); lo != up {
				b.WriteString("[" + lo + up + "]")
			} else {
				b.WriteRune(r)
			}
		}
	}
	return b.String() + ")$"
}

var boolean = valueKind[bool]{name: "true or false", want: "true or false", js: typed("boolean"),
	parse: func(s scalar) (bool, string, bool) {
		if !s.is("!!bool") {
			return false, boolHint(s.text), false
		}
		v, err := strconv.ParseBool(strings.ToLower(s.text))
		return v, "", err == nil
	}}

func boolHint(text string) string {
	switch strings.ToLower(text) {
	case "true", "false":
		return "remove the quotes"
	case "yes", "on":
		return "write true"
	case "no", "off":
		return "write false"
	}
	return ""
}

// integer is a whole number between two others.
func integer(least, most int) valueKind[int] {
	want := fmt.Sprintf("an integer from %d to %d", least, most)
	js := schema{"type": "integer", "minimum": least, "maximum": most}
	if most == math.MaxInt {
		want = fmt.Sprintf("an integer from %d up", least)
		delete(js, "maximum")
	}
	return valueKind[int]{name: "integer", want: want, js: orVariable(js), parse: func(s scalar) (int, string, bool) {
		if !s.is("!!int") {
			return 0, unquote(s), false
		}
		n, err := strconv.ParseInt(s.text, 10, 64)
		return int(n), "", err == nil && n >= int64(least) && n <= int64(most)
	}}
}

// unquote is the hint for a number written as text.
func unquote(s scalar) string {
	if _, err := strconv.ParseFloat(s.text, 64); err == nil && s.tag == "!!str" {
		return "remove the quotes"
	}
	return ""
}

// number is a finite number between two others.
func number(want string, least, most float64) valueKind[float64] {
	js := schema{"type": "number", "minimum": least}
	if !math.IsInf(most, 1) {
		js["maximum"] = most
	}
	return valueKind[float64]{name: "number", want: want, js: orVariable(js), parse: func(s scalar) (float64, string, bool) {
		if !s.is("!!int", "!!float") {
			return 0, unquote(s), false
		}
		f, err := strconv.ParseFloat(s.text, 64)
		finite := err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
		return f, "", finite && f >= least && f <= most
	}}
}

// duration reads a bare number in unit, or a number with units as Go writes them.
func duration(unit time.Duration, least time.Duration) valueKind[time.Duration] {
	count, example := "seconds", "500ms"
	if unit == time.Millisecond {
		count, example = "milliseconds", "2s"
	}
	want := fmt.Sprintf("a number of %s or a duration such as %s", count, example)
	if least > 0 {
		want = fmt.Sprintf("a number of %s or a duration such as %s, at least %v", count, example, least)
	}
	return valueKind[time.Duration]{name: "duration", want: want, js: durationSchema(),
		parse: func(s scalar) (time.Duration, string, bool) {
			if !s.is("!!int", "!!float", "!!str") {
				return 0, "", false
			}
			v, ok := parseDuration(s.text, unit)
			return v, durationHint(s.text), ok && v >= least
		}}
}

func durationHint(text string) string {
	if strings.EqualFold(text, "auto") {
		return "`auto` is for heartbeat_timeout of a worker or of `defaults`"
	}
	return ""
}

// parseDuration is exact to the nanosecond and refuses what a time.Duration
// cannot hold (about 292 years).
func parseDuration(text string, unit time.Duration) (time.Duration, bool) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		v, err := time.ParseDuration(text)
		return v, err == nil && v >= 0
	}
	if ns := f * float64(unit); ns >= 0 && ns < math.MaxInt64 {
		return time.Duration(math.Round(ns)), true
	}
	return 0, false
}

var seconds = duration(time.Second, 0)
var someSeconds = duration(time.Second, time.Millisecond)

// size is a number of bytes. All of KB, K and KiB count in 1024s, as docker and
// supervisord have it.
var size = valueKind[int64]{name: "size", want: "a size in bytes such as 100MB", js: schema{"type": []string{"integer", "string"}},
	parse: func(s scalar) (int64, string, bool) {
		n, ok := parseSize(s.text)
		return int64(n), "", ok && n > 0 && n <= math.MaxInt64
	}}

func parseSize(text string) (uint64, bool) {
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	n, err := strconv.ParseUint(text[:digits], 10, 64)
	if err != nil {
		return 0, false
	}
	unit := strings.ToUpper(strings.TrimSpace(text[digits:]))
	shift := 0
	if unit != "" && unit != "B" {
		shift = 10 * (1 + strings.IndexByte("KMGT", unit[0]))
		if rest := unit[1:]; shift == 0 || rest != "" && rest != "B" && rest != "IB" {
			return 0, false
		}
	}
	return n << shift, n<<shift>>shift == n
}
