//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/state/journal"
	"github.com/procguard/procguard/state/journal/incident"
)

const places = `
state: {dir: /job/state}
control: {socket: /run/procguard.sock}
`

// worker writes who it is, and what it is told before it ends.
const worker = `#!/bin/sh
trap 'echo $PROCGUARD_WORKER_ID >>/job/term; sleep ${SLOW:-0}; exit 143' TERM
echo $$ >/job/$PROCGUARD_WORKER_ID.tmp; mv /job/$PROCGUARD_WORKER_ID.tmp /job/$PROCGUARD_WORKER_ID.pid
while :; do sleep 0.02; done
`

// TestRecovery: kill -9 of one worker, seen from PID 1 of a container.
func TestRecovery(t *testing.T) {
	b := newBox(t, map[string]string{"w.sh": worker, "procguard.yaml": `
workers:
  - {worker_id: w, replicas: 3, command: ./w.sh, restart_delay: 0.1, tasks: [t0, t1, t2, t3, t4, t5]}
` + places})
	b.start()
	b.awaitVerdict("healthy")
	before := pids(b.status().Workers[0].PID, b.status().Workers[1].PID, b.status().Workers[2].PID)
	b.exec("echo last words >/proc/$(cat w_1.pid)/fd/1; kill -9 $(cat w_1.pid)")
	b.eventually("recovery", func() bool { s := b.status(); return s != nil && s.Incidents == 1 && s.Verdict == "healthy" })

	s := b.status()
	for i, w := range s.Workers {
		if w.Status != state.Running || w.PID == before[i] || w.RestartCount != 1 {
			t.Errorf("%+v", w.Worker)
		}
	}
	if s.Workers[1].BudgetUsed != 1 || s.Workers[0].BudgetUsed != 0 {
		t.Errorf("budgets: %d %d", s.Workers[0].BudgetUsed, s.Workers[1].BudgetUsed)
	}
	if term := strings.Fields(b.read("term")); !slices.Equal(sorted(term), []string{"w_0", "w_2"}) {
		t.Errorf("asked to stop: %v", term)
	}
	i := b.incident(1)
	if i.Culprit != "w_1" || i.Cause == nil || i.Cause.Signal != "SIGKILL" || !slices.Equal(sorted(i.Victims), []string{"w_0", "w_2"}) || i.Outcome != incident.Recovered {
		t.Errorf("%+v", i)
	}
	if len(i.Moves) == 0 || i.Moves[0].From != "w_1" {
		t.Errorf("moves: %+v", i.Moves)
	}
	if len(i.Workers) == 0 || !slices.Contains(i.Workers[0].Tail, "last words") {
		t.Errorf("no last words: %+v", i.Workers)
	}
	timeline(t, i)
	if z := b.zombies(); z != "0" {
		t.Errorf("%s zombies", z)
	}
	b.docker("stop", "-t", "30", b.name)
	b.ends(0)
}

func pids(p ...int) []int { return p }

func sorted(s []string) []string { slices.Sort(s); return s }

// timeline: the phases in their order, with times that do not go back.
func timeline(t *testing.T, i *incident.Incident) {
	t.Helper()
	var names []string
	last := 0.0
	for _, p := range i.Phases {
		names = append(names, string(p.Phase))
		if p.SinceMS < last || p.TimeMS < i.TimeMS {
			t.Errorf("time goes back: %+v", i.Phases)
		}
		last = p.SinceMS
	}
	if got := strings.Join(names, " "); got != "detected stopping reassigning restarting verifying completed" {
		t.Errorf("timeline: %s", got)
	}
}

// TestResume: the container is killed in the middle of a phase of the chain, and a
// new one with the same volume goes on from there. Reassigning takes no time that
// could be hit from outside; the simulation crashes there.
func TestResume(t *testing.T) {
	for _, c := range []struct {
		phase state.Phase
		keys  string // of the workers
		ready bool   // whether the ready check is made to fail after the first start
		epoch uint64 // when it is killed
	}{
		{state.StopAll, "env: {SLOW: \"4\"}", false, 0},
		{state.Restart, "restart_delay: 4", false, 1},
		{state.Verify, "ready: {exec: \"test -e /job/ready\"}", true, 1},
	} {
		t.Run(string(c.phase), func(t *testing.T) {
			b := newBox(t, map[string]string{"w.sh": worker, "ready": "", "procguard.yaml": `
workers:
  - {worker_id: w, replicas: 3, command: ./w.sh, tasks: [t0, t1, t2, t3, t4, t5], ` + c.keys + `}
defaults: {restart_delay: 0.1, backoff: {jitter: 0}, startup_timeout: 60}
monitoring: {interval: 0.1}
` + places})
			b.start()
			b.awaitVerdict("healthy")
			if c.ready {
				_ = os.Remove(filepath.Join(b.dir, "ready"))
			}
			b.exec("kill -9 $(cat w_1.pid)")
			b.eventually("phase "+string(c.phase), func() bool { s := b.status(); return s != nil && s.Groups[0].Phase == string(c.phase) })
			b.docker("kill", "-s", "KILL", b.name)
			b.ends(137)
			before := b.volume()
			r := before.Recovery["default"]
			if r == nil || r.Phase != c.phase || r.Incident != 1 || before.Epoch != c.epoch {
				t.Fatalf("on the volume: %+v, epoch %d", r, before.Epoch)
			}
			b.file("ready", "")
			b.start()
			b.eventually("recovery", func() bool { s := b.status(); return s != nil && s.Verdict == "healthy" })
			s, now := b.status(), b.volume()
			if s.Epoch < 1 || s.Incidents != 1 || now.Volume != before.Volume || now.Run != before.Run {
				t.Errorf("epoch %d, incidents %d, run %d -> %d", s.Epoch, s.Incidents, before.Run, now.Run)
			}
			sameBudgets(t, before, now)
			if c.phase != state.StopAll {
				sameOwners(t, before, now)
			}
			if i := b.incident(1); i.Outcome != incident.Recovered || !strings.Contains(fmt.Sprint(i.Notes), "started again in the middle") {
				t.Errorf("%+v", i)
			}
			b.docker("kill", "-s", "KILL", b.name)
		})
	}
}

func (b *box) volume() *state.Snapshot {
	b.Helper()
	s, err := journal.Read(filepath.Join(b.dir, "state"))
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func sameBudgets(t *testing.T, before, now *state.Snapshot) {
	t.Helper()
	for id, was := range before.Workers {
		if is := now.Workers[id]; is.BudgetUsed != was.BudgetUsed || is.Generation < was.Generation || is.RestartCount < was.RestartCount {
			t.Errorf("%s was %+v and is %+v", id, was, is)
		}
	}
	if used := now.Workers["w_1"].BudgetUsed; used != 1 {
		t.Errorf("the culprit has used %d", used)
	}
}

func sameOwners(t *testing.T, before, now *state.Snapshot) {
	t.Helper()
	for id, was := range before.Tasks {
		if is := now.Tasks[id]; is.WorkerID != was.WorkerID {
			t.Errorf("task %s belonged to %s and belongs to %s", id, was.WorkerID, is.WorkerID)
		}
	}
}
