package plain

import (
	"errors"
	"strconv"
	"strings"
	"syscall"

	"github.com/procguard/procguard/reaper/command"
	"github.com/procguard/procguard/reaper/solo"
	"github.com/procguard/procguard/supervise/config/words"
)

// own is ProcGuard under its own name, or any that is not another's.
var own = &persona{
	syntax: syntax{options: ownFlags, longs: true},
	early:  ownDefaults,
	late:   ownCheck,
	misused: func(_ *Call, what string) *Usage {
		return ownUsage("cannot do that: "+what, "procguard --help shows the flags")
	},
	missing:  ownMissing,
	line:     func(_ int, text string) (int, string) { return 2, "procguard: " + text + "\n" },
	failed:   func(err *command.Error) (int, string) { return err.Code, err.Error() },
	failCode: 125, tellsKill: true,
}

// Flag is one flag of a plain call, for help and completion.
type Flag struct {
	Name     string // without dashes
	Short    string // one letter, or ""
	Argument string // "" if it takes none
	Help     string
}

// Flags are those of `procguard [flags] [--] CMD ARG…`.
func Flags() []Flag {
	list := make([]Flag, 0, len(ownFlags))
	for _, o := range ownFlags {
		f := Flag{Name: o.long, Argument: o.arg, Help: o.help}
		if o.short != 0 {
			f.Short = string([]byte{o.short})
		}
		list = append(list, f)
	}
	return list
}

var ownFlags = []option{
	{long: "group", short: 'g', help: "send signals to the command's whole process group",
		set: func(c *Call, _ string) error { c.Options.Group = true; return nil }},
	{long: "session", help: "give the command a session of its own, and send signals to its whole group",
		set: func(c *Call, _ string) error { c.Options.Own, c.Options.Group = solo.OwnSession, true; return nil }},
	{long: "subreaper", short: 's', help: "reap orphans also where procguard is not PID 1; always on",
		set: func(c *Call, _ string) error { c.Options.Subreaper = true; return nil }},
	{long: "warn-reaped", short: 'w', help: "say when an orphan was reaped",
		set: func(c *Call, _ string) error { c.Options.WarnReaped = true; return nil }},
	{long: "parent-death", short: 'p', arg: "SIG", help: "signal to get, and pass on, when our parent dies",
		set: func(c *Call, v string) error { return setSignal(&c.Options.ParentDeath, v) }},
	{long: "remap-exit", short: 'e', arg: "CODE", help: "end with 0 when the command ends with this code; may be repeated",
		set: setRemap},
	{long: "verbose", short: 'v', help: "say more; may be repeated up to three times",
		set: func(c *Call, _ string) error { c.verbosity++; return nil }},
	{long: "rewrite", arg: "A:B", help: "pass signal A on as B, drop it if B is 0; may be repeated",
		set: setRewrite},
	{long: "stop-signal", arg: "SIG", help: "pass this on instead of TERM",
		set: func(c *Call, v string) error { return setSignal(&c.Options.StopSignal, v) }},
	{long: "grace", arg: "DUR", help: "kill everything that is left this long after TERM; a second TERM kills at once",
		set: setGrace},
	{long: "pre-stop", arg: "CMD", help: "run this before TERM is passed on, for at most the grace",
		set: setPreStop},
	{long: "kill-orphans", help: "leave nothing behind when the command has ended",
		set: func(c *Call, _ string) error { c.Options.KillOrphans = true; return nil }},
	{long: "user", arg: "USER", help: "run the command as NAME or UID, optionally with :GROUP",
		set: func(c *Call, v string) error { return setText(&c.user, v) }},
	{long: "chdir", arg: "DIR", help: "run the command in this directory",
		set: func(c *Call, v string) error { return setText(&c.Options.Dir, v) }},
	{long: "env-file", arg: "FILE", help: "add the NAME=value lines of this file to the environment; may be repeated",
		set: setEnvFile},
	{long: "pause", short: 'P', help: "run no command: reap orphans until TERM or INT",
		set: func(c *Call, _ string) error { c.Options.Pause = true; return nil }},
	{long: "license", short: 'l', help: "print the licence and exit", set: told(1, licenceText)},
}

// accepts says what each kind of argument may be.
var accepts = map[string]string{
	"SIG":  "a signal by name or number: TERM, SIGUSR1, RTMIN+3, 15",
	"CODE": "an exit code from 0 to 255",
	"A:B":  "two signals by name or number: TERM:QUIT, 15:3, or HUP:0 to drop one",
	"DUR":  "a duration or a number of seconds, more than 0: 25s, 1m30s, 0.5",
	"CMD":  `a command without shell operators: "nginx -s quit"; for those: "sh -c '…'"`,
	"USER": "a user name or uid, optionally with : and a group: nobody, 1000, app:www",
	"DIR":  "a directory",
	"FILE": "a file of NAME=value lines",
}

func ownDefaults(c *Call, _ []string) error {
	c.verbosity = 1
	c.Options.Subreaper = true
	c.Options.ListenPID = true
	return nil
}

func ownCheck(c *Call, _ []string) error {
	if c.Options.Pause && len(c.Options.Argv) > 0 {
		return ownUsage("cannot run: --pause runs no command, and there is "+strconv.Quote(c.Options.Argv[0]), "procguard --pause")
	}
	return nil
}

func ownUsage(what, hint string) *Usage {
	return &Usage{2, "procguard: " + what + "\nhint: " + hint + "\n"}
}

func ownMissing(_ *Call, s scanned) *Usage {
	if s.closed || len(s.found) == 0 {
		return ownUsage("cannot run: no command after --", "procguard -- CMD ARG…")
	}
	last := s.found[len(s.found)-1]
	return ownUsage("cannot run: no command after "+strings.TrimSpace(last.name+" "+last.value), "procguard [flags] [--] CMD ARG…")
}

func setSignal(to *syscall.Signal, text string) error {
	s, ok := parseSignal(text)
	if !ok {
		return errors.New("there is no such signal")
	}
	*to = s
	return nil
}

func setText(to *string, text string) error {
	if text == "" {
		return errors.New("it is empty")
	}
	*to = text
	return nil
}

func setRemap(c *Call, text string) error {
	n, ok := parseCode(text)
	if !ok {
		return errors.New("it is no exit code")
	}
	c.remap[n] = true
	return nil
}

func setRewrite(c *Call, text string) error {
	from, to, err := parseRewrite(text)
	if err != nil {
		return err
	}
	c.rewrite(from, to)
	return nil
}

func (c *Call) rewrite(from, to syscall.Signal) {
	if c.Options.Rewrite == nil {
		c.Options.Rewrite = map[syscall.Signal]syscall.Signal{}
	}
	c.Options.Rewrite[from] = to
}

func setGrace(c *Call, text string) error {
	d, ok := parseSeconds(text)
	if !ok {
		return errors.New("it is no such time")
	}
	c.Options.Grace = d
	return nil
}

func setPreStop(c *Call, text string) error {
	argv, err := words.Split(text)
	if err == nil && len(argv) == 0 {
		err = errors.New("it has no words")
	}
	c.Options.PreStop = argv
	return err
}

func setEnvFile(c *Call, file string) error {
	c.envFiles = append(c.envFiles, file)
	if file == "" {
		return errors.New("it is empty")
	}
	return nil
}
