package plain

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/command"
)

// tini is tini 0.19.0, as Debian has it.
var tini = &persona{
	names:    []string{"tini", "tini-static", "docker-init"},
	syntax:   syntax{options: tiniFlags},
	permuted: true,
	title:    "tini version 0.19.0",
	alone:    true,
	variables: [][2]string{
		{"TINI_SUBREAPER", "if set: as -s"},
		{"TINI_VERBOSITY", "how much to say, from 0 to 4 (1)"},
		{"TINI_KILL_PROCESS_GROUP", "if set: as -g"},
	},
	early:    func(c *Call, _ []string) error { c.verbosity = 1; return nil },
	late:     tiniVariables,
	misused:  tiniMisused,
	missing:  func(c *Call, _ scanned) *Usage { return &Usage{1, c.as.help(c)} },
	line:     tiniLine,
	failed:   tiniFailed,
	failCode: 1, asCommand: true, shell: true,
}

// tiniFlags leave --version out: it counts only where it is alone.
var tiniFlags = []option{
	{short: 'h', help: "print this and exit", set: told(1, func(c *Call) string { return c.as.help(c) })},
	{short: 's', help: "reap orphans also when not PID 1", set: func(c *Call, _ string) error { c.Options.Subreaper = true; return nil }},
	{short: 'p', arg: "SIGNAL", help: "signal to get when the parent dies, such as SIGKILL", set: tiniParentDeath},
	{short: 'v', help: "say more; may be repeated", set: func(c *Call, _ string) error { c.verbosity++; return nil }},
	{short: 'w', help: "warn when an orphan was reaped", set: func(c *Call, _ string) error { c.Options.WarnReaped = true; return nil }},
	{short: 'g', help: "send signals to the child's process group", set: func(c *Call, _ string) error { c.Options.Group = true; return nil }},
	{short: 'e', arg: "EXIT_CODE", help: "end with 0 instead of this code; may be repeated", set: tiniRemap},
	{short: 'l', help: "print the licence and exit", set: told(1, licenceText)},
}

func tiniBad(option, value string) *Usage {
	_, line := tiniLine(0, "Not a valid option for "+option+": "+value)
	return &Usage{1, line}
}

// tiniParentDeath takes the names that tini has a table of: in capitals, with SIG,
// and not all of them.
func tiniParentDeath(c *Call, text string) error {
	s := unix.SignalNum(text)
	switch s {
	case 0, syscall.SIGSTKFLT, syscall.SIGIO, syscall.SIGPWR:
		return tiniBad("-p", text)
	}
	c.Options.ParentDeath = s
	return nil
}

// tiniRemap reads as strtol(3) does; an empty text is 0.
func tiniRemap(c *Call, text string) error {
	n, rest, _ := cNumber(text)
	if rest != "" || n < 0 || n > 255 {
		return tiniBad("-e", text)
	}
	c.remap[n] = true
	return nil
}

// tiniVariables go over the flags, except that none switches anything off.
func tiniVariables(c *Call, env []string) error {
	if _, set := getenv(env, "TINI_SUBREAPER"); set {
		c.Options.Subreaper = true
	}
	if _, set := getenv(env, "TINI_KILL_PROCESS_GROUP"); set {
		c.Options.Group = true
	}
	if text, set := getenv(env, "TINI_VERBOSITY"); set {
		if c.verbosity, _, _ = cNumber(text); c.verbosity < 0 {
			c.verbosity = 4 // tini's number has no sign
		}
	}
	return nil
}

func tiniMisused(c *Call, what string) *Usage {
	return &Usage{1, c.argv0 + ": " + what + "\n" + c.as.help(c)}
}

var tiniLevels = []string{"FATAL", "WARN ", "INFO ", "DEBUG", "TRACE"}

func tiniLine(level int, text string) (int, string) {
	fd := 2
	if level > 1 {
		fd = 1
	}
	return fd, fmt.Sprintf("[%s tini (%d)] %s\n", tiniLevels[min(level, 4)], os.Getpid(), text)
}

func tiniFailed(err *command.Error) (int, string) {
	code := 1
	switch {
	case errors.Is(err.Err, syscall.ENOENT):
		code = 127
	case errors.Is(err.Err, syscall.EACCES):
		code = 126
	}
	return code, "exec " + err.Argv0 + " failed: " + cError(err.Err) + ": " + strings.TrimPrefix(err.Error(), "cannot run ")
}

// reapsNothing says whether orphans will go to somebody else.
func reapsNothing() bool {
	var is int32
	_ = unix.Prctl(unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&is)), 0, 0, 0)
	return os.Getpid() != 1 && is == 0
}
