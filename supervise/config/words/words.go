// Package words splits a command line as a shell would, without a shell. The configuration and
// the plain init share it.
package words

import (
	"fmt"
	"strings"
)

// Split splits a command as a POSIX shell splits a simple command, and stops at
// what only a shell could carry out. A dollar sign is a plain character.
//
// Libraries for this drop the backslash of "\n" inside double quotes and keep
// the line break of a continued line, so `python3 -c "print('a\n')"` and commands
// over several lines would reach the program changed.
func Split(text string) ([]string, error) {
	s := splitter{text: text}
	for s.i < len(text) {
		if err := s.step(); err != nil {
			return nil, err
		}
	}
	s.end()
	return s.list, nil
}

type splitter struct {
	text   string
	i      int
	word   strings.Builder
	inWord bool // also for an empty word in quotes
	list   []string
}

func (s *splitter) end() {
	if s.inWord {
		s.list = append(s.list, s.word.String())
		s.word.Reset()
		s.inWord = false
	}
}

func (s *splitter) put(c byte) {
	s.word.WriteByte(c)
	s.inWord = true
}

// step takes one character, or one quoted part.
func (s *splitter) step() error {
	c := s.text[s.i]
	s.i++
	switch c {
	case ' ', '\t', '\n', '\r':
		s.end()
	case '#':
		if s.inWord {
			s.put(c)
			return nil
		}
		s.comment()
	case '\'':
		return s.single()
	case '"':
		return s.double()
	case '\\':
		s.escape()
	case '|', '&', ';', '<', '>', '(', ')', '`':
		return fmt.Errorf("%q means something to a shell only", s.operator(c))
	default:
		if c == '$' && strings.HasPrefix(s.text[s.i:], "(") {
			return fmt.Errorf("%q means something to a shell only", "$(")
		}
		s.put(c)
	}
	return nil
}

func (s *splitter) operator(c byte) string {
	if s.i < len(s.text) && s.text[s.i] == c {
		return string([]byte{c, c})
	}
	return string([]byte{c})
}

func (s *splitter) comment() {
	if n := strings.IndexByte(s.text[s.i:], '\n'); n >= 0 {
		s.i += n
		return
	}
	s.i = len(s.text)
}

func (s *splitter) single() error {
	n := strings.IndexByte(s.text[s.i:], '\'')
	if n < 0 {
		return fmt.Errorf("a ' quote is not closed")
	}
	s.word.WriteString(s.text[s.i : s.i+n])
	s.inWord = true
	s.i += n + 1
	return nil
}

// double reads up to the closing quote. Only $ ` " \ and a line break lose the
// backslash before them.
func (s *splitter) double() error {
	s.inWord = true
	for s.i < len(s.text) {
		c := s.text[s.i]
		s.i++
		switch {
		case c == '"':
			return nil
		case c == '`' || c == '$' && strings.HasPrefix(s.text[s.i:], "("):
			return fmt.Errorf("a command in \"%c\" means something to a shell only", c)
		case c == '\\' && s.i < len(s.text) && strings.IndexByte("$`\"\\\n", s.text[s.i]) >= 0:
			if s.text[s.i] != '\n' {
				s.put(s.text[s.i])
			}
			s.i++
		default:
			s.put(c)
		}
	}
	return fmt.Errorf("a \" quote is not closed")
}

// escape takes the character after a backslash as it is. A line break after one
// is not there at all; at the very end the backslash stands for itself.
func (s *splitter) escape() {
	if s.i == len(s.text) {
		s.put('\\')
		return
	}
	if s.text[s.i] != '\n' {
		s.put(s.text[s.i])
	}
	s.i++
}
