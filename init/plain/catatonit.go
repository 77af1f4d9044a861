package plain

import (
	"fmt"
	"os"

	"github.com/procguard/procguard/reaper/command"
)

// catatonit is catatonit 0.1.7, as Debian has it.
var catatonit = &persona{
	names:    []string{"catatonit"},
	syntax:   syntax{options: catatonitFlags, longs: true, abbrev: true},
	permuted: true,
	title:    "tini version 0.1.7_catatonit", // so it calls itself, for docker
	variables: [][2]string{
		{"CATATONIT_DEBUG", "if set: say what is done"},
	},
	early:   catatonitDefaults,
	late:    func(*Call, []string) error { return nil },
	misused: func(c *Call, what string) *Usage { return &Usage{1, c.argv0 + ": " + what + "\n" + c.as.shortHelp(c)} },
	missing: func(c *Call, _ scanned) *Usage { return catatonitBad("missing program name", c.as.shortHelp(c)) },
	line:    catatonitLine,
	failed: func(err *command.Error) (int, string) {
		return 1, "failed to exec pid1: " + err.Argv0 + ": " + cError(err.Err)
	},
	failCode: 1, shell: true,
}

var catatonitFlags = []option{
	{short: 'g', help: "send signals to the child's process group", set: func(c *Call, _ string) error { c.Options.Group = true; return nil }},
	{short: 'h', help: "print this and exit", set: told(2, func(c *Call) string { return c.as.help(c) })},
	{short: 'L', help: "print the licence and exit", set: told(1, licenceText)},
	{short: 'P', help: "run nothing: reap orphans until TERM or INT", set: func(c *Call, _ string) error { c.Options.Pause = true; return nil }},
	{long: "version", short: 'V', help: "print the version and exit", set: tellVersion},
}

func catatonitDefaults(c *Call, env []string) error {
	if _, set := getenv(env, "CATATONIT_LOG"); set {
		return catatonitBad("CATATONIT_LOG is kept for later", "")
	}
	if _, set := getenv(env, "CATATONIT_DEBUG"); set {
		c.verbosity = 4
	}
	c.Options.Subreaper = true
	c.Options.ListenPID = true
	return nil
}

func catatonitBad(what, then string) *Usage {
	_, line := catatonitLine(0, what)
	return &Usage{1, line + then}
}

var catatonitLevels = []string{"ERROR", "WARN", "INFO", "DEBUG", "DEBUG"}

func catatonitLine(level int, text string) (int, string) {
	return 2, fmt.Sprintf("%s (catatonit:%d): %s\n", catatonitLevels[min(level, 4)], os.Getpid(), text)
}
