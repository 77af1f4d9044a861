// A Go program that supervises workers with ProcGuard as a library.
//
// Three shell workers share five tasks. The program kills one of them, watches
// the recovery, and ends when all have finished: go run ./examples/library
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/procguard/procguard/supervise"
	"github.com/procguard/procguard/supervise/config"
	"github.com/procguard/procguard/supervise/fleet"
)

// script is the whole worker: it does its tasks and then has finished. $1 is
// where it says so; a task that is done already is left alone.
const script = `for task in $(echo "$PROCGUARD_TASKS" | tr -d '[]"' | tr ',' ' '); do
	[ -e "$1/$task" ] && continue
	sleep 0.4
	echo "$PROCGUARD_WORKER_ID" >"$1/$task"
	echo "$task is done"
done`

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "library example:", err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "procguard-library-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	// ConfigLoader: supervise.Load("file.yaml") reads a file; this one is made by hand.
	cfg := config.Default()
	cfg.State.Dir, cfg.State.DirSet = dir+"/state", true
	cfg.Control.Socket, cfg.Control.SocketSet = dir+"/procguard.sock", true
	for i := range 3 {
		w := config.NewWorker(fmt.Sprintf("worker_%d", i), "/bin/sh", "-c", script, "worker", dir)
		w.RestartDelay = 100 * time.Millisecond
		w.Stop.Grace = 2 * time.Second
		cfg.Workers = append(cfg.Workers, w)
	}
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		cfg.Tasks = append(cfg.Tasks, config.Task{ID: id, WorkerType: "default", Weight: 1})
	}

	// ProcessMonitor: the callback of failures.
	failed := make(chan supervise.Failure, 8)
	g, err := supervise.New(cfg, supervise.Options{OnFailure: func(list []supervise.Failure) {
		for _, f := range list {
			failed <- f
		}
	}})
	if err != nil {
		return err
	}

	// ProcGuard: start and, later, wait. Ctrl-C asks for the orderly stop.
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	wait, err := g.Start(ctx)
	if err != nil {
		return err
	}

	// ProcessManager: the status of a worker, and what can be done to it.
	if err := g.Await(ctx, allRun); err != nil {
		return err
	}
	s, err := g.WorkerStatus(ctx, "worker_1")
	if err != nil {
		return err
	}
	fmt.Printf("worker_1 has pid %d and tasks %v; it is killed now\n", s.PID, s.AssignedTasks)
	if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
		return err
	}
	select {
	case f := <-failed:
		fmt.Printf("incident %d: %s: %s\n", f.Incident, f.Worker, &f.Cause)
	case <-time.After(10 * time.Second):
		return fmt.Errorf("the failure was not reported")
	}

	// StateManager: what is durably known.
	snap, err := g.State(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("worker_1 has used %d of %d restarts\n", snap.Workers["worker_1"].BudgetUsed, s.MaxRestarts)

	out, err := wait()
	if err != nil {
		return err
	}
	fmt.Printf("exit %d: %s\n", out.Code, out.Why)
	if out.Code != 0 {
		os.Exit(out.Code)
	}
	return nil
}

func allRun(s fleet.Status) bool {
	for _, w := range s.Workers {
		if w.State != "running" {
			return false
		}
	}
	return true
}
