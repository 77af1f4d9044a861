package main

import (
	"os"
	"strings"
	"syscall"
	"time"
)

func requestRows() []row {
	return []row{
		{name: "rewrite a signal", run: rewrites, means: "15 to 3 (`-r`, `--rewrite`): QUIT reaches the command in place of TERM."},
		{name: "drop a signal", run: drops, means: "15 to 0: TERM does not reach it."},
		{name: "remap an exit code", run: remaps, means: "`-e 143`: 0 after TERM."},
		{name: "warn of what is reaped", run: warnsReaped, means: "`-w`: standard error names what was reaped beside the command."},
		{name: "verbose", run: verbose, means: "`-v`: it says what goes on, on standard error; the cell says if it is standard output instead."},
		{name: "grace period", run: graceKills, means: "`--grace 300ms`: KILL some time after a TERM that has no effect."},
		{name: "second TERM kills", run: secondTerm, means: "`--grace 60s`: a second TERM does not wait for its end."},
		{name: "command before the stop", run: beforeStop, means: "`--pre-stop CMD`: run to its end before the command gets TERM."},
		{name: "stop signal", run: otherStop, means: "`--stop-signal INT`: what the command gets for TERM."},
		{name: "kill what is left", run: killsLeft, means: "`--kill-orphans`, not PID 1: a process in a session of its own does not survive the command."},
		{name: "user", run: otherUser, means: "`--user 1000`: the command runs as uid and gid 1000."},
		{name: "directory", run: otherDir, means: "`--chdir DIR`."},
		{name: "environment from a file", run: fromFile, means: "`--env-file FILE`."},
		{name: "sockets handed over", run: sockets, means: "LISTEN_FDS: whether the command gets descriptor 3, and LISTEN_PID is its own number."},
		{name: "pause", run: pauses, means: "`-P`: no command at all; reaps, and ends on TERM."},
	}
}

func rewrites(t *trial) verdict {
	b := t.catcher(launch{flags: t.flags(rewrite, "15:3")})
	b.signal(syscall.SIGTERM)
	return when(b.caught(syscall.SIGQUIT), "")
}

func drops(t *trial) verdict {
	b := t.catcher(launch{flags: t.flags(rewrite, "15:0")})
	return when(!b.gets(b.pid, syscall.SIGTERM) && b.gets(b.pid, syscall.SIGUSR1), "")
}

func remaps(t *trial) verdict {
	b := t.cat(launch{flags: t.flags(remap, "143")})
	b.signal(syscall.SIGTERM)
	code := b.wait()
	return when(code == 0, "%s", codeText(code))
}

func warnsReaped(t *trial) verdict {
	b := t.start(launch{flags: t.flags(warnReaped), cmd: t.me("@orphans", 1, 7)})
	b.allMade(1)
	said := func() bool { return strings.Contains(strings.ToLower(b.stderr()), "reap") }
	return when(t.eventually(said), "")
}

func verbose(t *trial) verdict {
	f := t.flags(loud)
	if len(f) == 0 {
		return absent()
	}
	b := t.cat(launch{flags: f})
	b.signal(syscall.SIGTERM)
	code := b.wait()
	if code != 143 {
		return no("%s", codeText(code))
	}
	if _, out := b.lineWithin("", tick); out {
		return value(true, "standard output")
	}
	return when(b.stderrAtEnd() != "", "")
}

// deafCommand ignores TERM.
func (t *trial) deafCommand(flags []string) *box {
	b := t.start(launch{flags: flags, cmd: t.me("@deaf")})
	b.must("ready ")
	return b
}

func graceKills(t *trial) verdict {
	b := t.deafCommand(t.flags(grace, "300ms"))
	b.signal(syscall.SIGTERM)
	code := b.wait()
	return when(code == 137, "%s", codeText(code))
}

func secondTerm(t *trial) verdict {
	b := t.deafCommand(t.flags(grace, "60s"))
	b.signal(syscall.SIGTERM)
	t.eventually(func() bool { return mask(b.pid, "ShdPnd") == 0 }) // two that are pending are one, and soon after one another they are one request
	time.Sleep(250 * time.Millisecond)
	b.signal(syscall.SIGTERM)
	code := b.wait()
	return when(code == 137, "%s", codeText(code))
}

func beforeStop(t *trial) verdict {
	mark := t.dir + "/mark"
	script := t.file("stop.sh", "#!/bin/sh\nsleep 0.2\n: >"+mark+"\n", 0o755)
	b := t.catcher(launch{flags: t.flags(preStop, script)})
	b.signal(syscall.SIGTERM)
	if _, ok := b.line("got 15 "); !ok {
		return no("no TERM")
	}
	_, err := os.Stat(mark)
	return when(err == nil, "not run before")
}

func otherStop(t *trial) verdict {
	b := t.catcher(launch{flags: t.flags(stopSignal, "INT")})
	b.signal(syscall.SIGTERM)
	return when(b.caught(syscall.SIGINT), "")
}

func killsLeft(t *trial) verdict {
	b := t.start(launch{guest: 1, flags: t.flags(killAll), cmd: t.me("@orphan", 0, "setsid")})
	b.must("orphaned")
	b.in.Close()
	if code := b.leftCode(); code != 0 {
		return no("%s", codeText(code))
	}
	left := len(children(b.pid))
	return when(left == 0, "%d left", left)
}

// whoIs runs a command that says who it is.
func (t *trial) whoIs(flags []string, want string) verdict {
	b := t.start(launch{flags: flags, cmd: t.me("@who", "FROM_FILE")})
	got, ok := b.line("who ")
	if !ok {
		return no("%s", b.why("silent"))
	}
	return when(strings.Contains(" "+got+" ", " "+want+" "), "%s", got)
}

func otherUser(t *trial) verdict { return t.whoIs(t.flags(asUser, "1000"), "1000 1000") }

func otherDir(t *trial) verdict { return t.whoIs(t.flags(inDir, t.dir), t.dir) }

func fromFile(t *trial) verdict {
	return t.whoIs(t.flags(envFile, t.file("env", "# a comment\nFROM_FILE=yes\n", 0o644)), "yes")
}

func sockets(t *trial) verdict {
	env := append(launch{}.environ(), "LISTEN_FDS=1", "LISTEN_PID=1")
	b := t.start(launch{env: env, setup: setup{Listen: true}, cmd: t.me("@listen")})
	switch got := b.must("listen "); got {
	case "true true 1":
		return yes()
	case "true false 1":
		return value(true, "descriptor only")
	default:
		return no("")
	}
}

func pauses(t *trial) verdict {
	b := t.start(launch{bare: append([]string{t.init.copy}, t.flags(pause)...), setup: setup{Earlier: 4, EarlierLife: 200}})
	<-b.execd
	if !t.eventually(func() bool { return len(children(b.pid)) == 0 }) {
		return no("does not reap")
	}
	if b.gone() {
		return no("%s", b.outcome())
	}
	b.signal(syscall.SIGTERM)
	code := b.wait()
	return when(code < 1000, "%s", codeText(code))
}
