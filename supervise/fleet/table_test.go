package fleet

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/procguard/procguard/state"
)

// reacts lists, apart from the table itself, what each state has to react to.
var reacts = map[wstate][]kind{
	idle:     {},
	waiting:  {evDue},
	spawning: {evStarted, evSpawnFailed, evDue},
	starting: {evExited, evReady, evJudged, evExtended, evPhased, evProgressed, evStopping, evDue},
	running:  {evExited, evReady, evAlive, evJudged, evCleared, evExtended, evPhased, evProgressed, evStopping, evDue},
	suspect:  {evExited, evReady, evAlive, evCleared, evExtended, evPhased, evProgressed, evStopping, evDumped, evDue},
	stopping: {evExited, evExtended, evProgressed, evDue},
	sweeping: {evGone, evDue},
	failed:   {},
	done:     {},
	excluded: {},
	stuck:    {evStarted, evExited, evGone},
}

// routes bring worker w into each state; z keeps the fleet alive.
var routes = map[wstate]struct {
	spec   string
	events []Event
}{
	idle:     {"", []Event{Started{"w", 1, 5, 5}, StopWorker{Worker: "w"}, gone("w", 1, 1)}},
	waiting:  {"", []Event{Started{"w", 1, 5, 5}, gone("w", 1, 1)}},
	spawning: {"", []Event{StopWorker{Worker: "w"}}},
	starting: {"", []Event{Started{"w", 1, 5, 5}}},
	// In a phase, and told of by a failing check: every sign of life changes something.
	running:  {"", []Event{Started{"w", 1, 5, 5}, Ready{"w", 1}, Alive{"w", 1}, judged(state.CauseUnresponsive), Phased{"w", 1, "compile", time.Minute}}},
	suspect:  {"", []Event{Started{"w", 1, 5, 5}, Ready{"w", 1}, Alive{"w", 1}, judged(state.CauseZombie)}},
	stopping: {"", []Event{Started{"w", 1, 5, 5}, StopWorker{Worker: "w"}}},
	sweeping: {"", []Event{Started{"w", 1, 5, 5}, Exited{Worker: "w", Gen: 1, Code: 1}}},
	failed:   {"recovery noauto", []Event{Started{"w", 1, 5, 5}, gone("w", 1, 1)}},
	done:     {"", []Event{Started{"w", 1, 5, 5}, gone("w", 1, 0)}},
	excluded: {"worker v\ntask t owner=v", []Event{Started{"v", 1, 6, 6}, Started{"w", 1, 5, 5}, gone("w", 1, 1), gone("v", 1, 1),
		Started{"w", 2, 7, 7}, gone("w", 2, 1), Started{"v", 2, 8, 8}, gone("v", 2, 1)}},
	stuck: {"", []Event{Started{"w", 1, 5, 5}, StopWorker{Worker: "w"}, Tick{}, Tick{}, Tick{}}},
}

// words are what a state asks for of w, beside what all do.
var words = map[wstate]string{running: " notify", suspect: " dump=10s"}

func judged(k state.CauseKind) Event { return Judged{Worker: "w", Gen: 1, Cause: state.Cause{Kind: k}} }

func gone(id string, gen uint64, code int) Event {
	return Exited{Worker: id, Gen: gen, Code: code, Gone: true}
}

// inState returns a fleet whose worker w is in state s, and the time.
func inState(t *testing.T, s wstate) (*Fleet, time.Time) {
	t.Helper()
	text := "worker w ready=check startup=30s hb=10s delay=5s max=1" + words[s] + "\nworker z group=z\n" + routes[s].spec
	if s == excluded {
		text = "worker w max=0 type=x\nworker v type=x\nworker z group=z\ntask t owner=v type=x"
	}
	f, err := New(mustSpec(t, text), state.New())
	if err != nil {
		t.Fatal(err)
	}
	now := epoch0
	f.Step(now, Boot{Volume: "vol"})
	f.Step(now, Started{"z", 1, 9, 9})
	for _, e := range routes[s].events {
		if at, ok := f.Deadline(); ok && e == (Tick{}) {
			now = at
		}
		f.Step(now, e)
		if err := f.Check(); err != nil {
			t.Fatal(err)
		}
	}
	if got := f.workers["w"].state; got != s {
		t.Fatalf("the route to %s ends in %s", s, got)
	}
	return f, now
}

func eventOf(k kind, id string, gen uint64) Event {
	switch k {
	case evStarted:
		return Started{Worker: id, Gen: gen, PID: 77, Ticks: 77}
	case evSpawnFailed:
		return SpawnFailed{Worker: id, Gen: gen, Detail: "no"}
	case evExited:
		return Exited{Worker: id, Gen: gen, Signal: "SIGKILL", Gone: true}
	case evGone:
		return Gone{Worker: id, Gen: gen}
	case evReady:
		return Ready{Worker: id, Gen: gen}
	case evAlive:
		return Alive{Worker: id, Gen: gen}
	case evJudged:
		return Judged{Worker: id, Gen: gen, Cause: state.Cause{Kind: state.CauseMemory}}
	case evCleared:
		return Cleared{Worker: id, Gen: gen}
	case evExtended:
		return Extended{Worker: id, Gen: gen, For: time.Hour}
	case evPhased:
		return Phased{Worker: id, Gen: gen, Name: "checkpoint", Timeout: time.Hour}
	case evProgressed:
		return Progressed{Worker: id, Gen: gen, Step: 5}
	case evStopping:
		return Stopping{Worker: id, Gen: gen}
	case evDumped:
		return Dumped{Worker: id, Gen: gen}
	}
	return Tick{}
}

// image is all that a Step may change.
func image(t *testing.T, f *Fleet) string {
	t.Helper()
	due, _ := f.Deadline()
	text, err := json.Marshal([]any{f.snap, f.Status(), due})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTable(t *testing.T) {
	for s := range nStates {
		for k := range nKinds {
			f, now := inState(t, s)
			w := f.workers["w"]
			before := image(t, f)
			if k == evDue {
				if w.wake.index == 0 {
					if contains(reacts[s], k) {
						t.Errorf("%s: nothing is ever due", s)
					}
					continue
				}
				now = w.wake.at
			} else {
				now = now.Add(time.Second)
			}
			acts := f.Step(now, eventOf(k, "w", w.d.Generation))
			changed := len(acts) > 0 || image(t, f) != before
			if changed != contains(reacts[s], k) {
				t.Errorf("%s on %s: changed=%v, actions %v", s, kindNames[k], changed, acts)
			}
			if err := f.Check(); err != nil {
				t.Errorf("%s on %s: %v", s, kindNames[k], err)
			}
		}
	}
}

// TestTableIsWritten: what is ignored is ignored by decision. Every cell has a
// reaction, and ignore is exactly where nothing is to happen.
func TestTableIsWritten(t *testing.T) {
	ignored := reflect.ValueOf(ignore).Pointer()
	for s := range nStates {
		for k := range nKinds {
			if table[s][k] == nil {
				t.Fatalf("%s on %s: no reaction", s, kindNames[k])
			}
			if is := reflect.ValueOf(table[s][k]).Pointer() == ignored; is == contains(reacts[s], k) {
				t.Errorf("%s on %s: ignored=%v", s, kindNames[k], is)
			}
		}
	}
}

// TestGenerations: no state listens to another generation, whatever the event.
func TestGenerations(t *testing.T) {
	for s := range nStates {
		for k := range evDue {
			for _, off := range []int64{-1, +1, +1000} {
				f, now := inState(t, s)
				before := image(t, f)
				gen := uint64(int64(f.workers["w"].d.Generation) + off)
				if acts := f.Step(now, eventOf(k, "w", gen)); len(acts) > 0 || image(t, f) != before {
					t.Errorf("%s on %s of generation %+d: %v", s, kindNames[k], off, acts)
				}
			}
		}
	}
}

func contains(ks []kind, k kind) bool { return slices.Contains(ks, k) }
