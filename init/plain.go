package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper"
)

// plain runs one command as a plain init: it forwards signals, reaps whatever
// turns up, and ends with the command's own exit code, 128+n for a signal.
func plain(argv []string, signals chan os.Signal) int {
	if len(argv) == 0 {
		fail("cannot run", errors.New("no command after --"), "procguard -- CMD ARG…")
		return codeUsage
	}
	signal.Notify(signals, forwarded()...)
	exits := make(chan reaper.Exit, 1) // the command's alone
	r, err := reaper.Start(reaper.Options{OnExit: func(e reaper.Exit) { exits <- e }})
	if err != nil {
		fail("cannot start", err, "")
		return codeCannot
	}
	p, err := r.Spawn(command(argv))
	if err != nil {
		fmt.Fprintf(os.Stderr, "procguard: %v\n", err)
		return spawnCode(err)
	}
	for {
		select {
		case s := <-signals:
			_ = r.Signal(p, s.(syscall.Signal), reaper.Leader) // dead: its exit is under way
		case e := <-exits:
			if e.Signal() != 0 {
				briefly(func() { fmt.Fprintf(os.Stderr, "procguard: %s %s\n", argv[0], e) })
			}
			return e.ShellCode()
		}
	}
}

// command runs in our own session and gets our standard files untouched; on a
// terminal it leads the foreground group, so that Ctrl-C is for it.
func command(argv []string) reaper.Spec {
	s := reaper.Spec{ID: argv[0], Gen: 1, Argv: argv, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Keep: true, Own: reaper.OwnGroup}
	if _, err := unix.IoctlGetInt(int(os.Stdin.Fd()), unix.TIOCGPGRP); err == nil {
		s.Foreground = os.Stdin
	}
	return s
}

// spawnCode is 126 or 127 as a shell has it, or 125 if we are to blame.
func spawnCode(err error) int {
	var e *reaper.ExecError
	if errors.As(err, &e) {
		return e.Code
	}
	return codeCannot
}

// forwarded are the signals that a command gets from us: all that can be caught,
// but for SIGCHLD (ours), SIGURG (the Go runtime's preemption), SIGPIPE and the
// faults (about us), and those of job control.
func forwarded() []os.Signal {
	var all []os.Signal
	for n := syscall.Signal(1); n <= 64; n++ {
		switch n {
		case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPIPE, syscall.SIGPROF,
			syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGSYS,
			syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGCONT, 32, 33: // 32, 33: the C library's own
		default:
			all = append(all, n)
		}
	}
	return all
}
