package config

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"
)

// maxEnvFile bounds an env file, in bytes; the kernel takes no more than a few
// megabytes of environment in any case.
const maxEnvFile = 1 << 20

type envVar struct{ name, value string }

// envFile reads a file of variables once per load, however many workers name it.
func (d *decoder) envFile(f located) []envVar {
	path := d.beside(f.text)
	if vars, known := d.dot[path]; known {
		return vars
	}
	data, err := readEnvFile(path)
	if err != nil {
		d.fail(f.at, "", "cannot read the env file: %v", err)
	}
	vars, mistakes := parseDotenv(path, data)
	for _, m := range mistakes {
		d.bad.add(m)
	}
	if d.dot == nil {
		d.dot = map[string][]envVar{}
	}
	d.dot[path] = vars
	return vars
}

// readEnvFile reads a plain file. A FIFO or device would block the start.
func readEnvFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a plain file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxEnvFile+1))
	if err == nil && len(data) > maxEnvFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxEnvFile)
	}
	return data, err
}

// parseDotenv reads lines of NAME=value. Blank lines and lines starting with # are
// skipped, a leading `export` is allowed. A value may stand in single quotes (taken
// as it is) or double quotes (\n \t \r \" \\ and \$ are understood), and may then
// go over several lines; without quotes it ends at " #" or the end of the line.
// Variables are not expanded.
func parseDotenv(file string, data []byte) (vars []envVar, bad []*Error) {
	text := strings.ReplaceAll(strings.TrimPrefix(string(data), "\ufeff"), "\r\n", "\n")
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return nil, []*Error{{File: file, Msg: "the env file holds a NUL byte or is not valid UTF-8"}}
	}
	for line := 1; text != ""; {
		v, used, msg := dotenvLine(text)
		if msg != "" {
			bad = append(bad, &Error{File: file, Line: line, Col: 1, Msg: msg})
		} else if v.name != "" {
			vars = append(vars, v)
		}
		line += strings.Count(text[:used], "\n")
		text = text[used:]
	}
	return vars, bad
}

// dotenvLine reads one definition from the start of text, and says how much of
// text it took: whole lines, and at least one.
func dotenvLine(text string) (v envVar, used int, msg string) {
	first, _, _ := strings.Cut(text, "\n")
	used = min(len(first)+1, len(text))
	line := strings.TrimSpace(first)
	if line == "" || line[0] == '#' {
		return envVar{}, used, ""
	}
	name, raw, ok := strings.Cut(line, "=")
	name = strings.TrimSpace(strings.TrimPrefix(name, "export "))
	if !ok || !isVarName(name) {
		return envVar{}, used, "expected NAME=value, got " + fmt.Sprintf("%q", clip(line))
	}
	if why := badEnvName(name); why != "" {
		return envVar{}, used, name + ": " + why
	}
	raw = strings.TrimSpace(raw)
	if raw == "" || raw[0] != '"' && raw[0] != '\'' {
		return envVar{name, unquoted(raw)}, used, ""
	}
	start := strings.Index(text, "=") + 1
	start += strings.IndexByte(text[start:], raw[0])
	value, end, msg := quoted(text[start:])
	if msg != "" {
		return envVar{}, used, name + ": " + msg
	}
	return restOfLine(envVar{name, value}, text, start+end)
}

// restOfLine checks what follows a closing quote: nothing, or a comment.
func restOfLine(v envVar, text string, from int) (envVar, int, string) {
	rest, _, _ := strings.Cut(text[from:], "\n")
	used := min(from+len(rest)+1, len(text))
	if rest = strings.TrimSpace(rest); rest != "" && rest[0] != '#' {
		return envVar{}, used, v.name + ": text after the closing quote"
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
