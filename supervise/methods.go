package supervise

import (
	"context"
	"fmt"
	"slices"
	"syscall"

	"github.com/procguard/procguard/reaper"
	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/config"
	"github.com/procguard/procguard/supervise/fleet"
)

// StartWorker starts a worker that is not running, also one that was stopped,
// has finished or was excluded; its restart budget is whole again.
func (g *Guard) StartWorker(ctx context.Context, id string) error {
	return g.command(ctx, id, fleet.StartWorker{Worker: id})
}

// StopWorker stops a worker and keeps it stopped until StartWorker. With force
// it is killed, otherwise it goes down its stop ladder. It returns when the stop
// has begun; see Await.
func (g *Guard) StopWorker(ctx context.Context, id string, force bool) error {
	return g.command(ctx, id, fleet.StopWorker{Worker: id, Force: force})
}

// RestartWorker stops and starts one worker. It costs no budget.
func (g *Guard) RestartWorker(ctx context.Context, id string) error {
	return g.command(ctx, id, fleet.RestartWorker{Worker: id})
}

// StopAll stops every worker and keeps them stopped; the Guard goes on running.
// It returns when nothing of them is left, or ctx ends.
func (g *Guard) StopAll(ctx context.Context, force bool) error {
	err := g.do(ctx, func(l *loop) {
		var all fleet.Batch
		for _, w := range l.fleet.Status().Workers {
			all = append(all, fleet.StopWorker{Worker: w.WorkerID, Force: force})
		}
		l.untidy("")
		l.step(all)
	})
	if err != nil {
		return err
	}
	return g.Await(ctx, func(s fleet.Status) bool {
		return !slices.ContainsFunc(s.Workers, func(w fleet.WorkerStatus) bool { return w.PID != 0 })
	})
}

// RestartHealthy stops all workers and starts them again, but for the excluded
// ones, which stay stopped. It returns when the restart has begun.
func (g *Guard) RestartHealthy(ctx context.Context, exclude ...string) error {
	return g.do(ctx, func(l *loop) { l.step(fleet.RestartHealthy{Exclude: exclude}) })
}

// HandleFailure runs the recovery chain for workers that the caller knows to
// have failed although they live. Workers that died have been handled already.
func (g *Guard) HandleFailure(ctx context.Context, ids ...string) error {
	for _, id := range ids {
		if err := g.command(ctx, id, fleet.Fail{Workers: []string{id}}); err != nil {
			return err
		}
	}
	return nil
}

// Heartbeat is a sign of life of a worker, as it comes over the bus.
func (g *Guard) Heartbeat(ctx context.Context, id string) error {
	return g.do(ctx, func(l *loop) { l.heartbeat(id) })
}

// Shutdown begins the orderly stop: all workers, dependents first; then Run
// returns. With now everything is killed, also if a stop is under way.
func (g *Guard) Shutdown(why string, now bool) {
	g.in.call(func(l *loop) { l.shutdown(why, now) })
}

// Register adds a worker to those that are configured.
func (g *Guard) Register(ctx context.Context, w config.Worker) error {
	cfg := *g.Config()
	if slices.ContainsFunc(cfg.Workers, func(x config.Worker) bool { return x.ID == w.ID }) {
		return fmt.Errorf("worker %s is registered already", w.ID)
	}
	cfg.Workers = append(slices.Clone(cfg.Workers), w)
	return g.Reload(ctx, &cfg)
}

// Reload takes over another configuration: what is new is started, what is gone
// is stopped, what runs another program now is restarted, the rest is left
// alone. Before Run it only replaces the configuration. Settings of the volume,
// the log, the bus and the control socket need a new start.
func (g *Guard) Reload(ctx context.Context, cfg *config.Config) error {
	g.mu.Lock()
	early := g.state == notYet
	if early {
		g.cfg = cfg
	}
	g.mu.Unlock()
	if early {
		return nil
	}
	var refused error
	if err := g.do(ctx, func(l *loop) { refused = l.reload(cfg) }); err != nil {
		return err
	}
	return refused
}

// Status is a copy of everything that is known now.
func (g *Guard) Status(ctx context.Context) (s fleet.Status, err error) {
	err = g.do(ctx, func(l *loop) { s = l.status() })
	return s, err
}

// WorkerStatus is what is known about one worker now.
func (g *Guard) WorkerStatus(ctx context.Context, id string) (s fleet.WorkerStatus, err error) {
	known := false
	err = g.do(ctx, func(l *loop) { s, known = l.workerStatus(id) })
	if err == nil && !known {
		err = fmt.Errorf("%w: %s", ErrUnknownWorker, id)
	}
	return s, err
}

// State is a copy of the durable state.
func (g *Guard) State(ctx context.Context) (s *state.Snapshot, err error) {
	err = g.do(ctx, func(l *loop) { s = l.fleet.Snapshot() })
	return s, err
}

// Await returns when cond holds for the status, or ctx ends, or Run returns. It
// looks again after every event.
func (g *Guard) Await(ctx context.Context, cond func(fleet.Status) bool) error {
	sub := g.Events()
	defer sub.Close()
	for {
		s, err := g.Status(ctx)
		if err != nil || cond(s) {
			return err
		}
		if _, ok := sub.Next(ctx); !ok {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return ErrNotRunning
		}
	}
}

// Forward sends a signal to every living worker's leader, as PID 1 does with
// the signals that it has no use for itself.
func (g *Guard) Forward(sig syscall.Signal) {
	g.in.call(func(l *loop) {
		for _, w := range l.live {
			_ = l.kernel.Signal(w.proc, sig, reaper.Leader) // one that has just died needs none
		}
	})
}
