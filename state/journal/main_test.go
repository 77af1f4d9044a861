package journal

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/procguard/procguard/state"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("PROCGUARD_TEST_APPENDER"); dir != "" {
		appendForEver(dir)
	}
	// A real disk may stall for longer than a test should take.
	if dir, err := os.MkdirTemp("/dev/shm", "journal-test"); err == nil {
		os.Setenv("TMPDIR", dir)
		goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
			_ = os.RemoveAll(dir)
			os.Exit(code)
		}))
	}
	goleak.VerifyTestMain(m)
}

// owner does what the supervisor's loop does: it applies, appends and offers.
type owner struct {
	t    testing.TB
	j    *Journal
	snap *state.Snapshot
}

func open(t testing.TB, dir string, opt Options) *owner {
	t.Helper()
	if opt.SyncTimeout == 0 {
		opt.SyncTimeout = 20 * time.Second // on a busy machine a default would be too short
	}
	j, snap, err := Open(dir, opt)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return &owner{t, j, snap}
}

// do applies and appends recs.
func (o *owner) do(sync bool, recs ...state.Record) error {
	o.t.Helper()
	for i := range recs {
		recs[i].Seq = o.snap.Seq + 1
		if err := state.Apply(o.snap, &recs[i]); err != nil {
			o.t.Fatal(err)
		}
	}
	return o.j.Append(recs, sync)
}

func (o *owner) must(sync bool, recs ...state.Record) {
	o.t.Helper()
	if err := o.do(sync, recs...); err != nil {
		o.t.Fatalf("append: %v", err)
	}
}

// epochs appends n records that say which they are: epoch is Seq.
func (o *owner) epochs(n int) {
	o.t.Helper()
	for range n {
		o.must(true, state.Record{Kind: state.KindEpoch, Epoch: o.snap.Seq + 1})
	}
}

// serve does what is due, once.
func (o *owner) serve() {
	o.t.Helper()
	if !o.j.Wants() {
		return
	}
	if err := o.j.Offer(o.snap.Clone()); err != nil {
		o.t.Fatalf("offer: %v", err)
	}
}

// until serves the journal as a loop would until ok, for a generous while.
func (o *owner) until(what string, ok func() bool) {
	o.t.Helper()
	limit := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(limit) {
			_, why, _ := o.j.Health()
			o.t.Fatalf("%s did not happen; health: %q", what, why)
		}
		o.serve()
		time.Sleep(time.Millisecond)
	}
}

func (o *owner) healthy() bool { ok, _, _ := o.j.Health(); return ok }

func (o *owner) close() {
	o.t.Helper()
	if err := o.j.Close(o.snap.Clone()); err != nil {
		o.t.Fatalf("close: %v", err)
	}
}

// die ends the journal as a kill would: nothing more is written.
func (o *owner) die() {
	o.t.Helper()
	_ = o.j.lock.Close()
	o.j.mu.Lock()
	o.j.closed, o.j.gap = true, true
	close(o.j.wake)
	o.j.mu.Unlock()
	<-o.j.stopped
	o.j.pub.wait.Wait()
	if o.j.seg != nil {
		_ = o.j.seg.file.Close()
	}
}

func text(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func same(t testing.TB, got, want *state.Snapshot) {
	t.Helper()
	if g, w := text(t, got), text(t, want); g != w {
		t.Fatalf("state differs:\ngot  %s\nwant %s", g, w)
	}
}

// onlySegment is the path of the one segment that must be in dir.
func onlySegment(t testing.TB, dir string) string {
	t.Helper()
	paths, err := segmentPaths(dir)
	if err != nil || len(paths) != 1 {
		t.Fatalf("segments are %v, %v; want one", paths, err)
	}
	return paths[0]
}

// spy collects log messages.
type spy struct {
	mu   sync.Mutex
	msgs []string
}

func (s *spy) log(level Level, msg string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.msgs = append(s.msgs, string(level)+" "+msg)
}

func (s *spy) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.msgs...)
}

func write(t testing.TB, dir, name, data string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

// sample is a history with every part of a snapshot in use.
func sample() []state.Record {
	return []state.Record{
		{Kind: state.KindBoot, Volume: "v1", Node: "n1"},
		{Kind: state.KindWorker, Worker: "w0", Group: "default", Fingerprint: "f"},
		{Kind: state.KindWorker, Worker: "w<1>&\u2028", Group: "default", Fingerprint: "f"},
		{Kind: state.KindTask, Task: &state.Task{TaskID: "t0", WorkerID: "w0", Weight: 1, Payload: json.RawMessage(`{"file":"a<b>.txt"}`)}},
		{Kind: state.KindTask, Task: &state.Task{TaskID: "t1", Weight: 2}},
		{Kind: state.KindSpawn, Worker: "w0", Gen: 1},
		{Kind: state.KindStarted, Worker: "w0", Gen: 1, PID: 42, Ticks: 4711, Time: 1700000000123},
		{Kind: state.KindReady, Worker: "w0", Gen: 1, Time: 1700000000456},
		{Kind: state.KindFailure, Worker: "w0", Gen: 1, Incident: 1, Cause: &state.Cause{Kind: state.CauseSignal, Signal: "SIGKILL"}},
		{Kind: state.KindPhase, Group: "default", Phase: state.StopAll, Incident: 1, Attempt: 1, Culprits: []string{"w0"}},
		{Kind: state.KindExit, Worker: "w0", Gen: 1, Cause: &state.Cause{Kind: state.CauseSignal, Signal: "SIGKILL"}},
		{Kind: state.KindAssign, Moves: map[string]string{"t0": "w<1>&\u2028"}},
		{Kind: state.KindEpoch, Epoch: 1},
		{Kind: state.KindPhase, Group: "default", Phase: state.Steady},
	}
}
