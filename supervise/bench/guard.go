package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// how says in which place ProcGuard runs.
type how int

const (
	asChild how = iota // a child of the bench: a subreaper
	asFirst            // PID 1 of a new PID namespace
)

func (h how) String() string { return [...]string{"child process", "PID 1"}[h] }

// guard is a ProcGuard that runs.
type guard struct {
	b    *bench
	cmd  *exec.Cmd
	log  *journal
	n    int           // workers
	up   time.Duration // from its start to the first instruction of the last worker
	over chan struct{} // closed when it has ended
	end  error         // how, once over is closed
}

const roleFirst = "first"

// becomeFirst gives the new namespace its own /proc, without which ProcGuard
// would be the only init of the world that sees the wrong one, and becomes it.
func becomeFirst(argv []string) int {
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err == nil {
		err = unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	}
	if err == nil {
		err = unix.Exec(argv[0], argv, os.Environ())
	}
	fmt.Fprintln(os.Stderr, "bench: cannot run as PID 1:", err)
	return 1
}

// start runs ProcGuard with n workers on an empty state directory and returns
// when all of them run.
func (b *bench) start(h how, n int, f fleet) (*guard, error) {
	dir, err := os.MkdirTemp(b.dir, "state-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "procguard.yaml")
	if err := os.WriteFile(file, f.yaml(b.worker, n, dir), 0o600); err != nil {
		return nil, err
	}
	g := &guard{b: b, n: n, over: make(chan struct{})}
	if g.cmd, err = b.command(h, file); err != nil {
		return nil, err
	}
	from := now()
	if err := g.launch(); err != nil {
		return nil, err
	}
	at, err := b.stamps.await(n, g.over)
	if err != nil {
		return nil, errors.Join(g.explain(err), g.kill())
	}
	g.up = at - from
	return g, nil
}

// launch starts the process and the two goroutines that follow it.
func (g *guard) launch() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	g.cmd.Stderr = w
	err = g.cmd.Start()
	_ = w.Close() // ours: else the log never ends
	if err != nil {
		_ = r.Close()
		return err
	}
	g.log = readLog(r)
	go func() {
		defer close(g.over)
		g.end = g.cmd.Wait()
	}()
	return nil
}

func (b *bench) command(h how, file string) (*exec.Cmd, error) {
	argv := []string{b.procguard, "--config", file}
	sys := &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if h == asFirst {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		argv = append([]string{self, roleFirst}, argv...)
		// PDEATHSIG would reach a PID 1 that has no handler yet; KILL always does,
		// and takes the namespace along.
		sys = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = sys
	return cmd, nil
}

func (g *guard) pid() int { return g.cmd.Process.Pid }

// workers lists the pids of the workers, as we see them from outside.
func (g *guard) workers() ([]int, error) {
	pids, err := childrenOf(g.pid())
	if err == nil && len(pids) != g.n {
		err = fmt.Errorf("%d processes are there instead of %d workers", len(pids), g.n)
	}
	return pids, err
}

// stop asks for the orderly stop and says how long it took.
func (g *guard) stop() (time.Duration, error) {
	from := now()
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	select {
	case <-g.over:
		took, err := now()-from, g.end
		if err == nil && g.b.stamps.extra() > 0 {
			err = fmt.Errorf("%d workers started that nobody killed", g.b.stamps.extra())
		}
		return took, g.explain(err)
	case <-time.After(patience):
		return 0, errors.Join(g.explain(errSilence), g.kill())
	}
}

// kill ends a ProcGuard that failed, and what it may leave.
func (g *guard) kill() error {
	pids, _ := childrenOf(g.pid()) // it may have ended
	_ = g.cmd.Process.Kill()
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return nil
}

// explain adds what ProcGuard said last.
func (g *guard) explain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w; procguard's log ends with\n  %s", err, g.log.last())
}
