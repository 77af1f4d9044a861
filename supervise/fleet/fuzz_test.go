package fleet

import (
	"fmt"
	"math/rand"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/procguard/procguard/state"
)

// tape reads decisions from bytes; after the end everything is 0.
type tape struct {
	b []byte
	i int
}

func (t *tape) next(n int) int {
	if t.i >= len(t.b) || n <= 0 {
		return 0
	}
	t.i++
	return int(t.b[t.i-1]) % n
}

func (t *tape) over() bool { return t.i >= len(t.b) }

func pick[T any](t *tape, of ...T) T { return of[t.next(len(of))] }

// world is a small kernel that obeys the fleet or not, as the tape says.
type world struct {
	tape *tape
	f    *Fleet
	o    *watcher
	now  time.Time
	spec Spec

	pids    int
	pending []Spawn
	past    []Event // what has been said before, to be said again
	trace   []scene
}

// scene is one Step, kept as it was: most are never shown.
type scene struct {
	at   time.Duration
	e    Event
	acts []Action
}

func (t *tape) spec() Spec {
	s := Spec{Node: "n", MinRanks: map[string]int{}, Recovery: Recovery{
		Auto: t.next(8) != 1, StopAll: t.next(4) != 1, Reassign: t.next(4) != 1,
		Timeout: pick(t, time.Minute, time.Second, 10*time.Second), Attempts: 1 + t.next(9),
		SameFailures: pick(t, 0, 0, 1, 2)}}
	for i := range 1 + t.next(6) {
		s.Workers = append(s.Workers, t.worker(&s, i))
	}
	for i := range t.next(6) {
		task := Task{ID: fmt.Sprint("t", i), Type: pick(t, "x", "x", "y"), Weight: float64(1 + t.next(3))}
		if k := t.next(len(s.Workers) + 1); k > 0 {
			task.Owner = s.Workers[k-1].ID
		}
		s.Tasks = append(s.Tasks, task)
	}
	if t.next(2) == 1 {
		s.MinRanks["g0"] = 1 + t.next(2)
	}
	return s
}

func (t *tape) worker(s *Spec, i int) Worker {
	w := Worker{ID: string(rune('a' + i)), Group: pick(t, "g0", "g0", "g1"), Type: pick(t, "x", "x", "y"),
		Fingerprint: pick(t, "1", "2"), Restart: pick(t, OnFailure, OnFailure, OnFailure, OnFailure, Always, OnFailure, Never, Always),
		MaxRestarts: pick(t, 2, 9, 30, 0, 5, 30), RestartDelay: pick(t, 0, time.Second, 7*time.Second),
		Backoff:    Backoff{Factor: pick(t, 1, 2.5), Jitter: pick(t, 0, 0.5), Max: pick(t, 0, 20*time.Second), ResetAfter: pick(t, 0, 30*time.Second)},
		StopSignal: 15, StopToGroup: t.next(3) == 1, Grace: pick(t, time.Second, 0, 30*time.Second),
		NeedsReady: t.next(3) == 1, ReadyAfter: pick(t, 0, 2*time.Second), StartupTimeout: pick(t, 5*time.Second, 0),
		HeartbeatTimeout: pick(t, 0, 5*time.Second), HeartbeatAuto: t.next(5) == 1, HeartbeatFloor: 3 * time.Second, ProgressTimeout: pick(t, 0, 20*time.Second),
		Phases: map[string]time.Duration{"eval": 40 * time.Second}, NotifyHang: t.next(6) == 1, DumpTimeout: pick(t, 0, 2*time.Second), Ranked: t.next(3) == 1, Standby: t.next(6) == 1}
	if i > 0 && t.next(3) == 1 {
		w.DependsOn = []Dependency{{s.Workers[t.next(i)].ID, pick(t, UntilStarted, UntilReady, UntilCompleted)}}
	}
	return w
}

func newWorld(b []byte) (*world, error) {
	w := &world{tape: &tape{b: b}, now: epoch0, pids: 100}
	w.spec = w.tape.spec()
	w.o = newWatcher(w.spec)
	return w, w.begin(state.New(), Boot{Volume: "vol"})
}

// begin makes a new ProcGuard.
func (w *world) begin(snap *state.Snapshot, boot Boot) (err error) {
	w.pending = nil
	if w.f, err = New(w.spec, snap); err != nil {
		return err
	}
	return w.step(boot)
}

// step gives the fleet an event and looks at everything.
func (w *world) step(e Event) error {
	w.o.event(e)
	acts := w.f.Step(w.now, e)
	w.trace = append(w.trace, scene{w.now.Sub(epoch0), e, acts})
	for _, a := range acts {
		if s, ok := a.(Spawn); ok {
			w.pending = append(w.pending, s)
		}
	}
	if err := w.o.actions(acts); err != nil {
		return err
	}
	if err := w.o.budgets(); err != nil {
		return err
	}
	return w.f.Check()
}

// say is step for events that may be said again later, out of season.
func (w *world) say(e Event) error {
	w.past = append(w.past, e)
	return w.step(e)
}

// turn does one thing that the tape says.
func (w *world) turn() error {
	t := w.tape
	switch t.next(16) {
	case 0, 1:
		return w.answer(t.next(5) == 1)
	case 2, 3, 4:
		return w.die(t.next(256))
	case 5:
		return w.sweep(t.next(8))
	case 6, 7:
		return w.tick()
	case 8:
		w.now = w.now.Add(pick(t, time.Millisecond, time.Second, 31*time.Second))
		return nil
	case 9:
		return w.life()
	case 10:
		return w.command()
	case 11:
		return w.absurd()
	case 12:
		return w.crash()
	case 13:
		return w.reload()
	case 14:
		return w.batch()
	default:
		return w.obey()
	}
}

func (w *world) answer(fail bool) error {
	if len(w.pending) == 0 {
		return nil
	}
	s := w.pending[0]
	w.pending = w.pending[1:]
	if fail {
		return w.say(SpawnFailed{Worker: s.Worker, Gen: s.Gen, Detail: "no"})
	}
	w.pids++
	return w.say(Started{Worker: s.Worker, Gen: s.Gen, PID: w.pids, Ticks: uint64(w.pids)})
}

// death is the end of a random living leader, nil if there is none.
func (w *world) death(how int) Event {
	for i, ids := 0, sortedKeys(w.o.live); i < len(ids); i++ {
		id := ids[(i+how)%len(ids)]
		if p := w.o.live[id]; p.started && !p.dead {
			x := Exited{Worker: id, Gen: p.gen, Sent: p.asked || p.killed, Gone: how%7 != 0, Lost: how&96 == 96}
			if how&32 != 0 {
				x.Signal = "SIGSEGV"
			} else if how&64 != 0 {
				x.Code = 1
			}
			return x
		}
	}
	return nil
}

func (w *world) die(how int) error {
	if e := w.death(how); e != nil {
		return w.say(e)
	}
	return nil
}

func (w *world) sweep(n int) error {
	ids := sortedKeys(w.o.live)
	for i := range ids {
		if p := w.o.live[ids[(i+n)%len(ids)]]; p.dead {
			return w.say(Gone{Worker: ids[(i+n)%len(ids)], Gen: p.gen})
		}
	}
	return nil
}

func (w *world) tick() error {
	at, ok := w.f.Deadline()
	if !ok {
		return nil
	}
	if at.After(w.now) {
		w.now = at
	}
	return w.step(Tick{})
}

// anyone is a worker, sometimes one that does not exist.
func (w *world) anyone() (id string, gen uint64) {
	i := w.tape.next(len(w.spec.Workers) + 1)
	if i == len(w.spec.Workers) {
		return "nobody", 1
	}
	s, _ := w.f.Worker(w.spec.Workers[i].ID)
	return w.spec.Workers[i].ID, s.Generation
}

func (w *world) life() error {
	id, gen := w.anyone()
	verdict := state.Cause{Kind: pick(w.tape, state.CauseZombie, state.CauseUnresponsive, state.CauseMemory, state.CauseLog, state.CauseNoProgress)}
	return w.say(pick[Event](w.tape, Ready{id, gen}, Alive{id, gen}, Judged{id, gen, verdict, pick(w.tape, 0, time.Minute)}, Dumped{id, gen, "", ""},
		Cleared{id, gen}, Extended{id, gen, pick(w.tape, time.Second, time.Minute, -1, 1<<62)}, Stopping{id, gen},
		Phased{id, gen, pick(w.tape, "", "eval", "other"), pick(w.tape, 0, time.Minute)}, Progressed{id, gen, int64(w.tape.next(9))}))
}

func (w *world) command() error {
	id, _ := w.anyone()
	other, _ := w.anyone()
	return w.step(pick[Event](w.tape, StopWorker{Worker: id}, StopWorker{Worker: id, Force: true}, StartWorker{id}, RestartWorker{id},
		RestartHealthy{nil}, RestartHealthy{[]string{id}}, Fail{Workers: []string{id, other}}, StartWorker{other}, RestartWorker{other},
		StopFleet{}, StopFleet{Now: true}))
}

// absurd says what was said before, or what nobody could know.
func (w *world) absurd() error {
	if len(w.past) > 0 && w.tape.next(2) == 0 {
		e := w.past[w.tape.next(len(w.past))]
		if g, ok := e.(Gone); ok && w.o.is(g.Worker, g.Gen) != nil {
			return nil // saying this twice is a lie only if it was true
		}
		return w.step(e)
	}
	id, gen := w.anyone()
	gen += uint64(1 + w.tape.next(3))
	return w.step(pick[Event](w.tape, Started{id, gen, 1, 1}, Exited{Worker: id, Gen: gen, Gone: true}, SpawnFailed{id, gen, ""},
		Gone{id, gen}, Ready{id, gen}, Boot{Volume: "again"}, Tick{}))
}

// crash: ProcGuard dies and starts again with what the disk has. The host may
// have lost all that was not waited for; processes may live on or not.
func (w *world) crash() error {
	disk := w.o.disk
	if w.tape.next(3) == 1 {
		disk = w.o.synced
	}
	mask := w.tape.next(256)
	ids := sortedKeys(w.o.live)
	keep := func(id string) bool { // what is not configured any more is ended by the caller
		configured := slices.ContainsFunc(w.spec.Workers, func(x Worker) bool { return x.ID == id })
		return configured && mask&(1<<slices.Index(ids, id)) != 0
	}
	snap, boot := w.o.crash(disk, keep)
	return w.begin(snap, boot)
}

// again starts ProcGuard after its end: on a new volume if it gave up, where
// nothing else would happen any more.
func (w *world) again() error {
	if w.o.ended.Code == 0 {
		return w.crash()
	}
	w.o, w.past = newWatcher(w.spec), nil // generations begin anew: what was said would be true again
	return w.begin(state.New(), Boot{Volume: "new"})
}

// reload changes some programs, tasks and members, but nobody's budget.
func (w *world) reload() error {
	next := w.spec
	next.Workers = append([]Worker{}, w.spec.Workers...)
	i := w.tape.next(len(next.Workers))
	switch w.tape.next(4) {
	case 0:
		next.Workers[i].Fingerprint += "'"
	case 1:
		next.Workers = append(next.Workers[:i], next.Workers[i+1:]...)
	case 2:
		next.Workers = append(next.Workers, Worker{ID: string(rune('p' + w.tape.next(4))), Group: "g0", Fingerprint: "1", Type: "x", Grace: time.Second})
	case 3:
		next.Tasks = append([]Task{{ID: "new", Type: "x", Weight: 1}}, w.spec.Tasks...)
	}
	for j := range next.Workers {
		next.Workers[j].DependsOn = nil
	}
	for j := range next.Tasks {
		next.Tasks[j].Owner = ""
	}
	if w.f.CanReload(next) != nil || len(next.Workers) == 0 {
		return w.step(Reload{Spec: next.broken()})
	}
	w.spec, w.o.spec = next, next
	return w.step(Reload{Spec: next})
}

// broken is s made invalid: a reload with it must change nothing.
func (s Spec) broken() Spec {
	s.Workers = append([]Worker{{ID: ""}}, s.Workers...)
	return s
}

func (w *world) batch() error {
	var b Batch
	if e := w.death(w.tape.next(256)); e != nil {
		b = append(b, e)
	}
	id, gen := w.anyone()
	b = append(b, Judged{id, gen, state.Cause{Kind: state.CauseUnresponsive}, 0}, Tick{}, Alive{id, gen}, Batch{StartWorker{id}})
	return w.step(b)
}

// obey lets every process that was signalled die, as it should.
func (w *world) obey() error {
	for _, id := range sortedKeys(w.o.live) {
		if p := w.o.live[id]; p != nil && p.started && !p.dead && (p.asked || p.killed) {
			if err := w.say(Exited{Worker: id, Gen: p.gen, Signal: "SIGTERM", Sent: true, Gone: true}); err != nil {
				return err
			}
		}
	}
	return nil
}

// calm lets time go on with well-behaved processes until nothing is going on.
// Every chain must end in it.
func (w *world) calm() error {
	for range 5000 {
		if w.o.ended != nil {
			return nil
		}
		switch busy, err := w.behave(); {
		case err != nil:
			return err
		case busy:
			continue
		}
		if _, ok := w.f.Deadline(); !ok {
			return w.settled()
		}
		if err := w.tick(); err != nil {
			return err
		}
	}
	return fmt.Errorf("does not come to rest")
}

// behave answers, dies, clears away and becomes ready where that is due.
func (w *world) behave() (busy bool, err error) {
	if len(w.pending) > 0 {
		return true, w.answer(false)
	}
	for _, id := range sortedKeys(w.o.live) {
		p := w.o.live[id]
		s, ok := w.f.Worker(id)
		switch {
		case p.hopeless:
		case p.dead:
			return true, w.say(Gone{id, p.gen})
		case p.asked || p.killed:
			return true, w.say(Exited{Worker: id, Gen: p.gen, Signal: "SIGTERM", Sent: true, Gone: true})
		case ok && s.State == "starting" && s.Generation == p.gen && w.f.workers[id].spec.NeedsReady:
			return true, w.say(Ready{id, p.gen})
		}
	}
	return false, nil
}

func (w *world) settled() error {
	for _, g := range w.f.glist {
		if g.phase != state.Steady {
			return fmt.Errorf("group %s rests in phase %q", g.name, g.phase)
		}
	}
	for _, x := range w.f.order {
		if x.state == idle && w.f.fit(x) || x.state == failed && w.spec.Recovery.Auto || x.hasProcess() && x.state != running {
			return fmt.Errorf("worker %s rests %s", x.spec.ID, x.state)
		}
	}
	return nil
}

// live out a tape: its turns, then rest, then an orderly stop.
func liveOut(b []byte) (*world, error) {
	w, err := newWorld(b)
	for err == nil && !w.tape.over() {
		if err = w.turn(); err == nil && w.o.ended != nil {
			err = w.again()
		}
	}
	if err == nil {
		err = w.calm()
	}
	if err == nil && w.o.ended == nil {
		if err = w.step(StopFleet{Why: "end"}); err == nil {
			err = w.calm()
		}
		if err == nil && w.o.ended == nil {
			err = fmt.Errorf("does not stop")
		}
	}
	return w, err
}

func report(t *testing.T, w *world, err error) {
	t.Helper()
	if err == nil {
		return
	}
	for _, s := range w.trace[max(0, len(w.trace)-40):] {
		t.Logf("> %s %T%+v", s.at, s.e, s.e)
		for _, a := range s.acts {
			if line := show(a); line != "" {
				t.Log("    " + line)
			}
		}
	}
	t.Fatalf("%v\nspec %+v", err, w.spec)
}

func randomTape(seed int64) []byte {
	r := rand.New(rand.NewSource(seed))
	b := make([]byte, 100+r.Intn(400))
	for i := range b {
		b[i] = byte(r.Intn(256))
	}
	return b
}

func FuzzFleet(f *testing.F) {
	for seed := range int64(16) {
		f.Add(randomTape(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1500 {
			return
		}
		w, err := liveOut(b)
		report(t, w, err)
	})
}

// TestManyTapes is the fuzzer without its search: random tapes, always the same.
func TestManyTapes(t *testing.T) {
	n := 400
	if os.Getenv("PROCGUARD_SOAK") != "" {
		n = 60_000
	}
	ends, steps := map[int]int{}, 0
	for seed := range n {
		w, err := liveOut(randomTape(int64(seed)))
		if err != nil {
			t.Logf("seed %d", seed)
		}
		report(t, w, err)
		steps += len(w.trace)
		for _, s := range w.trace {
			for _, a := range s.acts {
				if x, ok := a.(Exit); ok {
					ends[x.Code]++
				}
			}
		}
	}
	if ends[0] == 0 || ends[10] == 0 || ends[NoProgress] == 0 {
		t.Errorf("the tapes do not reach every end: %v", ends)
	}
	t.Logf("%d steps, ends by exit code: %v", steps, ends)
}
