package state_test

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"github.com/procguard/procguard/state"
)

var allKinds = []state.Kind{
	state.KindBoot, state.KindRun, state.KindWorker, state.KindForget, state.KindTask, state.KindDrop, state.KindSpawn,
	state.KindStarted, state.KindReady, state.KindExit, state.KindGone, state.KindFailure, state.KindRefill, state.KindPhase,
	state.KindEpoch, state.KindAssign, state.KindSetAside, state.KindDone, state.KindExclude, state.KindActivate,
	state.KindHold, state.KindStatus, state.KindFinish,
	state.KindBeat, state.KindProgress, state.KindNotice,
}

// anyRecord draws a record with few names, so that many of them fit. Workers
// and tasks are made more often than they are lost.
func anyRecord(t *rapid.T, seq uint64) *state.Record {
	workers := rapid.SampledFrom([]string{"a", "b", "c", "d", ""})
	tasks := rapid.SampledFrom([]string{"t1", "t2", "t3", "t4", "t5", ""})
	many := append([]state.Kind{state.KindWorker, state.KindTask, state.KindAssign, state.KindTask, state.KindAssign}, allKinds...)
	r := &state.Record{
		Seq:      seq,
		Time:     rapid.Int64Range(0, 1e13).Draw(t, "time"),
		Kind:     rapid.SampledFrom(many).Draw(t, "kind"),
		Worker:   workers.Draw(t, "worker"),
		Gen:      rapid.Uint64Range(0, 2).Draw(t, "gen"),
		Group:    rapid.SampledFrom([]string{"g1", "g2"}).Draw(t, "group"),
		Phase:    rapid.SampledFrom([]state.Phase{state.Steady, state.StopAll, state.Verify, state.GaveUp}).Draw(t, "phase"),
		TaskID:   tasks.Draw(t, "task"),
		Expected: rapid.Bool().Draw(t, "expected"),
		Incident: rapid.Uint64Range(0, 9).Draw(t, "incident"),
		Moves:    rapid.MapOfN(tasks, workers, 0, 3).Draw(t, "moves"),
		Culprits: rapid.SliceOfN(workers, 0, 2).Draw(t, "culprits"),
	}
	r.Unit = rapid.SampledFrom([]string{"", "a", state.RankUnit("g1")}).Draw(t, "unit")
	r.Step, r.Millis = rapid.Int64Range(0, 9).Draw(t, "step"), rapid.Int64Range(0, 9).Draw(t, "ms")
	r.Count = rapid.IntRange(0, 3).Draw(t, "count")
	if rapid.Bool().Draw(t, "with cause") {
		r.Cause = &state.Cause{Kind: state.CauseExit, Code: 1, Signature: rapid.SampledFrom([]string{"", "exit 1"}).Draw(t, "signature")}
	}
	if r.Kind == state.KindTask {
		r.Task = &state.Task{TaskID: tasks.Draw(t, "new task"), WorkerID: workers.Draw(t, "owner"), Weight: 1}
	}
	return r
}

// Whatever records come: a refused one changes nothing, an applied one leaves a
// valid snapshot, a clone made before is untouched, a snapshot survives its JSON.
func TestRandomRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, second := state.New(), state.New()
		for range rapid.IntRange(1, 60).Draw(t, "length") {
			before := text(t, s)
			clone := s.Clone()
			r := anyRecord(t, s.Seq+1)
			err := state.Apply(s, r)
			if got := text(t, clone); got != before {
				t.Fatalf("%s changed a clone:\n%s\n%s", r.Kind, before, got)
			}
			if err != nil {
				if got := text(t, s); got != before {
					t.Fatalf("refused %s changed the state: %v", r.Kind, err)
				}
				continue
			}
			if err := s.Validate(); err != nil {
				t.Fatalf("after %s: %v", r.Kind, err)
			}
			if err := state.Apply(second, overJSON(t, r)); err != nil {
				t.Fatalf("the same record, read back, was refused: %v", err)
			}
		}
		if a, b := text(t, s), text(t, second); a != b {
			t.Fatalf("the same records gave\n%s\n%s", a, b)
		}
	})
}

func overJSON(t *rapid.T, r *state.Record) *state.Record {
	var back state.Record
	if err := json.Unmarshal([]byte(text(t, r)), &back); err != nil {
		t.Fatal(err)
	}
	return &back
}

func text(t *rapid.T, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Clone shares nothing that Apply changes, in the other direction too.
func TestCloneIsIndependent(t *testing.T) {
	s := play(t, append(base(),
		state.Record{Kind: state.KindPhase, Group: "default", Phase: state.StopAll, Culprits: []string{"a"}},
		state.Record{Kind: state.KindFailure, Worker: "a", Unit: "a", Step: 5},
		state.Record{Kind: state.KindFinish, Code: 1})...)
	before := mustJSON(t, s)
	c := s.Clone()
	c.Workers["a"].AssignedTasks[0] = "x"
	c.Workers["a"].PID = 1
	c.Tasks["t1"].Deaths = 9
	c.TaskQueue[0] = "x"
	c.Recovery["default"].Culprits[0] = "x"
	c.Finished.Code = 2
	c.Tracks["a"].Step = 9
	delete(c.Workers, "b")
	delete(c.Recovery, "default")
	if after := mustJSON(t, s); after != before {
		t.Errorf("changing a clone changed the original:\n%s\n%s", before, after)
	}
}
