package main

import (
	"strings"
	"syscall"
	"time"
)

func guestRows() []row {
	return []row{
		{name: "forwards and exits", required: true, run: guestWorks, means: "USR1 reaches the command; the init exits with the command's code."},
		{name: "subreaper", run: adopts, means: "Asked to (`-s`), or by itself, it adopts orphans."},
		{name: "subreaper by environment", run: adoptsByEnvironment, means: "TINI_SUBREAPER, for what is called tini."},
		{name: "warns if it cannot reap", run: warns, means: "It says on standard error that it is neither PID 1 nor a subreaper, or makes itself one."},
		{name: "parent-death signal", run: parentDeath, means: "Asked to (`-p SIGTERM`), TERM reaches the command when the init's parent dies."},
	}
}

func guestWorks(t *trial) verdict {
	b := t.catcher(launch{guest: 1})
	init := b.guest()
	if !b.gets(init, syscall.SIGUSR1) {
		return no("USR1 is not forwarded")
	}
	_ = syscall.Kill(b.child(init), syscall.SIGKILL)
	code := b.leftCode()
	return when(code == 137, "%s", codeText(code))
}

// adoptsWith has the command leave an orphan, and sees whose it is.
func (t *trial) adoptsWith(l launch) verdict {
	l.guest, l.cmd = 1, t.me("@orphan", 0)
	b := t.start(l)
	init := b.guest()
	b.must("orphaned")
	return when(t.eventually(func() bool { return len(children(init)) == 2 }), "%s", b.why("PID 1 has it"))
}

func adopts(t *trial) verdict { return t.adoptsWith(launch{flags: t.flags(subreaper)}) }

func adoptsByEnvironment(t *trial) verdict {
	if t.init.kind != tini {
		return absent()
	}
	return t.adoptsWith(launch{env: append(launch{}.environ(), "TINI_SUBREAPER=")})
}

func warns(t *trial) verdict {
	b := t.cat(launch{guest: 1})
	said := func() bool {
		text := strings.ToLower(b.stderr())
		return strings.Contains(text, "pid 1") || strings.Contains(text, "subreaper") || strings.Contains(text, "pid1")
	}
	if said() {
		return yes()
	}
	own := t.adoptsWith(launch{})
	if own.Good {
		return value(true, "adopts them")
	}
	return when(said(), "")
}

func parentDeath(t *trial) verdict {
	b := t.catcher(launch{guest: 2, flags: t.flags(parentDies, "SIGTERM")})
	init := b.guest()
	p, _ := look(init)
	_ = syscall.Kill(p.ppid, syscall.SIGKILL)
	_, ok := b.lineWithin("got 15 ", 2*time.Second)
	return when(ok, "")
}
