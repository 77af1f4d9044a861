package supervise

import (
	"context"
	"fmt"
	"time"

	"github.com/procguard/procguard/reaper"
	"github.com/procguard/procguard/reaper/account"
	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/fleet"
	"github.com/procguard/procguard/supervise/logs"
	"github.com/procguard/procguard/supervise/probe"
)

// openWatch starts what looks for signs of life.
func (l *loop) openWatch(r *reaper.Reaper) (err error) {
	in, m := l.g.in, l.cfg.Monitoring
	l.watch, err = probe.New(probe.Options{
		Interval: m.Interval, HeartbeatTimeout: m.HeartbeatTimeout, ZombieDetection: m.ZombieDetection,
		CPUThreshold: m.CPUThreshold, MemoryThreshold: m.MemoryThreshold, BeatDir: l.scratch, Log: l.log,
		Exec: func(ctx context.Context, worker string, _ uint64, argv []string) error {
			return l.check(ctx, r, worker, argv)
		},
		OnReady: func(worker string, gen uint64) { in.fact(fleet.Ready{Worker: worker, Gen: gen}) },
		OnBeat:  in.beat,
		OnJudged: func(worker string, gen uint64, c state.Cause) {
			in.fact(fleet.Judged{Worker: worker, Gen: gen, Cause: c})
		},
	})
	return err
}

// rewatch takes over new settings of monitoring.
func (l *loop) rewatch() {
	m := l.cfg.Monitoring
	l.watch.Reconfigure(probe.Options{Interval: m.Interval, HeartbeatTimeout: m.HeartbeatTimeout, ZombieDetection: m.ZombieDetection,
		CPUThreshold: m.CPUThreshold, MemoryThreshold: m.MemoryThreshold})
}

// subject is what is to be watched of an instance.
func (l *loop) subject(id string, w *instance, adopted bool) probe.Subject {
	s := probe.Subject{Worker: id, Gen: w.gen, PID: w.proc.PID, HealthURL: w.cfg.HealthCheckURL, Restored: adopted,
		HeartbeatTimeout: l.cfg.Monitoring.HeartbeatTimeout}
	if w.cfg.HeartbeatTimeout != nil {
		s.HeartbeatTimeout = *w.cfg.HeartbeatTimeout
	}
	if l.scratch != "" {
		s.HeartbeatFile = l.beatPath(id)
	}
	r := &w.cfg.Ready
	s.ReadyElsewhere = r.Log != nil || r.After > 0
	s.ReadyHTTP, s.ReadyTCP, s.ReadyExec, s.ReadyHeartbeat = r.HTTP, r.TCP, r.Exec, r.Heartbeat
	if lines := w.lines; lines != nil {
		s.Activity = func() (time.Time, uint64) {
			a, b := lines.Activity(logs.Stdout), lines.Activity(logs.Stderr)
			if b.Last.After(a.Last) {
				a.Last = b.Last
			}
			return a.Last, a.Bytes + b.Bytes
		}
	}
	return s
}

// check runs a readiness command in the worker's directory and environment.
func (l *loop) check(ctx context.Context, r *reaper.Reaper, worker string, argv []string) error {
	cfg := l.g.worker(worker)
	if cfg == nil {
		return fmt.Errorf("%w: %s", ErrUnknownWorker, worker)
	}
	env := envOf(ownEnv())
	for k, v := range cfg.Env {
		env.set(k, v)
	}
	env.set("PROCGUARD_WORKER_ID", worker)
	s := reaper.Spec{ID: worker + " readiness", Argv: argv, Dir: cfg.WorkingDir, Env: env.list}
	owner, err := account.Lookup(cfg.User)
	if err != nil {
		return err
	}
	if owner != nil {
		s.Credential = owner.Credential
	}
	exit, _, err := r.Run(ctx, s)
	if err == nil && exit.ShellCode() != 0 {
		err = fmt.Errorf("%s", exit)
	}
	return err
}
