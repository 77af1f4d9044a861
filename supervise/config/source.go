package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// MaxFileSize is the largest file that is read, in bytes. Five thousand workers
// of twenty lines each stay well below it.
const MaxFileSize = 4 << 20

// readFile reads a config file. Pipes are read too, so that a shell's <(...) works.
func readFile(path string) ([]byte, *Error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, ioError(path, err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, ioError(path, err)
	}
	if st.IsDir() {
		return nil, &Error{File: path, Msg: "is a directory, expected a file"}
	}
	if st.Mode().IsRegular() && st.Size() > MaxFileSize {
		return nil, tooLarge(path, st.Size())
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxFileSize+1))
	if err != nil {
		return nil, ioError(path, err)
	}
	return data, nil
}

func ioError(path string, err error) *Error {
	var pe *fs.PathError
	cause := err
	if errors.As(err, &pe) {
		cause = pe.Err
	}
	return &Error{File: path, Msg: "cannot read: " + cause.Error(), Err: err}
}

func tooLarge(path string, size int64) *Error {
	return &Error{File: path, Msg: fmt.Sprintf("the file is too large: %d bytes, at most %d are read", size, MaxFileSize)}
}

// checkBytes finds what YAML has no place for, before the YAML parser (which
// names no position for it) sees it.
func checkBytes(name string, data []byte) *Error {
	if len(data) > MaxFileSize {
		return tooLarge(name, int64(len(data)))
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return &Error{File: name, Msg: "the file is empty; expected at least `workers:` with one worker"}
	}
	line, col := 1, 1
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if msg := badRune(r, n); msg != "" {
			return &Error{File: name, Line: line, Col: col, Msg: msg}
		}
		i += n
		col++
		if r == '\n' {
			line, col = line+1, 1
		}
	}
	return nil
}

func badRune(r rune, size int) string {
	switch {
	case r == utf8.RuneError && size == 1:
		return "the file is not valid UTF-8 here"
	case r == 0:
		return "the file contains a NUL byte here"
	case r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0x7f, r == 0xfffe, r == 0xffff:
		return fmt.Sprintf("the file contains the control character U+%04X here", r)
	}
	return ""
}

// parseTree is the YAML parser with its corners rounded: one document, no panic,
// errors with a position.
func parseTree(name string, data []byte) (*yaml.Node, *Error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	err := decodeNode(dec, &doc)
	if err == io.EOF || err == nil && isNull(doc.Content[0]) {
		return nil, &Error{File: name, Msg: "the file holds only comments; expected at least `workers:` with one worker"}
	}
	if err == nil {
		err = decodeNode(dec, &second)
		if err == nil {
			return nil, &Error{File: name, Line: second.Line, Col: second.Column,
				Msg: "a second YAML document starts here; only one is allowed"}
		}
	}
	if err != io.EOF {
		return nil, syntaxError(name, data, err)
	}
	return doc.Content[0], nil
}

// decodeNode guards against yaml.v3, which panics on some malformed input.
func decodeNode(dec *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: %v", r)
		}
	}()
	return dec.Decode(n)
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

// maxBisect bounds the files whose syntax errors are located by parsing prefixes
// of them; larger ones keep the YAML parser's own, vaguer line.
const maxBisect = 256 << 10

// syntaxError places a YAML error. The parser reports where the enclosing block
// began, if anything at all; the line that broke it is the first one with which
// the text fails in the same way.
func syntaxError(name string, data []byte, err error) *Error {
	line, msg := splitYAMLError(err)
	rows := bytes.SplitAfter(data, []byte("\n"))
	if len(data) <= maxBisect {
		line = firstFailing(rows, max(0, line-2), msg)
	}
	e := &Error{File: name, Line: min(max(line, 1), len(rows)), Msg: "not valid YAML: " + msg, Err: err}
	e.Col, e.Hint = explain(string(rows[e.Line-1]), msg)
	return e
}

// explain finds the column in a row that YAML cannot read, and what to do there.
func explain(row, msg string) (col int, hint string) {
	text := strings.TrimLeft(row, " \t")
	blank := row[:len(row)-len(text)]
	if tab := strings.Index(blank, "\t"); tab >= 0 {
		return tab + 1, "indent with spaces, not tabs"
	}
	col = 1
	if strings.TrimSpace(row) != "" {
		col += len(blank)
	}
	switch {
	case strings.HasPrefix(msg, "unknown anchor '"):
		name := strings.Split(msg, "'")[1]
		if i := strings.Index(row, "*"+name); i >= 0 {
			col = utf8.RuneCountInString(row[:i]) + 1
		}
	case strings.HasPrefix(msg, "mapping values are not allowed"):
		hint = "put text that contains a colon in quotes"
	case strings.HasPrefix(msg, "found unexpected end of stream"):
		hint = "a quote is not closed"
	case strings.Contains(msg, "',' or"):
		hint = "a bracket is not closed, or a comma is missing"
	case strings.HasPrefix(msg, "did not find expected"):
		hint = "compare the indentation with the lines above"
	}
	return col, hint
}

// splitYAMLError takes "yaml: line 3: message" apart. Without a line it is 0.
func splitYAMLError(err error) (line int, msg string) {
	msg = strings.TrimPrefix(err.Error(), "yaml: ")
	if n, scanErr := fmt.Sscanf(msg, "line %d:", &line); n == 1 && scanErr == nil {
		_, msg, _ = strings.Cut(msg, ": ")
	}
	return line, msg
}

// firstFailing is the number of a line with which the text fails as msg says,
// and without which it does not.
func firstFailing(rows [][]byte, good int, msg string) int {
	bad := len(rows)
	for bad-good > 1 {
		mid := (good + bad) / 2
		var n yaml.Node
		err := decodeNode(yaml.NewDecoder(bytes.NewReader(bytes.Join(rows[:mid], nil))), &n)
		if err != nil && strings.HasSuffix(err.Error(), msg) {
			bad = mid
		} else {
			good = mid
		}
	}
	return bad
}
