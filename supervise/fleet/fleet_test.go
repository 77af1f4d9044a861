package fleet

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/procguard/procguard/state"
	"pgregory.net/rapid"
)

func TestAssign(t *testing.T) {
	for _, c := range []struct {
		name    string
		tasks   []Weighted
		workers []Load
		want    map[string]string
	}{
		{"nobody", []Weighted{{"t", 1}}, nil, map[string]string{}},
		{"nothing", nil, []Load{{"a", 0}}, map[string]string{}},
		{"heaviest first", []Weighted{{"small", 1}, {"big", 5}, {"mid", 3}}, []Load{{"a", 0}, {"b", 0}},
			map[string]string{"big": "a", "mid": "b", "small": "b"}},
		{"equal ones by name, to the earlier worker", []Weighted{{"t2", 1}, {"t1", 1}}, []Load{{"b", 0}, {"a", 0}}, map[string]string{"t1": "b", "t2": "a"}},
		{"who carries much gets nothing", []Weighted{{"t", 1}}, []Load{{"a", 2}, {"b", 1}}, map[string]string{"t": "b"}},
	} {
		if got := Assign(c.tasks, c.workers); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestAssignIsFair: every task is placed, arguments are left alone, and no two
// workers that got something differ by more than the heaviest task.
func TestAssignIsFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(0, 9), 1, 30).Draw(t, "weights")
		n := rapid.IntRange(1, 6).Draw(t, "workers")
		var tasks []Weighted
		var workers []Load
		heaviest := 0.0
		for i, w := range weights {
			tasks = append(tasks, Weighted{string(rune('A' + i)), float64(w)})
			heaviest = max(heaviest, float64(w))
		}
		for i := range n {
			workers = append(workers, Load{string(rune('a' + i)), 0})
		}
		before := append([]Weighted{}, tasks...)
		moves := Assign(tasks, workers)
		if len(moves) != len(tasks) || !reflect.DeepEqual(tasks, before) {
			t.Fatalf("%d of %d placed, arguments changed: %v", len(moves), len(tasks), !reflect.DeepEqual(tasks, before))
		}
		load := map[string]float64{}
		for _, x := range tasks {
			load[moves[x.Task]] += x.Weight
		}
		least, most := load["a"], load["a"]
		for _, w := range workers {
			least, most = min(least, load[w.Worker]), max(most, load[w.Worker])
		}
		if most-least > heaviest {
			t.Fatalf("loads %v differ by more than %v", load, heaviest)
		}
	})
}

func TestBackoff(t *testing.T) {
	f := &Fleet{}
	wait := func(used int, b Backoff) time.Duration {
		return f.backoff(&worker{spec: Worker{ID: "a", RestartDelay: time.Second, Backoff: b}, d: &state.Worker{BudgetUsed: used}})
	}
	for _, c := range []struct {
		used int
		b    Backoff
		want time.Duration
	}{
		{1, Backoff{}, time.Second},
		{5, Backoff{}, time.Second},
		{1, Backoff{Factor: 2}, time.Second},
		{3, Backoff{Factor: 2}, 4 * time.Second},
		{9, Backoff{Factor: 2, Max: 10 * time.Second}, 10 * time.Second},
		{2, Backoff{Factor: 2, Max: time.Millisecond}, time.Second}, // never less than restart_delay
	} {
		if got := wait(c.used, c.b); got != c.want {
			t.Errorf("restart %d of %+v waits %s, want %s", c.used, c.b, got, c.want)
		}
	}
	if got := wait(5000, Backoff{Factor: 10}); got <= 0 {
		t.Errorf("a huge wait overflows to %s", got)
	}
	lo, hi := time.Hour, time.Duration(0)
	for gen := range uint64(500) {
		w := &worker{spec: Worker{ID: "a", RestartDelay: time.Second, Backoff: Backoff{Jitter: 0.25}}, d: &state.Worker{BudgetUsed: 1, Generation: gen}}
		d := f.backoff(w)
		if again := f.backoff(w); d != again {
			t.Fatalf("the same history waits %s and %s", d, again)
		}
		lo, hi = min(lo, d), max(hi, d)
	}
	if lo < 750*time.Millisecond || hi > 1250*time.Millisecond || hi-lo < 300*time.Millisecond {
		t.Errorf("jitter of a quarter spreads from %s to %s", lo, hi)
	}
}

// TestAlarms: the heap gives alarms in order of time, then of setting.
func TestAlarms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h alarms
		set := make([]alarm, 8)
		for range rapid.IntRange(0, 60).Draw(t, "n") {
			a := &set[rapid.IntRange(0, 7).Draw(t, "which")]
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				h.clear(a)
				if a.index != 0 {
					t.Fatal("cleared and still set")
				}
			case 1:
				if x := h.due(epoch0.Add(3)); x != nil && x.at.After(epoch0.Add(3)) {
					t.Fatal("due too early")
				}
			default:
				h.set(a, epoch0.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "at"))))
			}
			for i, x := range h.list {
				if x.index != i+1 {
					t.Fatalf("alarm %d thinks it is at %d", i, x.index-1)
				}
			}
		}
		var last *alarm
		for a := h.due(epoch0.Add(time.Hour)); a != nil; a = h.due(epoch0.Add(time.Hour)) {
			if last != nil && (a.at.Before(last.at) || (a.at.Equal(last.at) && a.order < last.order)) {
				t.Fatal("out of order")
			}
			last = a
		}
	})
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(mustSpec(t, "worker a deps=a"), state.New()); err == nil {
		t.Error("a circle is accepted")
	}
	bad := state.New()
	bad.Workers["a"] = nil
	if _, err := New(mustSpec(t, "worker a"), bad); err == nil || !strings.HasPrefix(err.Error(), "state: ") {
		t.Errorf("a damaged state is accepted: %v", err)
	}
}

// TestBefore and after its time a fleet does nothing.
func TestBeforeAndAfter(t *testing.T) {
	f, err := New(mustSpec(t, "worker a"), state.New())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []Event{Tick{}, StopFleet{}, StartWorker{"a"}, Started{"a", 1, 1, 1}, Reload{}} {
		if acts := f.Step(epoch0, e); len(acts) > 0 {
			t.Errorf("%T before Boot: %v", e, acts)
		}
	}
	if _, ok := f.Deadline(); ok {
		t.Error("a deadline before Boot")
	}
	f.Step(epoch0, Batch{Boot{Volume: "v"}, SpawnFailed{Worker: "a", Gen: 1}, StopFleet{}})
	for _, e := range []Event{Tick{}, Boot{}, StartWorker{"a"}, StopFleet{Now: true}} {
		if acts := f.Step(epoch0, e); len(acts) > 0 {
			t.Errorf("%T after Exit: %v", e, acts)
		}
	}
	if _, ok := f.Deadline(); ok {
		t.Error("a deadline after Exit")
	}
}

// TestCopies: what a caller is given is its own.
func TestCopies(t *testing.T) {
	f, err := New(mustSpec(t, "worker a ranked\nworker b\ntask t,u owner=a\nworker s standby ranked"), state.New())
	if err != nil {
		t.Fatal(err)
	}
	acts := f.Step(epoch0, Boot{Volume: "v"})
	before := image(t, f)
	for _, a := range acts {
		if s, ok := a.(Spawn); ok && s.Worker == "a" {
			s.Tasks[0] = "changed"
		}
	}
	f.Snapshot().Workers["a"].Generation = 99
	f.Status().Workers[0].AssignedTasks[0] = "changed"
	f.Tasks("a")[0].Weight = 99
	s, ok := f.Worker("a")
	s.AssignedTasks[0] = "changed"
	if image(t, f) != before || !ok {
		t.Error("a copy is not one")
	}
	if _, ok := f.Worker("nobody"); ok || f.Tasks("nobody") != nil {
		t.Error("nobody is known")
	}
	if spare, _ := f.Worker("s"); s.Rank != 0 || s.World != 1 || spare.Rank != -1 {
		t.Errorf("a is rank %d of %d, the spare is %d", s.Rank, s.World, spare.Rank)
	}
}

// TestSameAgain: the machine has no hidden input. The same tape gives the same
// actions, byte for byte.
func TestSameAgain(t *testing.T) {
	for seed := range int64(20) {
		if a, b := told(t, seed), told(t, seed); a != b {
			t.Fatalf("seed %d: %s", seed, firstDifference(a, b))
		}
	}
}

func told(t *testing.T, seed int64) string {
	t.Helper()
	w, err := liveOut(randomTape(seed))
	report(t, w, err)
	var b strings.Builder
	for _, s := range w.trace {
		text, err := json.Marshal(s.acts)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(text)
		b.WriteByte('\n')
	}
	return b.String()
}

// TestCheckSees: an invariant that cannot fail would be worth nothing.
func TestCheckSees(t *testing.T) {
	for name, spoil := range map[string]func(*Fleet, *worker){
		"a counter":          func(f *Fleet, w *worker) { f.n[running]++ },
		"a group's counter":  func(f *Fleet, w *worker) { w.g.n[running]-- },
		"a foreign part":     func(f *Fleet, w *worker) { d := *w.d; w.d = &d },
		"too much budget":    func(f *Fleet, w *worker) { w.d.BudgetUsed = 9 },
		"runs though done":   func(f *Fleet, w *worker) { w.d.Done = true },
		"doomed alive":       func(f *Fleet, w *worker) { w.doomed = true },
		"unbounded stop":     func(f *Fleet, w *worker) { f.enter(w, stopping) },
		"a forgotten fail":   func(f *Fleet, w *worker) { f.enter(w, failed) },
		"a phase by itself":  func(f *Fleet, w *worker) { w.g.phase = state.Verify },
		"an unbounded dump":  func(f *Fleet, w *worker) { w.verdict, w.before = &verdict{}, running; f.enter(w, suspect) },
		"a dump for nothing": func(f *Fleet, w *worker) { w.before = running; f.enter(w, suspect); f.alarm(w, time.Hour) },
		"a forgotten clock":  func(f *Fleet, w *worker) { w.beatBy = epoch0 },
		"a wrong clock":      func(f *Fleet, w *worker) { f.alarm(w, time.Hour) },
		"a stray track":      func(f *Fleet, w *worker) { f.snap.Tracks["nobody"] = &state.Track{} },
		"a lost task":        func(f *Fleet, w *worker) { f.snap.Tasks["t"].WorkerID = "b" },
	} {
		f, err := New(mustSpec(t, "worker a,b\ntask t owner=a"), state.New())
		if err != nil {
			t.Fatal(err)
		}
		f.Step(epoch0, Boot{Volume: "v"})
		f.Step(epoch0, Batch{Started{"a", 1, 1, 1}, Started{"b", 1, 2, 2}})
		if err := f.Check(); err != nil {
			t.Fatal(err)
		}
		if spoil(f, f.workers["a"]); f.Check() == nil {
			t.Errorf("%s is not seen", name)
		}
	}
}

// TestLateTickPardonsHeartbeats: after a freeze of ours nobody is judged by a
// heartbeat that we may not have read.
func TestLateTickPardonsHeartbeats(t *testing.T) {
	f, err := New(Spec{Workers: []Worker{{ID: "a", Group: "g", HeartbeatTimeout: time.Second, MaxRestarts: 1, StopSignal: 15, Grace: time.Second}},
		Recovery: Recovery{Auto: true, StopAll: true, Timeout: time.Minute, Attempts: 3}}, state.New())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	f.Step(now, Boot{Volume: "v"})
	f.Step(now, Started{Worker: "a", Gen: 1, PID: 100, Ticks: 1})
	f.Step(now, Alive{Worker: "a", Gen: 1})
	now = now.Add(time.Minute) // frozen
	f.Step(now, Tick{})
	if s, _ := f.Worker("a"); s.State != "running" {
		t.Fatalf("judged although we were late: %+v", s)
	}
	now = now.Add(time.Second + time.Millisecond)
	f.Step(now, Tick{})
	if s, _ := f.Worker("a"); s.State != "stopping" {
		t.Errorf("not judged although it had its time again: %+v", s)
	}
}
