package main

import (
	"errors"
	"syscall"
	"time"
)

// The floor: what fork, exec, kill and wait cost in a loop that does nothing
// else. It keeps no state, logs nothing and would restart nothing.

// bareStart makes a process as a supervisor does: with a session of its own.
func bareStart(argv []string) (pid int, err error) {
	return syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Setsid: true}})
}

func bareWait(pid int) error {
	for {
		_, err := syscall.Wait4(pid, nil, 0, nil)
		if err != syscall.EINTR {
			return err
		}
	}
}

// bareEnd signals all pids, then waits for each.
func bareEnd(sig syscall.Signal, pids ...int) error {
	var errs []error
	for _, pid := range pids {
		errs = append(errs, syscall.Kill(pid, sig))
	}
	for _, pid := range pids {
		errs = append(errs, bareWait(pid))
	}
	return errors.Join(errs...)
}

func bareStartAll(argv []string, n int) (pids []int, err error) {
	for range n {
		pid, err := bareStart(argv)
		if err != nil {
			return pids, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// bareGroup is a set of processes that the floor is measured with.
type bareGroup struct {
	b    *bench
	pids []int
}

func (b *bench) bareGroup(n int) (*bareGroup, error) {
	g := &bareGroup{b: b}
	_, err := g.start(n)
	return g, err
}

// start makes n processes; at is when the last of them ran.
func (g *bareGroup) start(n int) (at time.Duration, err error) {
	if g.pids, err = bareStartAll(g.b.worker, n); err != nil {
		return 0, err
	}
	return g.b.stamps.await(n, nil)
}

// restart ends all with sig and starts as many. seen is from the first signal
// until the last was reaped, back until the last new one ran.
func (g *bareGroup) restart(sig syscall.Signal) (seen, back time.Duration, err error) {
	n, from := len(g.pids), now()
	if err := bareEnd(sig, g.pids...); err != nil {
		return 0, 0, err
	}
	seen = now() - from
	at, err := g.start(n)
	return seen, at - from, err
}

func (g *bareGroup) end() error { return bareEnd(syscall.SIGKILL, g.pids...) }
