package supervise

import (
	"time"

	"github.com/procguard/procguard/supervise/config"
	"github.com/procguard/procguard/supervise/fleet"
)

// spec is what the machine needs to know of a configuration.
func spec(c *config.Config) fleet.Spec {
	s := fleet.Spec{
		Node:     c.Node,
		MinRanks: minRanks(c.Workers),
		Recovery: fleet.Recovery{
			Auto:     c.Recovery.EnableAutoRecovery,
			StopAll:  c.Recovery.StopAllOnFailure,
			Reassign: c.Recovery.TaskReassignment,
			Timeout:  c.Recovery.RecoveryTimeout,
			Attempts: c.Recovery.MaxRecoveryAttempts,
		},
	}
	if c.Recovery.NoProgressExit {
		s.Recovery.SameFailures = c.Recovery.SameFailureLimit
	}
	for i := range c.Workers {
		s.Workers = append(s.Workers, worker(c, &c.Workers[i]))
	}
	for _, t := range c.Tasks {
		s.Tasks = append(s.Tasks, fleet.Task{ID: t.ID, Owner: t.WorkerID, Type: t.WorkerType, Weight: t.Weight, Payload: t.Payload})
	}
	return s
}

func worker(c *config.Config, w *config.Worker) fleet.Worker {
	heartbeat := c.Monitoring.HeartbeatTimeout
	if w.HeartbeatTimeout != nil {
		heartbeat = *w.HeartbeatTimeout
	}
	out := fleet.Worker{
		ID: w.ID, Group: w.Group, Type: w.Type, Fingerprint: w.Fingerprint(),
		Restart: policies[w.Restart], MaxRestarts: w.MaxRestarts, RestartDelay: w.RestartDelay,
		Backoff: fleet.Backoff{Factor: w.Backoff.Factor, Max: w.Backoff.Max, Jitter: w.Backoff.Jitter, ResetAfter: w.Backoff.ResetAfter},
		// A number, because the machine knows no system calls.
		StopSignal: int(w.Stop.Signal), StopToGroup: w.Stop.To == "group", Grace: w.Stop.Grace,
		NeedsReady: needsReady(&w.Ready), ReadyAfter: w.Ready.After, StartupTimeout: w.StartupTimeout,
		HeartbeatTimeout: heartbeat, HeartbeatAuto: w.HeartbeatAuto, HeartbeatFloor: w.HeartbeatFloor,
		ProgressTimeout: w.ProgressTimeout, Phases: w.Phases, NotifyHang: w.OnHang == "notify", DumpTimeout: w.DumpTimeout,
		Ranked: w.Launcher == "torch", Standby: w.Standby,
	}
	if out.Entry = w.Entry; w.MinReplicas < w.Replicas {
		out.Least = w.MinReplicas
	}
	for _, d := range w.DependsOn {
		out.DependsOn = append(out.DependsOn, fleet.Dependency{Worker: d.Worker, Until: conditions[d.Condition]})
	}
	return out
}

var policies = map[string]fleet.Policy{"on-failure": fleet.OnFailure, "always": fleet.Always, "never": fleet.Never}

var conditions = map[string]fleet.Until{"started": fleet.UntilStarted, "ready": fleet.UntilReady, "completed": fleet.UntilCompleted}

// needsReady says that something has to be seen before a worker counts as ready.
func needsReady(r *config.Ready) bool {
	return r.HTTP != "" || r.TCP != "" || len(r.Exec) > 0 || r.Log != nil || r.Heartbeat || r.Notify
}

// minRanks adds up, by group, how many ranks each entry can do with.
func minRanks(workers []config.Worker) map[string]int {
	out := map[string]int{}
	for i := range workers {
		w := &workers[i]
		if w.Launcher != "torch" || w.Standby || w.Index != 0 {
			continue
		}
		out[w.Group] += w.MinReplicas
	}
	return out
}

// seconds is t in the unit of the state file, 0 for the zero time.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
