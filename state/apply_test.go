package state_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/procguard/procguard/state"
)

// play applies recs, numbering them, to a new snapshot.
func play(t *testing.T, recs ...state.Record) *state.Snapshot {
	t.Helper()
	s := state.New()
	for i := range recs {
		recs[i].Seq = s.Seq + 1
		if err := state.Apply(s, &recs[i]); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		if err := s.Validate(); err != nil {
			t.Fatalf("after record %d (%s): %v", i, recs[i].Kind, err)
		}
	}
	return s
}

func worker(id string) state.Record {
	return state.Record{Kind: state.KindWorker, Worker: id, Group: "default", Fingerprint: "f"}
}

func task(id, owner string) state.Record {
	return state.Record{Kind: state.KindTask, Task: &state.Task{TaskID: id, WorkerID: owner, Weight: 1}}
}

// base is two workers, a with t1 and t2 running as pid 7, b idle, and t3 queued.
func base() []state.Record {
	return []state.Record{
		{Kind: state.KindBoot, Volume: "v1", Node: "n1"},
		worker("a"), worker("b"),
		task("t1", "a"), task("t2", "a"), task("t3", ""),
		{Kind: state.KindSpawn, Worker: "a", Gen: 1},
		{Kind: state.KindStarted, Worker: "a", Gen: 1, PID: 7, Ticks: 99, Time: 1500},
		{Kind: state.KindReady, Worker: "a", Gen: 1, Time: 2500},
	}
}

func signed(s string) *state.Cause { return &state.Cause{Kind: state.CauseExit, Code: 1, Signature: s} }

var segv = &state.Cause{Kind: state.CauseSignal, Signal: "SIGSEGV", Core: true}

// Each row: records after base, and what must then be in the JSON of the part
// of the snapshot that is named.
var kinds = []struct {
	name string
	recs []state.Record
	part func(*state.Snapshot) any
	want string
}{
	{"boot keeps the first volume", []state.Record{{Kind: state.KindBoot, Volume: "v2", Node: "n2"}},
		func(s *state.Snapshot) any { return []any{s.Volume, s.Node, s.Boots} }, `["v1","n2",2]`},
	{"ready", nil,
		func(s *state.Snapshot) any {
			w := s.Workers["a"]
			return []any{w.Status, w.PID, w.StartTicks, w.StartTime, w.ReadyTime}
		},
		`["running",7,99,1.5,2.5]`},
	{"worker with the same fingerprint keeps all", []state.Record{
		{Kind: state.KindFailure, Worker: "a", Cause: segv},
		{Kind: state.KindWorker, Worker: "a", Group: "g2", Fingerprint: "f", Standby: true}},
		func(s *state.Snapshot) any { w := s.Workers["a"]; return []any{w.Group, w.BudgetUsed, w.Standby} }, `["g2",1,false]`},
	{"worker with another fingerprint gets a whole budget", []state.Record{
		{Kind: state.KindFailure, Worker: "a", Cause: segv},
		{Kind: state.KindExclude, Worker: "a"},
		{Kind: state.KindWorker, Worker: "a", Group: "default", Fingerprint: "g", Standby: true}},
		func(s *state.Snapshot) any {
			w := s.Workers["a"]
			return []any{w.BudgetUsed, w.Excluded, w.Standby, w.PID}
		}, `[0,false,true,7]`},
	{"forget queues its tasks", []state.Record{{Kind: state.KindForget, Worker: "a"}},
		func(s *state.Snapshot) any { return []any{len(s.Workers), s.TaskQueue, s.Tasks["t1"].Status} }, `[1,["t3","t1","t2"],"queued"]`},
	{"drop of an owned task", []state.Record{{Kind: state.KindDrop, TaskID: "t1"}},
		func(s *state.Snapshot) any { return []any{len(s.Tasks), s.Workers["a"].AssignedTasks} }, `[2,["t2"]]`},
	{"drop of a queued task", []state.Record{{Kind: state.KindDrop, TaskID: "t3"}},
		func(s *state.Snapshot) any { return []any{len(s.Tasks), s.TaskQueue} }, `[2,[]]`},
	{"spawn forgets the old process", []state.Record{{Kind: state.KindSpawn, Worker: "a", Gen: 2, Retry: true}},
		func(s *state.Snapshot) any {
			w := s.Workers["a"]
			return []any{w.Generation, w.Status, w.PID, w.StartTicks, w.RestartCount}
		},
		`[2,"starting",0,0,1]`},
	{"a start that is no retry does not count", []state.Record{{Kind: state.KindSpawn, Worker: "a", Gen: 2}},
		func(s *state.Snapshot) any { return s.Workers["a"].RestartCount }, `0`},
	{"exit in failure", []state.Record{{Kind: state.KindExit, Worker: "a", Gen: 1, Cause: segv}},
		func(s *state.Snapshot) any { w := s.Workers["a"]; return []any{w.Status, w.PID, w.LastError} },
		`["failed",0,"killed by SIGSEGV (core dumped)"]`},
	{"exit as asked", []state.Record{{Kind: state.KindExit, Worker: "a", Gen: 1, Cause: segv, Expected: true}},
		func(s *state.Snapshot) any { w := s.Workers["a"]; return []any{w.Status, w.LastError} }, `["stopped",""]`},
	{"gone", []state.Record{{Kind: state.KindGone, Worker: "a", Gen: 1}},
		func(s *state.Snapshot) any { w := s.Workers["a"]; return []any{w.PID, w.StartTicks} }, `[0,0]`},
	{"failure charges the worker and its tasks", []state.Record{{Kind: state.KindFailure, Worker: "a", Cause: segv, Incident: 4}},
		func(s *state.Snapshot) any {
			return []any{s.Workers["a"].BudgetUsed, s.Tasks["t1"].Deaths, s.Tasks["t3"].Deaths, s.Incidents}
		},
		`[1,1,0,4]`},
	{"a failure that counts goes on record", []state.Record{
		{Kind: state.KindFailure, Worker: "a", Cause: signed("x"), Unit: "a", Step: 7, Count: 1},
		{Kind: state.KindFailure, Worker: "a", Cause: signed("x"), Unit: "a", Step: 5, Count: 2},
		{Kind: state.KindFailure, Worker: "a", Cause: signed("y"), Unit: "a"}},
		func(s *state.Snapshot) any { return []any{s.Tracks["a"], s.Workers["a"].BudgetUsed} }, `[{"step":7,"signature":"x","count":2},3]`},
	{"progress ends the row and fills the budget", []state.Record{
		{Kind: state.KindFailure, Worker: "a", Cause: signed("x"), Unit: "a", Step: 7, Count: 1},
		{Kind: state.KindProgress, Worker: "a", Unit: "a", Step: 9}},
		func(s *state.Snapshot) any { return []any{s.Tracks["a"], s.Workers["a"].BudgetUsed} }, `[{"step":9},0]`},
	{"another program has its own track and heartbeat", []state.Record{
		{Kind: state.KindBeat, Worker: "a", Millis: 900},
		{Kind: state.KindFailure, Worker: "a", Cause: signed("x"), Unit: state.RankUnit("default"), Count: 1},
		{Kind: state.KindWorker, Worker: "a", Group: "default", Fingerprint: "g"}},
		func(s *state.Snapshot) any { return []any{s.Tracks, s.Workers["a"].HeartbeatMS} }, `[{},0]`},
	{"the same program keeps them", []state.Record{
		{Kind: state.KindBeat, Worker: "a", Millis: 900},
		{Kind: state.KindFailure, Worker: "a", Cause: signed("x"), Unit: "a", Count: 1},
		{Kind: state.KindWorker, Worker: "a", Group: "default", Fingerprint: "f"}},
		func(s *state.Snapshot) any { return []any{s.Tracks["a"].Count, s.Workers["a"].HeartbeatMS} }, `[1,900]`},
	{"a release is a clean slate", []state.Record{
		{Kind: state.KindFailure, Worker: "a", Cause: signed("x"), Unit: "a", Count: 1}, {Kind: state.KindHold, Worker: "a"}},
		func(s *state.Snapshot) any { return s.Tracks }, `{}`},
	{"a notice uses up a number and nothing else", []state.Record{{Kind: state.KindNotice, Worker: "a", Cause: segv, Incident: 4}},
		func(s *state.Snapshot) any {
			return []any{s.Incidents, s.Workers["a"].BudgetUsed, s.Tasks["t1"].Deaths}
		}, `[4,0,0]`},
	{"a leak is not the tasks' fault", []state.Record{{Kind: state.KindFailure, Worker: "a", Cause: &state.Cause{Kind: state.CauseMemory}}},
		func(s *state.Snapshot) any { return []any{s.Workers["a"].BudgetUsed, s.Tasks["t1"].Deaths} }, `[1,0]`},
	{"refill", []state.Record{{Kind: state.KindFailure, Worker: "a"}, {Kind: state.KindRefill, Worker: "a"}},
		func(s *state.Snapshot) any { return []any{s.Workers["a"].BudgetUsed, s.Tasks["t1"].Deaths} }, `[0,1]`},
	{"phase opens a chain and moves it", []state.Record{
		{Kind: state.KindPhase, Group: "default", Phase: state.StopAll, Incident: 1, Attempt: 1, Culprits: []string{"a"}, Time: 1000},
		{Kind: state.KindPhase, Group: "default", Phase: state.Restart, Incident: 1, Attempt: 2, Time: 9000, Why: "again"}},
		func(s *state.Snapshot) any { return s.Recovery["default"] },
		`{"phase":"restarting","incident":1,"attempt":2,"culprits":[],"since":1,"why":"again"}`},
	{"steady ends a chain", []state.Record{
		{Kind: state.KindPhase, Group: "default", Phase: state.StopAll},
		{Kind: state.KindPhase, Group: "default", Phase: state.Steady}},
		func(s *state.Snapshot) any { return s.Recovery }, `{}`},
	{"epoch", []state.Record{{Kind: state.KindEpoch, Epoch: 9}}, func(s *state.Snapshot) any { return s.Epoch }, `9`},
	{"assign moves, queues and takes from the queue", []state.Record{
		{Kind: state.KindAssign, Moves: map[string]string{"t1": "b", "t2": "", "t3": "a"}}},
		func(s *state.Snapshot) any {
			return []any{s.Workers["a"].AssignedTasks, s.Workers["b"].AssignedTasks, s.TaskQueue}
		}, `[["t3"],["t1"],["t2"]]`},
	{"set aside", []state.Record{{Kind: state.KindSetAside, TaskID: "t1"}},
		func(s *state.Snapshot) any {
			return []any{s.Tasks["t1"].Status, s.Tasks["t1"].WorkerID, s.Workers["a"].AssignedTasks}
		},
		`["set_aside","",["t2"]]`},
	{"done with its tasks", []state.Record{{Kind: state.KindDone, Worker: "a"}},
		func(s *state.Snapshot) any {
			return []any{s.Workers["a"].Done, s.Workers["a"].Status, s.Tasks["t1"].Status, s.Tasks["t2"].Status, s.TaskQueue}
		}, `[true,"stopped","done","done",["t3"]]`},
	{"exclude", []state.Record{{Kind: state.KindExclude, Worker: "a", Why: "out of budget"}},
		func(s *state.Snapshot) any { w := s.Workers["a"]; return []any{w.Excluded, w.Status, w.LastError} }, `[true,"failed","out of budget"]`},
	{"activate", []state.Record{{Kind: state.KindWorker, Worker: "c", Standby: true}, {Kind: state.KindActivate, Worker: "c"}},
		func(s *state.Snapshot) any { return s.Workers["c"].Standby }, `false`},
	{"hold", []state.Record{{Kind: state.KindHold, Worker: "a", Held: true}}, func(s *state.Snapshot) any { return s.Workers["a"].Held }, `true`},
	{"status", []state.Record{{Kind: state.KindStatus, Worker: "a", Status: state.Zombie}},
		func(s *state.Snapshot) any { return s.Workers["a"].Status }, `"zombie"`},
	{"finish", []state.Record{{Kind: state.KindFinish, Code: 10, Why: "gave up", Time: 2000}},
		func(s *state.Snapshot) any { return s.Finished }, `{"code":10,"why":"gave up","time":2}`},
	{"run starts afresh but never counts anew", []state.Record{
		{Kind: state.KindFailure, Worker: "a", Incident: 3}, {Kind: state.KindEpoch, Epoch: 5}, {Kind: state.KindFinish, Code: 10},
		{Kind: state.KindPhase, Group: "default", Phase: state.GaveUp}, {Kind: state.KindRun}},
		func(s *state.Snapshot) any {
			w := s.Workers["a"]
			return []any{s.Run, s.Epoch, s.Incidents, s.Finished, len(s.Recovery), len(s.Tasks), w.BudgetUsed, w.Generation, w.Status, w.AssignedTasks}
		}, `[1,5,3,null,0,0,0,1,"unknown",[]]`},
}

func TestApply(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			s := play(t, append(base(), k.recs...)...)
			got, err := json.Marshal(k.part(s))
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != k.want {
				t.Errorf("got  %s\nwant %s", got, k.want)
			}
		})
	}
}

func TestApplyRefuses(t *testing.T) {
	rows := []struct {
		name string
		rec  state.Record
		want string
	}{
		{"out of order", state.Record{Seq: 3, Kind: state.KindRun}, "follows"},
		{"unknown kind", state.Record{Kind: "later"}, `unknown kind "later"`},
		{"unknown worker", state.Record{Kind: state.KindSpawn, Worker: "x"}, `unknown worker "x"`},
		{"worker without a name", state.Record{Kind: state.KindWorker}, "no worker"},
		{"other generation", state.Record{Kind: state.KindExit, Worker: "a", Gen: 2}, "generation 1, not 2"},
		{"unknown worker of an instance", state.Record{Kind: state.KindExit, Worker: "x"}, `unknown worker "x"`},
		{"known task", task("t1", ""), "known"},
		{"task without content", state.Record{Kind: state.KindTask}, "missing"},
		{"task of an unknown worker", task("t9", "x"), `unknown worker "x"`},
		{"assign to an unknown worker", state.Record{Kind: state.KindAssign, Moves: map[string]string{"t1": "b", "t2": "x"}}, "unknown"},
		{"assign of an unknown task", state.Record{Kind: state.KindAssign, Moves: map[string]string{"t1": "b", "t9": "b"}}, "unknown"},
		{"drop of an unknown task", state.Record{Kind: state.KindDrop, TaskID: "t9"}, "unknown task"},
		{"set aside of an unknown task", state.Record{Kind: state.KindSetAside, TaskID: "t9"}, "unknown task"},
		{"forget of an unknown worker", state.Record{Kind: state.KindForget, Worker: "x"}, "unknown worker"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s := play(t, base()...)
			before := mustJSON(t, s)
			if row.rec.Seq == 0 {
				row.rec.Seq = s.Seq + 1
			}
			err := state.Apply(s, &row.rec)
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Fatalf("error is %v, want one with %q", err, row.want)
			}
			if after := mustJSON(t, s); after != before {
				t.Errorf("a refused record changed the state:\n%s\n%s", before, after)
			}
		})
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCauseString(t *testing.T) {
	rows := map[string]state.Cause{
		"exit code 3":                        {Kind: state.CauseExit, Code: 3},
		"killed by SIGKILL":                  {Kind: state.CauseSignal, Signal: "SIGKILL"},
		"could not be started: no such file": {Kind: state.CauseSpawn, Detail: "no such file"},
		"not ready in time":                  {Kind: state.CauseStartup},
		"ended while ProcGuard was away":     {Kind: state.CauseLost},
		"reported failed":                    {Kind: state.CauseOperator},
		"unresponsive: no heartbeat":         {Kind: state.CauseUnresponsive, Detail: "no heartbeat"},
		"no progress: none for 1m":           {Kind: state.CauseNoProgress, Detail: "none for 1m"},
		"more memory than it may use: 9 GiB": {Kind: state.CauseMemory, Detail: "9 GiB"},
		"more CPU than it may use":           {Kind: state.CauseCPU},
		"says in its log that it has failed": {Kind: state.CauseLog},
	}
	for want, c := range rows {
		if got := c.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
