package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Policy says when a worker that ended is started again.
type Policy uint8

// The restart policies. A failure is any end but exit code 0.
const (
	OnFailure Policy = iota // after a failure; exit 0 means done
	Always                  // after every end; it is never done
	Never                   // not at all; exit 0 means done
)

// Until is the point that a dependency must have reached.
type Until uint8

// The conditions of depends_on.
const (
	UntilStarted Until = iota
	UntilReady
	UntilCompleted
)

// Dependency is one edge of depends_on.
type Dependency struct {
	Worker string
	Until  Until
}

// Backoff stretches restart_delay: the n-th restart in a row waits
// delay*Factor^(n-1), at most Max, give or take the share Jitter. After
// ResetAfter of being ready the budget is whole again.
type Backoff struct {
	Factor     float64
	Max        time.Duration
	Jitter     float64
	ResetAfter time.Duration
}

// Worker is what the machine needs to know about a configured worker.
type Worker struct {
	ID          string
	Group       string // failure domain
	Type        string // tasks go to workers of their type only
	Fingerprint string // of what is run; another one is another program

	Entry string // which workers are replicas of one another
	Least int    // so many of its Entry are enough where their work is not tasks; 0: all

	Restart      Policy
	MaxRestarts  int
	RestartDelay time.Duration
	Backoff      Backoff

	StopSignal  int           // number
	StopToGroup bool          // first signal to the process group, not the leader
	Grace       time.Duration // from stop signal to harder means; 0 kills at once

	DependsOn []Dependency
	// NeedsReady: an event Ready ends the start; else ReadyAfter of being alive does.
	NeedsReady       bool
	ReadyAfter       time.Duration
	StartupTimeout   time.Duration // for NeedsReady; 0 waits for ever
	HeartbeatTimeout time.Duration // between events Alive, after the first one; 0: not judged
	HeartbeatAuto    bool          // learned instead, from the intervals seen; see (*Fleet).learn
	HeartbeatFloor   time.Duration // what is learned is never below
	ProgressTimeout  time.Duration // between steps, after the first Progressed; 0: not judged
	Phases           map[string]time.Duration
	NotifyHang       bool          // a hang is told of, and nothing is done about it
	DumpTimeout      time.Duration // for evidence, before a verdict is acted upon; 0: no Dump

	Ranked  bool // a rank of its group's world: restarts and is numbered with the others
	Standby bool // spare: starts only in place of an excluded one
}

// Task is a configured task. Owner may be empty.
type Task struct {
	ID      string
	Owner   string
	Type    string
	Weight  float64
	Payload json.RawMessage
}

// Recovery holds the rules of the chain.
type Recovery struct {
	Auto     bool          // enable_auto_recovery
	StopAll  bool          // stop_all_on_failure
	Reassign bool          // task_reassignment
	Timeout  time.Duration // recovery_timeout, for restart and verify; waits that were asked for are added
	Attempts int           // max_recovery_attempts: chains that time out in a row
	// SameFailures in a row without progress end the run with NoProgress, where
	// the group cannot go on without the worker; 0: never.
	SameFailures int
}

// NoProgress is the exit code of a run that failed again and again in the same
// way.
const NoProgress = 93

// Spec is all that is configured.
type Spec struct {
	Node     string
	Workers  []Worker // in the order of the file: ranks follow it
	Tasks    []Task
	MinRanks map[string]int // group -> least world size; absent: all of its ranks
	Recovery Recovery
}

// check finds what would make the machine wait for ever. The config loader
// reports the same with line numbers; this is for callers of the library.
func (s *Spec) check() error {
	ids := map[string]int{}
	for i, w := range s.Workers {
		if w.ID == "" || w.Group == "" {
			return fmt.Errorf("worker %d has no id or no group", i)
		}
		if _, dup := ids[w.ID]; dup {
			return fmt.Errorf("worker %q is defined twice", w.ID)
		}
		ids[w.ID] = i
	}
	seen := map[string]bool{}
	for _, t := range s.Tasks {
		if t.ID == "" || seen[t.ID] {
			return fmt.Errorf("task %q is empty or defined twice", t.ID)
		}
		seen[t.ID] = true
		if _, ok := ids[t.Owner]; t.Owner != "" && !ok {
			return fmt.Errorf("task %q belongs to unknown worker %q", t.ID, t.Owner)
		}
	}
	return s.checkOrder(ids)
}

var errCycle = errors.New("depends_on goes round in a circle")

func (s *Spec) checkOrder(ids map[string]int) error {
	const fresh, open, closed = 0, 1, 2
	mark := make([]byte, len(s.Workers))
	var visit func(i int) error
	visit = func(i int) error {
		switch mark[i] {
		case open:
			return errCycle
		case closed:
			return nil
		}
		mark[i] = open
		for _, d := range s.Workers[i].DependsOn {
			j, ok := ids[d.Worker]
			if !ok {
				return fmt.Errorf("worker %q depends on unknown worker %q", s.Workers[i].ID, d.Worker)
			}
			if err := visit(j); err != nil {
				return err
			}
		}
		mark[i] = closed
		return nil
	}
	for i := range s.Workers {
		if err := visit(i); err != nil {
			return err
		}
	}
	return nil
}
