package fleet

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/procguard/procguard/state"
)

// proc is a process as the watcher knows it: from the actions that made it and
// the events that told its end, never from the machine's own opinion.
type proc struct {
	gen      uint64
	started  bool // answered by Started
	dead     bool // the leader has been reaped
	asked    bool // got the stop signal
	killed   bool
	hopeless bool // the machine gave the verdict that nothing ends it
	pid      int
	ticks    uint64
	tasks    []string
}

// watcher looks at a fleet from outside and finds broken promises.
type watcher struct {
	spec   Spec
	disk   *state.Snapshot // everything persisted
	synced *state.Snapshot // as far as the caller was told to wait for the disk
	live   map[string]*proc
	just   map[string]*proc  // ended by the event of this very Step
	gens   map[string]uint64 // newest generation ever spawned on this volume
	phases map[string]state.Phase
	ending bool // everything is being stopped
	hurry  bool // with no regard for order
	ended  *Exit
}

func newWatcher(spec Spec) *watcher {
	return &watcher{spec: spec, disk: state.New(), synced: state.New(), live: map[string]*proc{}, just: map[string]*proc{}, gens: map[string]uint64{}, phases: map[string]state.Phase{}}
}

// event notes what e says about processes. It comes before the Step of e.
func (o *watcher) event(e Event) {
	clear(o.just)
	o.note(e)
}

func (o *watcher) note(e Event) {
	switch e := e.(type) {
	case Batch:
		for _, one := range e {
			o.note(one)
		}
	case Started:
		if p := o.is(e.Worker, e.Gen); p != nil && !p.started {
			p.started, p.pid, p.ticks = true, e.PID, e.Ticks
		}
	case SpawnFailed:
		if p := o.is(e.Worker, e.Gen); p != nil && !p.started {
			delete(o.live, e.Worker)
		}
	case Exited:
		if p := o.is(e.Worker, e.Gen); p != nil && p.started {
			p.dead = true
			if e.Gone {
				o.end(e.Worker)
			}
		}
	case Gone:
		if p := o.is(e.Worker, e.Gen); p != nil && p.dead {
			o.end(e.Worker)
		}
	case StopFleet:
		o.hurry = o.hurry || e.Now
	}
}

func (o *watcher) end(id string) {
	o.just[id] = o.live[id]
	delete(o.live, id)
}

// reachable is like is, but in a batch a signal may be decided before the later
// event that its target is dead.
func (o *watcher) reachable(id string, gen uint64) *proc {
	if p := o.just[id]; p != nil && p.gen == gen {
		return p
	}
	return o.is(id, gen)
}

func (o *watcher) is(id string, gen uint64) *proc {
	if p := o.live[id]; p != nil && p.gen == gen {
		return p
	}
	return nil
}

// actions checks what one Step returned.
func (o *watcher) actions(acts []Action) error {
	for i, a := range acts {
		if o.ended != nil {
			return fmt.Errorf("%T follows Exit", a)
		}
		if _, ok := a.(Persist); ok && i != 0 {
			return fmt.Errorf("Persist is action %d", i)
		}
		if err := o.action(a); err != nil {
			return err
		}
	}
	return o.beliefs()
}

// beliefs: no process goes on with tasks that are not its own, or without some
// that are.
func (o *watcher) beliefs() error {
	for id, p := range o.live {
		d := o.disk.Workers[id]
		if d == nil || p.dead || p.asked || p.killed || p.doomed() {
			continue
		}
		if got, want := slices.Sorted(slices.Values(p.tasks)), slices.Sorted(slices.Values(d.AssignedTasks)); !slices.Equal(got, want) {
			return fmt.Errorf("%s/%d believes in tasks %v, the disk says %v", id, p.gen, got, want)
		}
	}
	return nil
}

// doomed: it has not answered yet, and will be stopped as soon as it does.
func (p *proc) doomed() bool { return !p.started }

func (o *watcher) action(a Action) error {
	switch a := a.(type) {
	case Persist:
		return o.persist(a)
	case Spawn:
		return o.spawn(a)
	case Adopt:
		if o.live[a.Worker] == nil {
			return fmt.Errorf("adopts %s, which does not live", a.Worker)
		}
	case Signal:
		return o.signal(a)
	case Kill:
		p := o.reachable(a.Worker, a.Gen)
		if p == nil || !p.started {
			return fmt.Errorf("kills %s/%d, which does not live", a.Worker, a.Gen)
		}
		p.killed = true
	case Dump:
		if p := o.reachable(a.Worker, a.Gen); p == nil || !p.started {
			return fmt.Errorf("dumps %s/%d, which does not live", a.Worker, a.Gen)
		}
	case Retask:
		return o.hold(a.Worker, a.Gen, o.disk.Workers[a.Worker].AssignedTasks)
	case Emit:
		o.emit(a.Note)
	case Exit:
		o.ended = &a
		return o.exit()
	}
	return nil
}

func (o *watcher) persist(p Persist) error {
	if len(p.Records) == 0 {
		return fmt.Errorf("empty Persist")
	}
	for i := range p.Records {
		r := &p.Records[i]
		if err := state.Apply(o.disk, r); err != nil {
			return err
		}
		if r.Kind == state.KindPhase {
			if err := o.enterPhase(r); err != nil {
				return err
			}
		}
	}
	if p.Sync {
		o.synced = o.disk.Clone()
	}
	return nil
}

// enterPhase: a group that stops as a whole leaves StopAll when all of it is gone.
func (o *watcher) enterPhase(r *state.Record) error {
	if r.Phase != state.Reassign || !o.spec.Recovery.StopAll {
		return nil
	}
	for id := range o.live {
		if w := o.disk.Workers[id]; w != nil && w.Group == r.Group {
			return fmt.Errorf("group %s goes on to %s while %s lives", r.Group, r.Phase, id)
		}
	}
	return nil
}

func (o *watcher) spawn(s Spawn) error {
	d := o.synced.Workers[s.Worker]
	switch {
	case o.live[s.Worker] != nil:
		return fmt.Errorf("spawns %s/%d while generation %d lives", s.Worker, s.Gen, o.live[s.Worker].gen)
	case d == nil || d.Generation != s.Gen:
		return fmt.Errorf("spawns %s/%d, of which the disk does not know", s.Worker, s.Gen)
	case s.Gen <= o.gens[s.Worker]:
		return fmt.Errorf("spawns %s/%d after generation %d", s.Worker, s.Gen, o.gens[s.Worker])
	case o.phases[d.Group] == state.StopAll && o.spec.Recovery.StopAll:
		return fmt.Errorf("spawns %s while group %s is being stopped", s.Worker, d.Group)
	case o.ending:
		return fmt.Errorf("spawns %s while everything is being stopped", s.Worker)
	}
	o.live[s.Worker], o.gens[s.Worker] = &proc{gen: s.Gen}, s.Gen
	return o.hold(s.Worker, s.Gen, s.Tasks)
}

// hold: no two living processes believe that a task is theirs.
func (o *watcher) hold(id string, gen uint64, tasks []string) error {
	p := o.reachable(id, gen)
	if p == nil {
		return fmt.Errorf("tells %s/%d, which does not live, its tasks", id, gen)
	}
	p.tasks = slices.Clone(tasks)
	for other, q := range o.live {
		for _, t := range q.tasks {
			if other != id && slices.Contains(tasks, t) {
				return fmt.Errorf("task %s is held by %s and %s at once", t, other, id)
			}
		}
	}
	return nil
}

// signal: the orderly stop asks dependents before what they depend on.
func (o *watcher) signal(s Signal) error {
	p := o.reachable(s.Worker, s.Gen)
	if p == nil || !p.started {
		return fmt.Errorf("signals %s/%d, which does not live", s.Worker, s.Gen)
	}
	if o.ending && !o.hurry && !p.asked {
		for _, w := range o.spec.Workers {
			for _, d := range w.DependsOn {
				if q := o.live[w.ID]; d.Worker == s.Worker && q != nil && !q.hopeless {
					return fmt.Errorf("stops %s before %s, which depends on it", s.Worker, w.ID)
				}
			}
		}
	}
	p.asked = true
	return nil
}

func (o *watcher) emit(n Note) {
	switch n.Kind {
	case NoteStuck:
		if p := o.live[n.Worker]; p != nil {
			p.hopeless = true
		}
	case NotePhase:
		if n.Phase != state.Detected {
			o.phases[n.Group] = n.Phase
		}
	case NoteStopAll:
		o.ending = true
	}
}

func (o *watcher) exit() error {
	for id, p := range o.live {
		if !p.hopeless {
			return fmt.Errorf("exits while %s lives", id)
		}
	}
	return nil
}

// budgets holds for a fleet whose max_restarts have never been lowered.
func (o *watcher) budgets() error {
	for _, w := range o.spec.Workers {
		if d := o.disk.Workers[w.ID]; d != nil && d.BudgetUsed > w.MaxRestarts+1 {
			return fmt.Errorf("%s used %d of %d restarts", w.ID, d.BudgetUsed, w.MaxRestarts)
		}
	}
	return nil
}

// crash is what a new ProcGuard finds: the disk as read back from a file, and
// those processes for which keep says so.
func (o *watcher) crash(disk *state.Snapshot, keep func(id string) bool) (*state.Snapshot, Boot) {
	b := Boot{Volume: "vol"}
	for _, id := range sortedKeys(o.live) {
		p := o.live[id]
		if !keep(id) || p.dead || p.pid == 0 {
			delete(o.live, id)
			continue
		}
		b.Survivors = append(b.Survivors, Survivor{Worker: id, Gen: p.gen, PID: p.pid, Ticks: p.ticks})
		p.hopeless = false
	}
	o.disk, o.synced = disk, disk.Clone()
	clear(o.phases)
	o.ending, o.hurry, o.ended = false, false, nil
	return reread(disk), b
}

// reread is s as it comes back from a file.
func reread(s *state.Snapshot) *state.Snapshot {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	back := state.New()
	if err := json.Unmarshal(text, back); err != nil {
		panic(err)
	}
	back.Normalize()
	return back
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// TestWatcherSees: an oracle that finds nothing would make every test pass.
func TestWatcherSees(t *testing.T) {
	spec := mustSpec(t, "worker a\nworker b deps=a\ntask t owner=a")
	tasks := []string{"t"}
	setup := func() *watcher {
		o := newWatcher(spec)
		recs := []state.Record{
			{Seq: 1, Kind: state.KindWorker, Worker: "a", Group: "default"}, {Seq: 2, Kind: state.KindWorker, Worker: "b", Group: "default"},
			{Seq: 3, Kind: state.KindTask, Task: &state.Task{TaskID: "t", WorkerID: "a"}},
			{Seq: 4, Kind: state.KindSpawn, Worker: "a", Gen: 1}, {Seq: 5, Kind: state.KindSpawn, Worker: "b", Gen: 1}}
		if err := o.actions([]Action{Persist{Records: recs, Sync: true}, Spawn{Worker: "a", Gen: 1, Tasks: tasks}, Spawn{Worker: "b", Gen: 1}}); err != nil {
			t.Fatal(err)
		}
		o.event(Batch{Started{Worker: "a", Gen: 1, PID: 1}, Started{Worker: "b", Gen: 1, PID: 2}})
		return o
	}
	stopAll := state.Record{Seq: 6, Kind: state.KindPhase, Group: "default", Phase: state.StopAll}
	again := state.Record{Seq: 6, Kind: state.KindSpawn, Worker: "a", Gen: 2}
	for name, bad := range map[string][]Action{
		"two lives":          {Persist{Records: []state.Record{again}, Sync: true}, Spawn{Worker: "a", Gen: 2, Tasks: tasks}},
		"unknown to disk":    {Spawn{Worker: "a", Gen: 2, Tasks: tasks}},
		"persist is late":    {Emit{}, Persist{Records: []state.Record{again}}},
		"record out of turn": {Persist{Records: []state.Record{{Seq: 9, Kind: state.KindRun}}}},
		"group half stopped": {Persist{Records: []state.Record{stopAll, {Seq: 7, Kind: state.KindPhase, Group: "default", Phase: state.Reassign}}}},
		"task held twice":    {Persist{Records: []state.Record{{Seq: 6, Kind: state.KindAssign, Moves: map[string]string{"t": "b"}}}}, Retask{Worker: "b", Gen: 1}},
		"old generation":     {Signal{Worker: "a", Gen: 0}},
		"dump of the dead":   {Dump{Worker: "a", Gen: 7}},
		"order of the stop":  {Emit{Note{Kind: NoteStopAll}}, Signal{Worker: "a", Gen: 1}},
		"exit over the live": {Exit{}},
	} {
		if err := setup().actions(bad); err == nil {
			t.Errorf("%s: not seen", name)
		}
	}
	o := setup()
	o.event(Exited{Worker: "a", Gen: 1, Gone: true})
	if err := o.actions([]Action{Spawn{Worker: "a", Gen: 1, Tasks: tasks}}); err == nil {
		t.Error("a generation used twice is not seen")
	}
	if err := setup().actions([]Action{Emit{Note{Kind: NoteStopAll}}, Signal{Worker: "b", Gen: 1}}); err != nil {
		t.Errorf("what is right is called wrong: %v", err)
	}
}
