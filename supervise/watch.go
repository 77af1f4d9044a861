package supervise

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper"
	"github.com/procguard/procguard/reaper/account"
	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/config"
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
		OnCleared: func(worker string, gen uint64) { in.fact(fleet.Cleared{Worker: worker, Gen: gen}) },
		OnExtend: func(worker string, gen uint64, d time.Duration) {
			in.fact(fleet.Extended{Worker: worker, Gen: gen, For: d})
		},
		OnPhase: func(worker string, gen uint64, name string, timeout time.Duration) {
			l.phaseBegins(worker, gen, name, timeout)
		},
		OnProgress: func(worker string, gen uint64, step int64) {
			in.fact(fleet.Progressed{Worker: worker, Gen: gen, Step: step})
		},
		OnStopping: func(worker string, gen uint64) { in.fact(fleet.Stopping{Worker: worker, Gen: gen}) },
		OnStatus: func(worker string, gen uint64, text string) {
			in.call(func(l *loop) {
				if w := l.instance(worker, gen); w != nil {
					w.says = text
				}
			})
		},
	})
	return err
}

// phaseBegins tells the machine of a phase. One whose length only the configuration knows is
// silence that the prober must not hold against the worker either.
func (l *loop) phaseBegins(worker string, gen uint64, name string, timeout time.Duration) {
	if cfg := l.g.worker(worker); cfg != nil && timeout == 0 {
		l.watch.Extend(worker, gen, cfg.Phases[name])
	}
	l.g.in.fact(fleet.Phased{Worker: worker, Gen: gen, Name: name, Timeout: timeout})
}

// rewatch takes over new settings of monitoring.
func (l *loop) rewatch() {
	m := l.cfg.Monitoring
	l.watch.Reconfigure(probe.Options{Interval: m.Interval, HeartbeatTimeout: m.HeartbeatTimeout, ZombieDetection: m.ZombieDetection,
		CPUThreshold: m.CPUThreshold, MemoryThreshold: m.MemoryThreshold})
	l.inquest.pace()
}

// subject is what is to be watched of an instance.
func (l *loop) subject(id string, w *instance, adopted bool) probe.Subject {
	s := probe.Subject{Worker: id, Gen: w.gen, PID: w.proc.PID, Instance: w.marker, Restored: adopted,
		HealthURL: w.cfg.HealthCheckURL, HealthBody: w.cfg.HealthCheckBody, HeartbeatTimeout: l.cfg.Monitoring.HeartbeatTimeout,
		Notify: w.notify, ProgressFile: w.cfg.ProgressFile, FileTimer: w.timer, LogSilence: w.cfg.LogSilence,
		MaxMemory: memoryLimit(w.cfg.MaxMemory), MaxCPU: w.cfg.MaxCPU, CPUWindow: w.cfg.MaxCPUWindow}
	if w.cfg.HeartbeatTimeout != nil {
		s.HeartbeatTimeout = *w.cfg.HeartbeatTimeout
	}
	if l.scratch != "" {
		s.HeartbeatFile = l.beatPath(id)
	}
	r := &w.cfg.Ready
	s.ReadyElsewhere = r.Log != nil || r.After > 0
	s.ReadyHTTP, s.ReadyTCP, s.ReadyExec, s.ReadyHeartbeat, s.ReadyNotify = r.HTTP, r.TCP, r.Exec, r.Heartbeat, r.Notify
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

// memoryLimit is a limit in bytes, 0 for none.
func memoryLimit(m config.Memory) uint64 {
	if m.Percent > 0 {
		return uint64(float64(machineMemory()) * m.Percent / 100)
	}
	return uint64(m.Bytes)
}

// machineMemory is what this machine has, or this container may use, in bytes.
func machineMemory() uint64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	least := info.Totalram * uint64(info.Unit)
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		data, _ := readSmall(path, 64)
		if n, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64); err == nil {
			least = min(least, n)
		}
	}
	return least
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
