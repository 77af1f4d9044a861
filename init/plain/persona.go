package plain

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/procguard/procguard/reaper/command"
)

// persona is a program whose name we are called by.
type persona struct {
	names []string // base names of argv[0]
	syntax
	// permuted: its getopt takes options from among the command's words, and drops
	// the first -- there. We take none from there, or `tini sh -c x` would lose its
	// -c; but `tini CMD -- ARG`, which its users were told to write, means CMD ARG.
	permuted  bool
	title     string      // of --version, as scripts look for it
	alone     bool        // --version counts where it is the only argument
	variables [][2]string // for help: name, meaning

	early   func(c *Call, env []string) error // defaults, before the flags
	late    func(c *Call, env []string) error // environment that goes over the flags
	misused func(c *Call, what string) *Usage // an option that cannot be read
	missing func(c *Call, s scanned) *Usage   // no command
	// line forms a message: where it goes, and how it looks.
	line func(level int, text string) (fd int, line string)
	// failed gives the exit code of a command that could not be started, and what
	// is said about it, at level 0.
	failed    func(err *command.Error) (code int, text string)
	failCode  int  // could not go on, for another reason
	asCommand bool // a failure to start is an exit of the command: remapped as well
	shell     bool // as execvp(3) does, give what is neither a program nor a script with #! to sh
	tellsKill bool // says which signal ended the command
}

var others = []*persona{tini, dumbInit, catatonit}

func personaOf(argv0 string) *persona {
	name := baseName(argv0)
	for _, p := range others {
		if slices.Contains(p.names, name) {
			return p
		}
	}
	return own
}

// fill makes a call of what was scanned; bad is why it was not scanned to the end.
// Options act in their order: -h before a wrong one still helps.
func (p *persona) fill(c *Call, s scanned, bad error, env []string) error {
	if err := p.early(c, env); err != nil {
		return err
	}
	for _, g := range s.found {
		if err := g.set(c, g.value); err != nil {
			return p.refuse(c, g, err)
		}
		if c.show != nil {
			return nil
		}
	}
	if bad != nil {
		return p.misused(c, bad.Error())
	}
	_, posix := getenv(env, "POSIXLY_CORRECT")
	if p.permuted && !s.closed && !posix {
		s.rest = unpermute(s.rest)
	}
	if len(s.rest) == 0 && !c.Options.Pause {
		return p.missing(c, s)
	}
	c.Options.Argv = s.rest
	return p.late(c, env)
}

// refuse lets an option's own usage error pass, and words any other.
func (p *persona) refuse(c *Call, g given, err error) error {
	if u, ok := err.(*Usage); ok {
		return u
	}
	return &Usage{2, "procguard: cannot use " + g.name + " " + strconv.Quote(g.value) + ": " + err.Error() + "\n" +
		"hint: " + g.name + " takes " + accepts[g.arg] + "\n"}
}

// unpermute drops the first -- from the words of a command, if no option comes
// before it: those would have been the other program's.
func unpermute(argv []string) []string {
	for i, word := range argv {
		if word == "--" {
			return slices.Delete(slices.Clone(argv), i, i+1)
		}
		if isOption(word) {
			break
		}
	}
	return argv
}

// fullTitle is what --version prints: first what scripts look for, then who we are.
func (p *persona) fullTitle() string { return p.title + " (procguard " + Version + ")" }

// help is made from the table of options.
func (p *persona) help(c *Call) string {
	var b strings.Builder
	b.WriteString(p.fullTitle() + "\n" + p.shortHelp(c) + "\n")
	for _, o := range p.options {
		b.WriteString(o.line())
	}
	for i, v := range p.variables {
		if i == 0 {
			b.WriteString("\nenvironment:\n")
		}
		b.WriteString("  " + pad(v[0], 26) + v[1] + "\n")
	}
	return b.String()
}

func (p *persona) shortHelp(c *Call) string {
	return "usage: " + baseName(c.argv0) + " [flags] [--] CMD [ARG...]\n"
}

// line is an option's line of help.
func (o *option) line() string {
	names := "    "
	if o.short != 0 {
		names = "-" + string([]byte{o.short})
		if o.long != "" {
			names += ", "
		}
	}
	if o.long != "" {
		names += "--" + o.long
	}
	if o.arg != "" {
		names += " " + o.arg
	}
	return "  " + pad(names, 26) + o.help + "\n"
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(width-len(s), 1))
}

// told is a flag that prints something and ends with 0.
func told(fd int, text func(c *Call) string) func(*Call, string) error {
	return func(c *Call, _ string) error {
		c.show = &show{fd, text(c)}
		return nil
	}
}

var tellVersion = told(1, func(c *Call) string { return c.as.fullTitle() + "\n" })

func licenceText(*Call) string { return licence }

// cError is strerror(3): with a capital.
func cError(err error) string {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return fmt.Sprint(err)
	}
	text := errno.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}
