package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/go-multierror"
)

// Error is one mistake at one place. Line and Col count from 1, Col in
// characters; a Line of 0 means the file as a whole.
type Error struct {
	File      string
	Line, Col int
	Path      string // such as workers[2].max_restarts; may be empty
	Msg       string // what is wrong and what was expected
	Hint      string // what to do about it; may be empty
	Err       error  // the cause, where another package reported one
}

// Error is the mistake as file:line:col: path: message; hint.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		b.WriteString(":" + strconv.Itoa(e.Line) + ":" + strconv.Itoa(e.Col))
	}
	b.WriteString(": ")
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Msg)
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// maxErrors bounds what is kept: a file of a million mistakes is wrong in one way.
const maxErrors = 500

// mistakes gathers errors. The zero value is ready for use.
type mistakes struct {
	list    []*Error
	seen    map[Error]bool
	dropped int
}

// add keeps e unless the same was said before, as happens with aliases, where
// one place in the file is read several times.
func (m *mistakes) add(e *Error) {
	key := *e
	key.Err, key.Path = nil, ""
	if m.seen[key] {
		return
	}
	if len(m.list) == maxErrors {
		m.dropped++
		return
	}
	if m.seen == nil {
		m.seen = map[Error]bool{}
	}
	m.seen[key] = true
	m.list = append(m.list, e)
}

// err is nil, or everything gathered in one multierror in order of position.
func (m *mistakes) err(file string) error {
	if len(m.list) == 0 {
		return nil
	}
	slices.SortStableFunc(m.list, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Col, b.Col), cmp.Compare(a.Msg, b.Msg))
	})
	all := &multierror.Error{ErrorFormat: lines}
	for _, e := range m.list {
		all.Errors = append(all.Errors, e)
	}
	if m.dropped > 0 {
		all.Errors = append(all.Errors, &Error{File: file, Msg: fmt.Sprintf("and %d more mistakes", m.dropped)})
	}
	return all
}

func lines(errs []error) string {
	text := make([]string, len(errs))
	for i, e := range errs {
		text[i] = e.Error()
	}
	return strings.Join(text, "\n")
}
