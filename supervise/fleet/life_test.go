package fleet

import (
	"strings"
	"testing"
	"time"

	"github.com/procguard/procguard/state"
)

// alone is a fleet with one worker a that runs, at epoch0.
func alone(t *testing.T, words string) *Fleet {
	t.Helper()
	f, err := New(mustSpec(t, "recovery same=3\nworker a max=9 "+words), state.New())
	if err != nil {
		t.Fatal(err)
	}
	f.Step(epoch0, Boot{Volume: "v"})
	f.Step(epoch0, Started{"a", 1, 5, 5})
	return f
}

// charged is the cause of the first failure in acts.
func charged(acts []Action) *state.Cause {
	for _, a := range acts {
		p, _ := a.(Persist)
		for i := range p.Records {
			if p.Records[i].Kind == state.KindFailure {
				return p.Records[i].Cause
			}
		}
	}
	return nil
}

// TestClasses: each failure says what kind it is and has a signature.
func TestClasses(t *testing.T) {
	verdict := func(k state.CauseKind) Event { return Judged{Worker: "a", Gen: 1, Cause: state.Cause{Kind: k}} }
	for _, c := range []struct {
		name, words string
		after       time.Duration
		e           Event
		class       state.Class
		signature   string
	}{
		{"dies at once", "", time.Second, gone("a", 1, 1), state.ClassStartup, "exit code 1"},
		{"dies before it is ready", "ready=check", time.Hour, gone("a", 1, 1), state.ClassStartup, "exit code 1"},
		{"dies soon, but it was ready", "ready=check", 0, Batch{Ready{"a", 1}, gone("a", 1, 1)}, state.ClassRuntime, "exit code 1"},
		{"dies at work", "", time.Minute, Exited{Worker: "a", Gen: 1, Signal: "SIGABRT", Core: true, Detail: "pid 77", Gone: true}, state.ClassRuntime, "killed by SIGABRT: pid #"},
		{"is never ready", "ready=check startup=5s", 5 * time.Second, Tick{}, state.ClassStartup, "not ready in time: no readiness within #s"},
		{"ended unseen", "", time.Minute, Exited{Worker: "a", Gen: 1, Lost: true, Gone: true}, state.ClassLost, "ended while ProcGuard was away"},
		{"is evicted", "", time.Minute, Exited{Worker: "a", Gen: 1, Signal: "SIGTERM", Class: state.ClassEvicted, Gone: true}, state.ClassEvicted, "killed by SIGTERM"},
		{"has a better signature", "", time.Minute, Exited{Worker: "a", Gen: 1, Code: 1, Detail: "x", Signature: "ValueError@train.py:12", Gone: true}, state.ClassRuntime, "ValueError@train.py:12"},
		{"hangs", "", time.Minute, verdict(state.CauseUnresponsive), state.ClassHang, "unresponsive"},
		{"is a zombie", "", time.Minute, verdict(state.CauseZombie), state.ClassHang, "zombie"},
		{"leaks", "", time.Second, verdict(state.CauseMemory), state.ClassLimit, "more memory than it may use"},
		{"says so", "", time.Second, verdict(state.CauseLog), state.ClassRuntime, "says in its log that it has failed"},
		{"reported", "", time.Minute, Fail{Workers: []string{"a"}, Detail: "by hand"}, state.ClassOperator, "reported failed: by hand"},
	} {
		f := alone(t, c.words)
		got := charged(f.Step(epoch0.Add(c.after), c.e))
		if got == nil || got.Class != c.class || got.Signature != c.signature {
			t.Errorf("%s: %+v, want %s %q", c.name, got, c.class, c.signature)
		}
	}
	f, err := New(mustSpec(t, "worker a"), state.New())
	if err != nil {
		t.Fatal(err)
	}
	f.Step(epoch0, Boot{Volume: "v"})
	if got := charged(f.Step(epoch0, SpawnFailed{"a", 1, "no such file"})); got == nil || got.Class != state.ClassExec {
		t.Errorf("not executed: %+v", got)
	}
}

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "",
		"no numbers...":                 "no numbers...",
		"step 12.5 of 100, at 0xDEADbe": "step # of #, at #",
		"3":                             "#",
		"x0x":                           "x#x",
		"rank3: é":                      "rank#: é",
	} {
		if got := plain(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if long := plain(strings.Repeat("é", 1000)); len(long) > 161 || strings.ContainsRune(long, '\uFFFD') {
		t.Errorf("%d bytes: %q", len(long), long)
	}
}

// TestFrozenLearnsNothing: heartbeats that waited while ProcGuard was stopped
// say nothing about the worker.
func TestFrozenLearnsNothing(t *testing.T) {
	f := alone(t, "floor=30s startup=10m")
	now := epoch0
	for range enough + 1 {
		f.Step(now, Alive{"a", 1})
		now = now.Add(time.Second)
	}
	want := f.snap.Workers["a"].HeartbeatMS
	if want != 1000 {
		t.Fatalf("learned %d ms", want)
	}
	now = now.Add(time.Hour) // frozen; what came meanwhile is read before the clock is looked at
	f.Step(now, Alive{"a", 1})
	f.Step(now, Tick{})
	if s, _ := f.Worker("a"); s.HeartbeatMS != want || s.State != "running" {
		t.Errorf("%+v", s)
	}
}

// TestLearnsSeldom: a worker whose heartbeats become slower and slower costs a
// record for each tenth, not for each heartbeat.
func TestLearnsSeldom(t *testing.T) {
	f := alone(t, "floor=30s startup=10m")
	now, records := epoch0, 0
	for i := range 1000 {
		now = now.Add(time.Second + time.Duration(i)*time.Millisecond)
		for _, a := range f.Step(now, Alive{"a", 1}) {
			if p, ok := a.(Persist); ok {
				records += len(p.Records)
				if p.Sync {
					t.Fatal("waits for the disk")
				}
			}
		}
	}
	if records < 5 || records > 8 { // 2 s is 1 s * 1.1^7
		t.Errorf("%d records", records)
	}
}

// TestHangIsNoHealth: the time in which a hang was found is not a long life.
func TestHangIsNoHealth(t *testing.T) {
	f := alone(t, "progress=30m reset=10m")
	f.Step(epoch0, Progressed{"a", 1, 1})
	f.snap.Workers["a"].BudgetUsed = 2
	acts := f.Step(epoch0.Add(30*time.Minute), Tick{})
	if charged(acts) == nil {
		t.Fatalf("%v", acts)
	}
	if got := f.snap.Workers["a"].BudgetUsed; got != 3 {
		t.Errorf("%d failures are on record, want 3", got)
	}
}
