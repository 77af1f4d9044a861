package plain

import (
	"strings"
	"syscall"

	"github.com/procguard/procguard/reaper/command"
	"github.com/procguard/procguard/reaper/solo"
)

// dumbInit is dumb-init 1.2.5, as Debian has it.
var dumbInit = &persona{
	names:  []string{"dumb-init"},
	syntax: syntax{options: dumbInitFlags, longs: true, abbrev: true},
	title:  "dumb-init v1.2.5",
	variables: [][2]string{
		{"DUMB_INIT_DEBUG", "1: as --verbose"},
		{"DUMB_INIT_SETSID", "0: as --single-child"},
	},
	early: func(c *Call, _ []string) error {
		c.Options.Own, c.Options.Group = solo.OwnSession, true
		return nil
	},
	late:    dumbInitVariables,
	misused: func(c *Call, what string) *Usage { return &Usage{1, c.argv0 + ": " + what + "\n"} },
	missing: func(c *Call, _ scanned) *Usage {
		return &Usage{1, c.as.shortHelp(c) + c.argv0 + " --help shows the flags\n"}
	},
	line:     func(_ int, text string) (int, string) { return 2, "[dumb-init] " + text + "\n" },
	failed:   dumbInitFailed,
	failCode: 1, shell: true,
}

var dumbInitFlags = []option{
	{long: "help", short: 'h', help: "print this and exit", set: told(2, func(c *Call) string { return c.as.help(c) })},
	{long: "single-child", short: 'c', help: "make no session, send signals to the child alone", set: singleChild},
	{long: "rewrite", short: 'r', arg: "s:r", help: "pass signal s on as r, drop it if r is 0; may be repeated", set: dumbInitRewrite},
	{long: "verbose", short: 'v', help: "say what is done, on standard error", set: func(c *Call, _ string) error { c.verbosity = 4; return nil }},
	{long: "version", short: 'V', help: "print the version and exit", set: told(2, func(c *Call) string { return c.as.fullTitle() + "\n" })},
}

func singleChild(c *Call, _ string) error {
	c.Options.Own, c.Options.Group = solo.OwnNothing, false
	return nil
}

// dumbInitRewrite reads as scanf(3) reads %d:%d, so what follows does not matter.
func dumbInitRewrite(c *Call, text string) error {
	from, rest, ok1 := cNumber(text)
	rest, colon := strings.CutPrefix(rest, ":")
	to, _, ok2 := cNumber(rest)
	if !ok1 || !colon || !ok2 || from < 1 || from > 31 || to < 0 || to > 31 {
		return &Usage{1, "usage: -r takes SIGNAL:SIGNAL, two numbers from 1 to 31, or 0 for the second\n" +
			"It may be repeated. --help shows all flags.\n"}
	}
	c.rewrite(syscall.Signal(from), syscall.Signal(to))
	return nil
}

// dumbInitVariables also settles what depends on the mode. In a session of its own
// a child has no shell that could continue it after a TSTP, but it could ignore one,
// so it gets a STOP. When it has ended, its session gets a TERM, which is rewritten
// like any other.
func dumbInitVariables(c *Call, env []string) error {
	if v, _ := getenv(env, "DUMB_INIT_DEBUG"); v == "1" {
		c.verbosity = 4
	}
	if v, _ := getenv(env, "DUMB_INIT_SETSID"); v == "0" {
		_ = singleChild(c, "")
	}
	if c.Options.Own != solo.OwnSession {
		return nil
	}
	for _, s := range []syscall.Signal{syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU} {
		if _, given := c.Options.Rewrite[s]; !given {
			c.rewrite(s, syscall.SIGSTOP)
		}
	}
	c.Options.Farewell = syscall.SIGTERM
	if to, given := c.Options.Rewrite[syscall.SIGTERM]; given {
		c.Options.Farewell = to
	}
	return nil
}

func dumbInitFailed(err *command.Error) (int, string) {
	code := 2
	if err.Kind == command.NoResources || err.Kind == command.Denied {
		code = 1
	}
	return code, err.Argv0 + ": " + cError(err.Err)
}
