package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/procguard/procguard/reaper/trim"
	"github.com/procguard/procguard/state/journal"
	"github.com/procguard/procguard/supervise"
	"github.com/procguard/procguard/supervise/config"
)

// search is where a configuration file is looked for, in this order.
func search(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if env := os.Getenv("PROCGUARD_CONFIG"); env != "" {
		return env, nil
	}
	for _, path := range []string{"procguard.yaml", "/etc/procguard/procguard.yaml"} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no --config, no $PROCGUARD_CONFIG, no ./procguard.yaml and no /etc/procguard/procguard.yaml")
}

// load finds and reads the configuration; what is wrong has been printed.
func load(flag string) (*config.Config, bool) {
	path, err := search(flag)
	if err != nil {
		fail("cannot find a configuration", err, "procguard --config FILE, or procguard -- CMD to run one command")
		return nil, false
	}
	cfg, err := supervise.Load(path)
	if err != nil {
		printMistakes(err)
		return nil, false
	}
	return cfg, true
}

// run supervises the workers of a file until the end, and returns the exit code.
func run(flag string, fresh bool, signals chan os.Signal) int {
	cfg, ok := load(flag)
	if !ok {
		return codeUsage
	}
	g, err := supervise.New(cfg, supervise.Options{Fresh: fresh, Version: fullVersion()})
	if err != nil {
		fail("cannot start", err, "")
		return codeUsage
	}
	signal.Notify(signals, forwarded()...)
	warm(16)
	done := make(chan struct{})
	defer close(done)
	go attend(g, cfg.File, signals, done)
	time.AfterFunc(settled, trim.Pages)
	out, err := g.Run(context.Background())
	return report(out, err)
}

// settled is when a start is over as far as memory goes.
const settled = 2 * time.Second

// again is how long after the first stop signal another one means that somebody
// has lost patience. Before that it is the same request: timeout(1), and whoever
// signals a process and its group, send it twice.
const again = time.Second

// attend acts on the signals that come while g runs.
func attend(g *supervise.Guard, file string, signals <-chan os.Signal, done <-chan struct{}) {
	var asked time.Time
	for {
		select {
		case <-done:
			return
		case s := <-signals:
			switch s {
			case syscall.SIGTERM, syscall.SIGINT:
				if asked.IsZero() || time.Since(asked) >= again {
					g.Shutdown("got "+signalName(s), !asked.IsZero())
				}
				if asked.IsZero() {
					asked = time.Now()
				}
			case syscall.SIGHUP:
				reload(g, file)
			default:
				g.Forward(s.(syscall.Signal))
			}
		}
	}
}

func reload(g *supervise.Guard, file string) {
	cfg, err := supervise.Load(file)
	if err != nil {
		briefly(func() {
			printMistakes(err)
			fmt.Fprintln(os.Stderr, "procguard: the configuration is not reloaded; what runs is left as it is")
		})
		return
	}
	if err := g.Reload(context.Background(), cfg); err != nil {
		briefly(func() { fail("cannot reload", err, "what runs is left as it is") })
	}
}

// report prints the last line, which says why, and gives the exit code.
func report(out supervise.Outcome, err error) int {
	if err != nil {
		hint := ""
		var h interface{ Hint() string }
		var locked *journal.LockedError
		switch {
		case errors.As(err, &locked):
			hint = "stop the other procguard, or give this one its own state.dir"
		case errors.As(err, &h):
			hint = h.Hint()
		}
		briefly(func() { fail("cannot go on", err, hint) })
		return max(out.Code, codeUnknown)
	}
	briefly(func() { fmt.Fprintf(os.Stderr, "procguard: exit %d: %s\n", out.Code, out.Why) })
	return out.Code
}

// forwarded are the signals that each worker's leader gets from us: all that can be caught,
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
