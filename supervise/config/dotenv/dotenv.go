package dotenv

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"
)

// MaxSize bounds an env file, in bytes; the kernel takes no more than a few
// megabytes of environment in any case.
const MaxSize = 1 << 20

// Var is one definition.
type Var struct{ Name, Value string }

// Mistake is what is wrong with one line, counted from 1; a Line of 0 means the
// file as a whole.
type Mistake struct {
	Line int
	Msg  string
}

// Read reads a plain file of at most MaxSize bytes. A FIFO or device would block the start.
func Read(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a plain file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err == nil && len(data) > MaxSize {
		err = fmt.Errorf("%s is larger than %d bytes", path, MaxSize)
	}
	return data, err
}

// Parse reads lines of NAME=value. Blank lines and lines starting with # are
// skipped, a leading `export` is allowed. A value may stand in single quotes (taken
// as it is) or double quotes (\n \t \r \" \\ and \$ are understood), and may then
// go over several lines; without quotes it ends at " #" or the end of the line.
// Variables are not expanded. refuse says why a name is not to be set, "" if it
// may be; nil refuses none.
func Parse(data []byte, refuse func(name string) string) (vars []Var, bad []Mistake) {
	text := strings.ReplaceAll(strings.TrimPrefix(string(data), "\ufeff"), "\r\n", "\n")
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return nil, []Mistake{{Msg: "the env file holds a NUL byte or is not valid UTF-8"}}
	}
	for line := 1; text != ""; {
		v, used, msg := define(text, refuse)
		if msg != "" {
			bad = append(bad, Mistake{line, msg})
		} else if v.Name != "" {
			vars = append(vars, v)
		}
		line += strings.Count(text[:used], "\n")
		text = text[used:]
	}
	return vars, bad
}

// define reads one definition from the start of text, and says how much of
// text it took: whole lines, and at least one.
func define(text string, refuse func(string) string) (v Var, used int, msg string) {
	first, _, _ := strings.Cut(text, "\n")
	used = min(len(first)+1, len(text))
	line := strings.TrimSpace(first)
	if line == "" || line[0] == '#' {
		return Var{}, used, ""
	}
	name, raw, ok := strings.Cut(line, "=")
	name = strings.TrimSpace(strings.TrimPrefix(name, "export "))
	if !ok || !IsName(name) {
		return Var{}, used, "expected NAME=value, got " + fmt.Sprintf("%q", Clip(line))
	}
	if refuse != nil && refuse(name) != "" {
		return Var{}, used, name + ": " + refuse(name)
	}
	raw = strings.TrimSpace(raw)
	if raw == "" || raw[0] != '"' && raw[0] != '\'' {
		return Var{name, unquoted(raw)}, used, ""
	}
	start := strings.Index(text, "=") + 1
	start += strings.IndexByte(text[start:], raw[0])
	value, end, msg := quoted(text[start:])
	if msg != "" {
		return Var{}, used, name + ": " + msg
	}
	return restOfLine(Var{name, value}, text, start+end)
}

// restOfLine checks what follows a closing quote: nothing, or a comment.
func restOfLine(v Var, text string, from int) (Var, int, string) {
	rest, _, _ := strings.Cut(text[from:], "\n")
	used := min(from+len(rest)+1, len(text))
	if rest = strings.TrimSpace(rest); rest != "" && rest[0] != '#' {
		return Var{}, used, v.Name + ": text after the closing quote"
	}
	return v, used, ""
}

func unquoted(raw string) string {
	if i := strings.IndexByte(raw, '#'); i == 0 {
		return ""
	}
	for i := 1; i < len(raw); i++ {
		if raw[i] == '#' && (raw[i-1] == ' ' || raw[i-1] == '\t') {
			return strings.TrimSpace(raw[:i])
		}
	}
	return raw
}

// quoted reads text from its opening quote; end is just after the closing one.
func quoted(text string) (value string, end int, msg string) {
	quote := text[0]
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == quote:
			return b.String(), i + 1, ""
		case c == '\\' && quote == '"' && i+1 < len(text):
			i++
			b.WriteString(unescape(text[i]))
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, fmt.Sprintf("the %c quote is not closed", quote)
}

func unescape(c byte) string {
	switch c {
	case 'n':
		return "\n"
	case 't':
		return "\t"
	case 'r':
		return "\r"
	case '"', '\\', '$':
		return string([]byte{c})
	}
	return string([]byte{'\\', c})
}

// IsName says whether s can be the name of a shell's variable: letters, digits and
// underscores, with no digit first.
func IsName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// Clip shortens text taken from a file for use in a message.
func Clip(s string) string {
	const most = 60
	n := 0
	for i := range s {
		if n++; n > most {
			return s[:i] + "…"
		}
	}
	return s
}
