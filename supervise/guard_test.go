package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/config"
	"github.com/procguard/procguard/supervise/fleet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// rig is a running Guard with what it printed.
type rig struct {
	*Guard
	t    *testing.T
	ctx  context.Context
	out  *buffer
	dir  string
	wait func() (Outcome, error)
}

// settings are the usual ones of these tests, in a directory of their own.
func settings(t *testing.T, workers ...config.Worker) *config.Config {
	t.Helper()
	dir := t.TempDir()
	cfg := config.Default()
	cfg.State.Dir, cfg.State.DirSet = filepath.Join(dir, "state"), true
	cfg.Control.Socket, cfg.Control.SocketSet = filepath.Join(dir, "sock"), true
	cfg.Workers = workers
	return cfg
}

func sh(id, script string) config.Worker {
	w := config.NewWorker(id, "/bin/sh", "-c", script)
	w.RestartDelay, w.Stop.Grace = 20*time.Millisecond, 5*time.Second
	return w
}

const sleeper = "exec sleep 1000"

func start(t *testing.T, cfg *config.Config, opt Options) *rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	out := &buffer{}
	opt.Stdout, opt.Stderr = out, out
	g, err := New(cfg, opt)
	if err != nil {
		t.Fatal(err)
	}
	wait, err := g.Start(ctx)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r := &rig{Guard: g, t: t, ctx: ctx, out: out, dir: cfg.State.Dir, wait: wait}
	t.Cleanup(func() {
		g.Shutdown("test is over", true)
		_, _ = wait()
		cancel()
		if t.Failed() {
			t.Logf("output:\n%s", out)
		}
	})
	return r
}

func (r *rig) await(what string, cond func(fleet.Status) bool) {
	r.t.Helper()
	if err := r.Await(r.ctx, cond); err != nil {
		s, _ := r.Status(context.Background())
		r.t.Fatalf("%s: %v; %+v", what, err, s)
	}
}

func state1(id, want string) func(fleet.Status) bool {
	return func(s fleet.Status) bool { return find(s, id).State == want }
}

func find(s fleet.Status, id string) fleet.WorkerStatus {
	i := slices.IndexFunc(s.Workers, func(w fleet.WorkerStatus) bool { return w.WorkerID == id })
	if i < 0 {
		return fleet.WorkerStatus{}
	}
	return s.Workers[i]
}

// steady is: all run, and no chain is under way.
func steady(s fleet.Status) bool {
	for _, w := range s.Workers {
		if w.State != "running" {
			return false
		}
	}
	return !slices.ContainsFunc(s.Groups, func(g fleet.GroupStatus) bool { return g.Phase != state.Steady })
}

func (r *rig) worker(id string) fleet.WorkerStatus {
	r.t.Helper()
	w, err := r.WorkerStatus(r.ctx, id)
	if err != nil {
		r.t.Fatal(err)
	}
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestChain: one is killed; the callback is told, the events come in order, the
// others are stopped, tasks move, all come back.
func TestChain(t *testing.T) {
	cfg := settings(t, sh("a", sleeper), sh("b", sleeper), sh("c", sleeper))
	cfg.Tasks = []config.Task{{ID: "t", WorkerID: "b", WorkerType: "default", Weight: 1}}
	var mu sync.Mutex
	var told []Failure
	r := start(t, cfg, Options{OnFailure: func(list []Failure) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, list...)
	}})
	r.await("start", steady)
	sub := r.Events()
	defer sub.Close()
	before := r.worker("c").PID
	must(t, syscall.Kill(r.worker("b").PID, syscall.SIGKILL))
	var phases []string
	var last uint64
	for !slices.Contains(phases, "completed") {
		e, ok := sub.Next(r.ctx)
		if !ok {
			t.Fatalf("events ended after %v", phases)
		}
		if last != 0 && e.Seq != last+1 {
			t.Errorf("event %d follows %d", e.Seq, last)
		}
		if last = e.Seq; e.Kind == fleet.NotePhase {
			phases = append(phases, string(e.Phase))
		}
	}
	if want := "detected stopping reassigning restarting verifying completed"; strings.Join(phases, " ") != want {
		t.Errorf("phases %v", phases)
	}
	b, c := r.worker("b"), r.worker("c")
	if b.BudgetUsed != 1 || b.RestartCount != 1 || c.BudgetUsed != 0 || c.RestartCount != 1 || c.PID == before {
		t.Errorf("b %+v, c %+v", b, c)
	}
	if len(b.AssignedTasks) != 0 {
		t.Errorf("b still has %v", b.AssignedTasks)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 1 || told[0].Worker != "b" || told[0].Cause.Signal != "SIGKILL" || told[0].Incident != 1 {
		t.Errorf("callback was told %+v", told)
	}
}

// TestSeedMethods walks through what the original's ProcessManager could do.
func TestSeedMethods(t *testing.T) {
	r := start(t, settings(t, sh("a", sleeper), sh("b", "trap '' TERM; while :; do sleep 1000 & wait; done")), Options{})
	r.await("start", steady)
	must(t, r.StopWorker(r.ctx, "a", false))
	r.await("a stops", func(s fleet.Status) bool { return find(s, "a").PID == 0 && find(s, "a").Held })
	if r.worker("b").State != "running" {
		t.Error("b must not mind")
	}
	must(t, r.StopWorker(r.ctx, "b", true)) // it ignores SIGTERM
	r.await("b is killed", state1("b", "idle"))
	must(t, r.StartWorker(r.ctx, "a"))
	must(t, r.StartWorker(r.ctx, "b"))
	r.await("both run", steady)
	pid := r.worker("a").PID
	must(t, r.RestartWorker(r.ctx, "a"))
	r.await("a is another", func(s fleet.Status) bool { return find(s, "a").State == "running" && find(s, "a").PID != pid })
	must(t, r.RestartHealthy(r.ctx, "b"))
	r.await("a is back, b is not", func(s fleet.Status) bool {
		return find(s, "a").RestartCount == 3 && find(s, "a").State == "running" && find(s, "b").Held && find(s, "b").PID == 0
	})
	must(t, r.StopAll(r.ctx, true))
	for _, id := range []string{"a", "b"} {
		if w := r.worker(id); w.PID != 0 || w.BudgetUsed != 0 {
			t.Errorf("%s: %+v", id, w)
		}
	}
	if err := r.StartWorker(r.ctx, "nobody"); !errors.Is(err, ErrUnknownWorker) {
		t.Errorf("unknown worker: %v", err)
	}
}

func TestHandleFailure(t *testing.T) {
	r := start(t, settings(t, sh("a", sleeper), sh("b", sleeper)), Options{})
	r.await("start", steady)
	pid := r.worker("b").PID
	must(t, r.HandleFailure(r.ctx, "a"))
	r.await("recovered", func(s fleet.Status) bool { return steady(s) && find(s, "b").PID != pid && find(s, "a").BudgetUsed == 1 })
}

// TestHeartbeatTimeout: one heartbeat and then silence, in the first life only.
// Who never sent one is not judged by it.
func TestHeartbeatTimeout(t *testing.T) {
	cfg := settings(t, sh("file", `[ $PROCGUARD_RESTART_COUNT -gt 0 ] || touch "$PROCGUARD_HEARTBEAT_FILE"; exec sleep 1000`), sh("bus", sleeper))
	cfg.Monitoring.HeartbeatTimeout = 300 * time.Millisecond
	cfg.Monitoring.ZombieDetection = false
	r := start(t, cfg, Options{})
	r.await("recovered", func(s fleet.Status) bool { return steady(s) && find(s, "file").RestartCount == 1 })
	if w := r.worker("file"); !strings.Contains(w.LastError, "no heartbeat for 300ms") {
		t.Errorf("last error %q", w.LastError)
	}
	if w := r.worker("bus"); w.BudgetUsed != 0 || w.LastHeartbeat != 0 {
		t.Errorf("it never sent a heartbeat: %+v", w)
	}
	must(t, r.Heartbeat(r.ctx, "bus"))
	if r.worker("bus").LastHeartbeat == 0 {
		t.Error("the heartbeat is not known")
	}
	r.await("judged by it from now on", func(s fleet.Status) bool { return steady(s) && find(s, "bus").BudgetUsed == 1 })
}

func TestRegisterAndReload(t *testing.T) {
	cfg := settings(t, sh("a", sleeper), sh("b", sleeper))
	r := start(t, cfg, Options{})
	r.await("start", steady)
	a, b := r.worker("a").PID, r.worker("b").PID
	must(t, r.Register(r.ctx, sh("c", sleeper)))
	r.await("c runs", state1("c", "running"))
	if err := r.Register(r.ctx, sh("c", sleeper)); err == nil {
		t.Error("c was registered twice")
	}
	next := *r.Config()
	next.Workers = []config.Worker{sh("a", sleeper), sh("b", "exec sleep 2000")}
	must(t, r.Reload(r.ctx, &next))
	r.await("b is another, c is gone", func(s fleet.Status) bool {
		return len(s.Workers) == 2 && find(s, "b").State == "running" && find(s, "b").PID != b
	})
	if got := r.worker("a").PID; got != a {
		t.Errorf("a was %d and is %d although nothing of it changed", a, got)
	}
}

func TestAllDone(t *testing.T) {
	r := start(t, settings(t, sh("a", "exit 0"), sh("b", "sleep 0.1")), Options{})
	out, err := r.wait()
	if err != nil || out.Code != 0 || out.Why != "all work done" {
		t.Errorf("%+v, %v", out, err)
	}
	if err := r.StartWorker(r.ctx, "a"); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after the end: %v", err)
	}
	if _, err := r.Run(r.ctx); err == nil {
		t.Error("a Guard ran twice")
	}
}

func TestGivesUp(t *testing.T) {
	w := sh("a", "exit 7")
	w.MaxRestarts = 1
	r := start(t, settings(t, w), Options{})
	out, err := r.wait()
	if err != nil || out.Code != 10 || !strings.Contains(out.Why, "exit code 7") || !strings.Contains(out.Why, "max_restarts (1)") {
		t.Errorf("%+v, %v", out, err)
	}
}

// TestContextAsksForTheOrderlyStop, and whoever had to be killed is named.
func TestContextAsksForTheOrderlyStop(t *testing.T) {
	deaf := sh("deaf", "trap '' TERM; echo deaf now; while :; do sleep 1000 & wait; done")
	deaf.Stop.Grace = 300 * time.Millisecond
	ready := deaf.Ready
	ready.Log = regexp.MustCompile("deaf now")
	deaf.Ready = ready
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cfg := settings(t, deaf, sh("good", sleeper))
	out := &buffer{}
	g, err := New(cfg, Options{Stdout: out, Stderr: out})
	must(t, err)
	wait, err := g.Start(ctx)
	must(t, err)
	must(t, g.Await(context.Background(), steady))
	cancel()
	o, err := wait()
	if err != nil || o.Code != 0 || !strings.Contains(o.Why, "had to be killed: deaf") {
		t.Errorf("%+v, %v\n%s", o, err, out)
	}
}

// TestEnvironment: what a worker is told, and that nothing leaks from one to the
// next or back into the configuration.
func TestEnvironment(t *testing.T) {
	w := sh("w", "env; exit 3")
	w.Env = map[string]string{"MINE": "x"}
	w.MaxRestarts = 1
	torch := sh("rank_0", "env")
	torch.Launcher, torch.Group = "torch", "ranks"
	cfg := settings(t, w, torch)
	cfg.Tasks = []config.Task{{ID: "t1", WorkerID: "w", WorkerType: "default", Weight: 1}}
	r := start(t, cfg, Options{})
	_, _ = r.wait()
	text := r.out.String()
	for _, want := range []string{"[w] MINE=x", "[w] PROCGUARD_WORKER_ID=w", "[w] PROCGUARD_RESTART_COUNT=0", "[w] PROCGUARD_RESTART_COUNT=1",
		`[w] PROCGUARD_TASKS=["t1"]`, "[w] PROCGUARD_EPOCH=0", "[w] PROCGUARD_EPOCH=1", "[w] PROCGUARD_GROUP=default",
		"[rank_0] RANK=0", "[rank_0] WORLD_SIZE=1", "[rank_0] MASTER_ADDR=127.0.0.1", "[rank_0] MASTER_PORT=", "[rank_0] LOCAL_RANK=0",
		"[rank_0] TORCHELASTIC_RUN_ID=", "[rank_0] TORCHELASTIC_USE_AGENT_STORE=False", "[rank_0] TORCHELASTIC_MAX_RESTARTS=3",
		"[rank_0] TORCHELASTIC_ERROR_FILE=", "[rank_0] ROLE_NAME="} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the output", want)
		}
	}
	for _, not := range []string{"[w] RANK=", "[rank_0] MINE="} {
		if strings.Contains(text, not) {
			t.Errorf("%q in the output", not)
		}
	}
	if len(w.Env) != 1 {
		t.Errorf("the configuration's map was changed: %v", w.Env)
	}
}

// TestTaskFile has the payloads, and follows the assignment while a worker lives.
func TestTaskFile(t *testing.T) {
	cfg := settings(t, sh("a", `cat "$PROCGUARD_TASKS_FILE"; `+sleeper), sh("b", sleeper))
	cfg.Recovery.StopAllOnFailure = false
	cfg.Tasks = []config.Task{{ID: "one", WorkerID: "a", WorkerType: "default", Weight: 1, Payload: []byte(`{"file":"x"}`)},
		{ID: "two", WorkerID: "b", WorkerType: "default", Weight: 1}}
	r := start(t, cfg, Options{})
	r.await("start", steady)
	must(t, syscall.Kill(r.worker("b").PID, syscall.SIGKILL))
	r.await("two has moved", func(s fleet.Status) bool { return steady(s) && len(find(s, "a").AssignedTasks) == 2 })
	snap, err := r.State(r.ctx)
	must(t, err)
	data, err := os.ReadFile(filepath.Join(shm, "procguard-"+snap.Volume, "a.tasks.json"))
	if err != nil || !strings.Contains(string(data), `"two"`) || !strings.Contains(string(data), `{"file":"x"}`) {
		t.Errorf("%s, %v", data, err)
	}
}

// TestNoVolume: nothing can be written, and supervision goes on all the same.
func TestNoVolume(t *testing.T) {
	cfg := settings(t, sh("a", sleeper))
	blocker := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(blocker, nil, 0o600))
	cfg.State.Dir = filepath.Join(blocker, "state") // below a file: no directory can be made
	r := start(t, cfg, Options{})
	r.await("start", steady)
	must(t, syscall.Kill(r.worker("a").PID, syscall.SIGKILL))
	r.await("recovered", func(s fleet.Status) bool { return steady(s) && find(s, "a").RestartCount == 1 })
	doc, err := backend{r.Guard}.Status(r.ctx)
	if err != nil || doc.Verdict != "degraded" || len(doc.Degraded) == 0 {
		t.Errorf("%+v, %v", doc, err)
	}
}

// TestStateSurvives: a second Guard goes on where the first one was stopped.
func TestStateSurvives(t *testing.T) {
	cfg := settings(t, sh("a", sleeper), sh("b", "exit 0"))
	r := start(t, cfg, Options{})
	r.await("b is done", state1("b", "done"))
	must(t, syscall.Kill(r.worker("a").PID, syscall.SIGKILL))
	r.await("recovered", func(s fleet.Status) bool { return find(s, "a").RestartCount == 1 && find(s, "a").State == "running" })
	r.Shutdown("", false)
	_, err := r.wait()
	must(t, err)
	again := start(t, cfg, Options{})
	again.await("a runs", state1("a", "running"))
	s, err := again.Status(again.ctx)
	must(t, err)
	if a := find(s, "a"); a.BudgetUsed != 1 || a.RestartCount != 2 || s.Epoch != 1 || s.Boots != 2 || find(s, "b").State != "done" {
		t.Errorf("%+v", s)
	}
}

// TestSlowSubscriber loses the oldest events, is told how many, and makes nobody
// wait.
func TestSlowSubscriber(t *testing.T) {
	var h hub
	s := h.subscribe()
	for range backlog + 10 {
		h.publish(Event{})
	}
	e, ok := s.Next(context.Background())
	if !ok || e.Seq != 11 || e.Missed != 10 {
		t.Errorf("%+v", e)
	}
	e, _ = s.Next(context.Background())
	if e.Seq != 12 || e.Missed != 0 {
		t.Errorf("%+v", e)
	}
}

// TestOutputNobodyReads: a stuck console must not stop recovery.
func TestOutputNobodyReads(t *testing.T) {
	stuck, w, err := os.Pipe()
	must(t, err)
	defer stuck.Close()
	defer w.Close()
	cfg := settings(t, sh("a", "while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done"))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	g, err := New(cfg, Options{Stdout: w, Stderr: w})
	must(t, err)
	wait, err := g.Start(ctx)
	must(t, err)
	for n := range 3 {
		must(t, g.Await(ctx, func(s fleet.Status) bool { return steady(s) && s.Workers[0].RestartCount == n }))
		s, err := g.WorkerStatus(ctx, "a")
		must(t, err)
		must(t, syscall.Kill(s.PID, syscall.SIGKILL))
	}
	g.Shutdown("", true)
	if _, err := wait(); err != nil {
		t.Error(err)
	}
}

func TestManyWorkers(t *testing.T) {
	var all []config.Worker
	for i := range 100 {
		all = append(all, config.NewWorker(fmt.Sprintf("w%d", i), "sleep", "1000"))
	}
	r := start(t, settings(t, all...), Options{})
	r.await("start", steady)
	must(t, syscall.Kill(r.worker("w50").PID, syscall.SIGSEGV))
	r.await("recovered", func(s fleet.Status) bool { return s.Epoch == 1 && find(s, "w0").State == "running" })
}
