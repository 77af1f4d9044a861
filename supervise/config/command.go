package config

import (
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/procguard/procguard/supervise/config/words"
)

// commandText is a command as written; what it comes to depends on `shell`.
type commandText struct {
	at   cursor
	text string
	list []string // when written as a list
}

type commandKind struct{}

func (commandKind) label() string { return "string or list" }

func (commandKind) decode(d *decoder, c cursor, dst any) {
	out := dst.(*commandText)
	const want = "a command, or a list of its words"
	if c.target().Kind != yaml.SequenceNode {
		if s, ok := someCommand(d, c, want); ok {
			*out = commandText{at: c, text: s}
		}
		return
	}
	list := make([]string, 0, len(c.target().Content))
	for _, item := range d.items(c, want) {
		var word string
		anyText.decode(d, item, &word)
		list = append(list, word)
	}
	if len(list) == 0 || list[0] == "" && !isNull(c.target().Content[0]) {
		d.fail(c, "", "expected %s, got a list without a command", want)
		return
	}
	*out = commandText{at: c, list: list}
}

func someCommand(d *decoder, c cursor, want string) (string, bool) {
	s, ok := d.scalar(c, want)
	if ok && (s.tag == "!!bool" || strings.TrimSpace(s.text) == "") && !isNull(c.target()) {
		d.fail(c, "", "expected %s, got %s", want, describeScalar(c, s))
		return "", false
	}
	return s.text, ok
}

// argv is the command to execute.
func (t commandText) argv(d *decoder, shell bool) []string {
	switch {
	case t.at.node == nil:
		return nil
	case shell && t.list != nil:
		d.fail(t.at, "write the command as one string, or remove `shell`", "a list of words needs no shell")
		return nil
	case shell:
		return []string{"/bin/sh", "-c", t.text}
	case t.list != nil:
		return t.list
	}
	list, err := words.Split(t.text)
	if err == nil && len(list) == 0 {
		d.fail(t.at, "", "expected a command, got only a comment")
	} else if err != nil {
		hint := "close the quote"
		if strings.Contains(err.Error(), "shell") {
			hint = "add `shell: true`, or put it in quotes for the command"
		}
		d.fail(t.at, hint, "cannot split the command: %v", err)
	} else if name, _, ok := strings.Cut(list[0], "="); ok && isVarName(name) {
		d.fail(t.at, "put it under `env`, or add `shell: true`", "the command starts with an assignment, which only a shell understands")
	}
	return list
}

// execKind is a command without a shell of its own, such as a check's.
type execKind struct{ commandKind }

func (k execKind) decode(d *decoder, c cursor, dst any) {
	var t commandText
	k.commandKind.decode(d, c, &t)
	*dst.(*[]string) = t.argv(d, false)
}
