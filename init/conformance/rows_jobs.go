package main

import (
	"strings"
	"syscall"
	"time"
)

func jobRows() []row {
	return []row{
		{name: "stops with its command", run: stopsWith,
			means: "Not PID 1: when the command is stopped, so is the init, and the shell above learns of it."},
		{name: "TSTP stops both", run: stopsBoth, means: "Not PID 1: TSTP to the init stops the command and the init."},
		{name: "CONT wakes both", run: wakesBoth, means: "Not PID 1: CONT to the init after that wakes both."},
		{name: "Ctrl-C", run: ctrlC, means: "PID 1 on a terminal: INT reaches the command, exactly once."},
		{name: "Ctrl-Z and fg", run: ctrlZ, means: "A job of an interactive bash: Ctrl-Z gives the prompt back, `fg` resumes the command."},
		{name: "read in the background", run: background, means: "A background job that reads the terminal is shown as stopped, and `fg` lets it read."},
		{name: "shell under the init", required: true, run: shellUnder,
			means: "An interactive bash as the command of PID 1 on a terminal has job control."},
		{name: "terminal given back", run: givenBack, means: "Not PID 1: after the command's end the foreground process group is the one from before."},
	}
}

// stateBecomes waits until a process is in a state.
func (t *trial) stateBecomes(pid int, want byte) bool {
	return t.eventually(func() bool { return state(pid) == want })
}

func stopsWith(t *trial) verdict {
	b := t.cat(launch{guest: 1})
	init := b.guest()
	_ = syscall.Kill(b.child(init), syscall.SIGSTOP)
	return when(t.stateBecomes(init, 'T'), "")
}

// stopped is a guest that was told to stop, and its command.
func (t *trial) stopped() (b *box, init, child int) {
	b = t.cat(launch{guest: 1})
	init = b.guest()
	child = b.child(init)
	_ = syscall.Kill(init, syscall.SIGTSTP)
	return b, init, child
}

func stopsBoth(t *trial) verdict {
	_, init, child := t.stopped()
	both := t.eventually(func() bool { return state(init) == 'T' && state(child) == 'T' })
	switch {
	case both:
		return yes()
	case state(child) == 'T':
		return no("command only")
	case state(init) == 'T':
		return no("init only")
	}
	return no("")
}

func wakesBoth(t *trial) verdict {
	b, init, child := t.stopped()
	if !t.eventually(func() bool { return state(init) == 'T' && state(child) == 'T' }) {
		return no("not stopped")
	}
	_ = syscall.Kill(init, syscall.SIGCONT)
	b.say("again\n")
	if _, ok := b.line("again"); !ok {
		return no("command stays stopped")
	}
	return when(t.eventually(func() bool { return state(init) != 'T' }), "init stays stopped")
}

func ctrlC(t *trial) verdict {
	y := t.terminal()
	defer y.close()
	t.start(launch{tty: y.slave, cmd: t.me("@heed", 2)})
	if !y.sees("ready ") {
		t.fail("command does not start")
	}
	y.typed("\x03")
	if !y.sees("got 2") {
		return no("")
	}
	time.Sleep(100 * time.Millisecond) // for one more that should not come
	n := strings.Count(y.all(), "got 2")
	return when(n == 1, "%d times", n)
}

const prompt = "PROMPT> "

// bash is an interactive shell on a terminal, in a box.
func (t *trial) bash() *terminal {
	y := t.terminal()
	env := append(launch{}.environ(), "PS1="+prompt, "TERM=dumb", "HISTFILE=")
	t.start(launch{tty: y.slave, env: env, bare: []string{"/bin/bash", "--norc", "--noprofile", "--noediting", "-i"}})
	if !y.sees(prompt) {
		t.fail("bash does not start: %s", strings.TrimSpace(y.all()))
	}
	return y
}

func ctrlZ(t *trial) verdict {
	y := t.bash()
	defer y.close()
	y.typed(t.init.copy + " -- cat\n")
	y.typed("one\n")
	if !y.sees("one\r\n") {
		return no("cat does not read")
	}
	y.typed("\x1a")
	if !y.sees("Stopped") || !y.sees(prompt) {
		return no("no prompt")
	}
	y.typed("fg\n")
	if !y.sees("cat\r\n") {
		return no("no fg")
	}
	y.typed("two\n")
	return when(y.sees("two\r\n") && !strings.Contains(y.all(), "not found"), "not resumed")
}

func background(t *trial) verdict {
	y := t.bash()
	defer y.close()
	y.typed(t.init.copy + " -- cat &\n")
	if !y.sees(prompt) {
		return no("no prompt")
	}
	stopped := t.eventually(func() bool {
		y.typed("jobs\n")
		time.Sleep(50 * time.Millisecond)
		return strings.Contains(y.all(), "Stopped")
	})
	if !stopped {
		return no("not shown as stopped")
	}
	y.typed("echo mark\n")
	if !y.sees("mark\r\n") {
		return no("shell hangs")
	}
	y.typed("fg\n")
	if !y.sees("cat\r\n") {
		return no("no fg")
	}
	y.typed("two\n")
	return when(y.sees("two\r\n") && !strings.Contains(y.all(), "not found"), "cannot read after fg")
}

func shellUnder(t *trial) verdict {
	y := t.terminal()
	defer y.close()
	env := append(launch{}.environ(), "PS1="+prompt, "TERM=dumb", "HISTFILE=")
	t.start(launch{tty: y.slave, env: env, cmd: []string{"bash", "--norc", "--noprofile", "--noediting", "-i"}})
	if !y.sees(prompt) {
		return no("no prompt")
	}
	if strings.Contains(y.all(), "terminal process group") || strings.Contains(y.all(), "job control") {
		return no("no job control")
	}
	y.typed("cat\n")
	y.typed("one\n")
	if !y.sees("one\r\n") {
		return no("a job cannot read")
	}
	y.typed("\x1a")
	return when(y.sees("Stopped") && y.sees(prompt), "Ctrl-Z")
}

func givenBack(t *trial) verdict {
	y := t.terminal()
	defer y.close()
	b := t.start(launch{tty: y.slave, guest: 1, setup: setup{SameTTY: true}, cmd: []string{"true"}})
	before := b.pid // the keeper leads the session, and the init shares its process group
	if code := b.leftCode(); code != 0 {
		return no("%s", codeText(code))
	}
	after := y.foreground()
	return when(after == before, "")
}
