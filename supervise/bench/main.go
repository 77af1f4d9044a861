// Command bench measures how fast ProcGuard is, beside what the kernel alone
// takes for the same thing in the same minute.
//
// It owns nothing of ProcGuard: it runs the binary that $PROCGUARD names as
// anybody would, as a child process and, with root, also as PID 1 of a new PID
// namespace. Times are taken by the workers' first instructions and by
// ProcGuard's own log. It prints, and says of aims whether they are met: it fails only
// where something did not work. The plain init is measured beside other inits that are
// installed. doc/bench.md tells what each line means.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
)

func main() {
	if len(os.Args) > 1 {
		os.Exit(reenter(os.Args[1:]))
	}
	// A worker supervisor is told to stop when the thread that forked it ends.
	runtime.LockOSThread()
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// reenter is this program in another role: as a worker, or as what makes the
// namespace ready and then becomes ProcGuard.
func reenter(args []string) int {
	switch args[0] {
	case rolePlainWorker:
		return plainWorker(args[1:])
	case roleFirst:
		return becomeFirst(args[1:])
	}
	fmt.Fprintln(os.Stderr, "bench: takes no arguments; see doc/bench.md for its variables")
	return 2
}

func run(out io.Writer) error {
	s, err := settingsFrom(os.Getenv)
	if err != nil {
		return err
	}
	b, err := newBench(s)
	if err != nil {
		return err
	}
	defer b.close()
	stop := onSignal(b.close)
	defer stop()
	b.heading(out)
	t := newTable(out)
	for _, m := range b.measures() {
		if err := m.run(t); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	fmt.Fprintf(out, "\nload average at the end: %s\n", loadAverage())
	return nil
}

// onSignal cleans up when the user has seen enough. ProcGuard gets TERM from the
// kernel when we end, and takes its workers with it.
func onSignal(clean func()) (stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		if _, ok := <-c; ok {
			clean()
			os.Exit(130)
		}
	}()
	return func() { signal.Stop(c); close(c) }
}

// bench is what all measures share.
type bench struct {
	settings
	dir    string // of this run, removed at the end
	stamps *stamps
	worker []string // the command of a worker
}

func newBench(s settings) (*bench, error) {
	dir, err := os.MkdirTemp(s.base, "procguard-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{settings: s, dir: dir}
	fifo := filepath.Join(dir, "stamps")
	if b.stamps, err = openStamps(fifo); err == nil {
		b.worker, err = makeWorker(dir, fifo)
	}
	if err == nil {
		err = b.tryWorker()
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bench) close() {
	if b.stamps != nil {
		b.stamps.close()
	}
	_ = os.RemoveAll(b.dir)
}

// tryWorker runs the worker once: a file system may forbid execution, and the
// first run of a program is not like the others.
func (b *bench) tryWorker() error {
	pid, err := bareStart(b.worker)
	if err == nil {
		_, err = b.stamps.await(1, nil)
		err = errors.Join(err, bareEnd(syscall.SIGKILL, pid))
	}
	if err != nil {
		return fmt.Errorf("the test worker %s does not run: %w", b.worker[0], err)
	}
	return nil
}
