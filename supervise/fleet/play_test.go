package fleet

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/procguard/procguard/state"
)

var update = flag.Bool("update", false, "write what the fleet does into testdata/*.txt")

// A play is a text: comments, specs, and events, each followed by the actions
// that came of it. Lines of a play:
//
//	# a comment
//	spec [name]                the lines below it, indented, are a spec; the first one is used
//	> boot                     events, see (*play).cue
//	  spawn a/1                actions
var epoch0 = time.Unix(1_700_000_000, 0)

type play struct {
	t     *testing.T
	specs map[string]Spec
	f     *Fleet
	o     *watcher
	now   time.Time
	out   *bytes.Buffer

	pids   int
	manual bool           // spawns wait for `started`
	flops  map[string]int // spawns to fail
}

// TestPlays runs every play and compares what came of each event.
func TestPlays(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no plays", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := perform(t, string(want))
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			} else if d := firstDifference(string(want), string(got)); d != "" {
				t.Errorf("%s: %s\n(-update writes the play anew)", file, d)
			}
		})
	}
}

func firstDifference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(a), len(b)) {
		x, y := "(end)", "(end)"
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return fmt.Sprintf("line %d\nwant %s\ngot  %s", i+1, x, y)
		}
	}
	return ""
}

// perform plays text and returns it with the actions as they are.
func perform(t *testing.T, text string) []byte {
	p := &play{t: t, specs: map[string]Spec{}, now: epoch0, out: &bytes.Buffer{}, pids: 100, flops: map[string]int{}}
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		switch {
		case line == "spec" || strings.HasPrefix(line, "spec "):
			from := i + 1
			for i+1 < len(lines) && strings.HasPrefix(lines[i+1], " ") {
				i++
			}
			p.specs[strings.TrimSpace(line[4:])] = mustSpec(t, strings.Join(lines[from:i+1], "\n"))
			fmt.Fprintln(p.out, strings.Join(lines[from-1:i+1], "\n"))
		case strings.HasPrefix(line, "> "):
			fmt.Fprintln(p.out, line)
			if err := p.cue(strings.Fields(line[2:])); err != nil {
				t.Errorf("line %d: %s: %v", i+1, line, err)
			}
		case !strings.HasPrefix(line, " "):
			fmt.Fprintln(p.out, line)
		}
	}
	return p.out.Bytes()
}

// cue carries out one event line.
func (p *play) cue(words []string) error {
	verb, args := words[0], words[1:]
	if strings.HasPrefix(verb, "+") {
		return p.advance(verb[1:])
	}
	switch verb {
	case "boot", "crash":
		return p.boot(verb == "crash", args)
	case "manual":
		p.manual = true
		return nil
	case "flop": // flop a 2: the next two spawns of a fail
		n, err := strconv.Atoi(args[1])
		p.flops[args[0]] = n
		return err
	case "reload":
		spec := p.specs[strings.Join(args, "")]
		if err := p.f.CanReload(spec); err != nil {
			fmt.Fprintf(p.out, "  refused: %v\n", err)
		} else {
			p.o.spec = spec
		}
		return p.step(Reload{Spec: spec})
	case "status":
		p.status()
		return nil
	case "every": // every 10s 30 alive a ; step a +1: time and events, thirty times
		return p.every(args)
	case "batch": // batch exit a 1 ; exit b 1
		return p.batch(args)
	}
	e, err := p.event(verb, args)
	if err != nil {
		return err
	}
	return p.step(e)
}

func (p *play) batch(words []string) error {
	var all Batch
	for part := range strings.SplitSeq(strings.Join(words, " "), " ; ") {
		w := strings.Fields(part)
		e, err := p.event(w[0], w[1:])
		if err != nil {
			return err
		}
		all = append(all, e)
	}
	return p.step(all)
}

// every lets time go on and says something, again and again.
func (p *play) every(args []string) error {
	n, err := strconv.Atoi(args[1])
	for range n {
		if err == nil {
			err = p.advance(args[0])
		}
		for part := range strings.SplitSeq(strings.Join(args[2:], " "), " ; ") {
			if err == nil {
				err = p.cue(strings.Fields(part))
			}
		}
	}
	return err
}

func (p *play) event(verb string, args []string) (Event, error) {
	switch verb {
	case "stop":
		if len(args) == 0 {
			return StopFleet{Why: "SIGTERM"}, nil
		}
		if args[0] == "now" {
			return StopFleet{Now: true, Why: "SIGTERM"}, nil
		}
	case "healthy":
		return RestartHealthy{Exclude: args}, nil
	case "fail":
		return Fail{Workers: args, Detail: "by hand"}, nil
	case "hold":
		return StopWorker{Worker: args[0], Force: len(args) > 1}, nil
	case "start":
		return StartWorker{Worker: args[0]}, nil
	case "restart":
		return RestartWorker{Worker: args[0]}, nil
	}
	return p.workerEvent(verb, args)
}

// workerEvent is about the current generation, or with a/2 about that one.
func (p *play) workerEvent(verb string, args []string) (Event, error) {
	id, g, old := strings.Cut(args[0], "/")
	s, _ := p.f.Worker(id)
	gen := s.Generation
	if old {
		gen, _ = strconv.ParseUint(g, 10, 64)
	}
	switch verb {
	case "started":
		p.pids++
		return Started{Worker: id, Gen: gen, PID: p.pids, Ticks: uint64(p.pids)}, nil
	case "spawnfail":
		return SpawnFailed{Worker: id, Gen: gen, Detail: "no such file"}, nil
	case "exit", "kill":
		return p.exited(id, gen, verb == "kill", args[1:]), nil
	case "lost":
		return Exited{Worker: id, Gen: gen, Lost: true, Gone: true}, nil
	case "gone":
		return Gone{Worker: id, Gen: gen}, nil
	case "ready":
		return Ready{Worker: id, Gen: gen}, nil
	case "alive":
		return Alive{Worker: id, Gen: gen}, nil
	}
	return p.lifeEvent(verb, id, gen, args)
}

// lifeEvent is what a process says of itself, or what is said of a living one.
func (p *play) lifeEvent(verb, id string, gen uint64, args []string) (Event, error) {
	switch verb {
	case "judge": // judge a max_memory [5m]: it has been so for 5m
		j := Judged{Worker: id, Gen: gen, Cause: state.Cause{Kind: state.CauseKind(args[1])}}
		j.For = duration(args, 2)
		return j, nil
	case "clear":
		return Cleared{Worker: id, Gen: gen}, nil
	case "extend":
		return Extended{Worker: id, Gen: gen, For: duration(args, 1)}, nil
	case "phase": // phase a NAME [5m]; without a name it ends
		e := Phased{Worker: id, Gen: gen, Timeout: duration(args, 2)}
		if len(args) > 1 {
			e.Name = args[1]
		}
		return e, nil
	case "step":
		if args[1] == "+" {
			s, _ := p.f.Worker(id)
			return Progressed{Worker: id, Gen: gen, Step: s.Step + 1}, nil
		}
		n, err := strconv.ParseInt(args[1], 10, 64)
		return Progressed{Worker: id, Gen: gen, Step: n}, err
	case "stopping":
		return Stopping{Worker: id, Gen: gen}, nil
	case "dumped":
		return Dumped{Worker: id, Gen: gen}, nil
	}
	return nil, fmt.Errorf("unknown event %q", verb)
}

// duration is the i-th argument, 0 if there is none.
func duration(args []string, i int) time.Duration {
	if i >= len(args) {
		return 0
	}
	d, err := time.ParseDuration(args[i])
	if err != nil {
		panic(err)
	}
	return d
}

// exited: exit a 1 | kill a SIGKILL, then `left` if something of it lives on,
// `self` if it died before the signal that was sent to it, `sent` if another of
// ours had reached it, and `says` with the rest for its detail.
func (p *play) exited(id string, gen uint64, signal bool, args []string) Exited {
	x := Exited{Worker: id, Gen: gen, Gone: !slices.Contains(args, "left")}
	q := p.o.live[id]
	x.Sent = q != nil && (q.asked || q.killed) && !slices.Contains(args, "self") || slices.Contains(args, "sent")
	if i := slices.Index(args, "says"); i >= 0 {
		x.Detail = strings.Join(args[i+1:], " ")
	}
	if slices.Contains(args, "evicted") {
		x.Class = state.ClassEvicted
	}
	if signal {
		x.Signal = args[0]
		return x
	}
	x.Code, _ = strconv.Atoi(args[0])
	return x
}

// boot: boot [with SPEC] | crash [with SPEC] [survivors a b]
func (p *play) boot(crashed bool, args []string) error {
	spec := p.specs[""]
	if crashed {
		spec = p.o.spec
	}
	if len(args) > 1 && args[0] == "with" {
		spec, args = p.specs[args[1]], args[2:]
	}
	snap, b := state.New(), Boot{Volume: "vol"}
	if crashed {
		snap, b = p.o.crash(p.o.disk, func(id string) bool { return slices.Contains(args, id) })
		p.o.spec = spec
	} else {
		p.o = newWatcher(spec)
	}
	var err error
	if p.f, err = New(spec, snap); err != nil {
		return err
	}
	return p.step(b)
}

// advance lets time go on, with a Tick at each deadline.
func (p *play) advance(by string) error {
	d, err := time.ParseDuration(by)
	if err != nil {
		return err
	}
	until := p.now.Add(d)
	for ticks := 0; ; ticks++ {
		at, ok := p.f.Deadline()
		if !ok || at.After(until) {
			p.now = until
			return nil
		}
		if ticks > 1000 {
			return fmt.Errorf("a thousand deadlines in %s", by)
		}
		if at.After(p.now) {
			p.now = at
		}
		fmt.Fprintf(p.out, "  @%s\n", p.now.Sub(epoch0))
		if err := p.step(Tick{}); err != nil {
			return err
		}
	}
}

// step takes one event, shows the actions, answers the spawns and looks for
// broken promises.
func (p *play) step(e Event) error {
	p.o.event(e)
	acts := p.f.Step(p.now, e)
	for i, a := range acts {
		if s := show(a); s != "" {
			if next, ok := at(acts, i+1).(Signal); ok && next.Signal == sigCont {
				s += "+CONT"
			}
			fmt.Fprintf(p.out, "  %s\n", s)
		}
	}
	if err := p.o.actions(acts); err != nil {
		return err
	}
	if err := p.f.Check(); err != nil {
		return err
	}
	if !p.manual {
		return p.answer(acts)
	}
	return nil
}

func at(acts []Action, i int) Action {
	if i < len(acts) {
		return acts[i]
	}
	return nil
}

func (p *play) answer(acts []Action) error {
	for _, a := range acts {
		s, ok := a.(Spawn)
		if !ok {
			continue
		}
		var e Event = SpawnFailed{Worker: s.Worker, Gen: s.Gen, Detail: "no such file"}
		if p.flops[s.Worker]--; p.flops[s.Worker] < 0 {
			p.pids++
			e = Started{Worker: s.Worker, Gen: s.Gen, PID: p.pids, Ticks: uint64(p.pids)}
		}
		if err := p.step(e); err != nil {
			return err
		}
	}
	return nil
}

func (p *play) status() {
	s := p.f.Status()
	for _, w := range s.Workers {
		fmt.Fprintf(p.out, "  %s: %s (%s) gen %d, restarts %d, budget %d/%d", w.WorkerID, w.Status, w.State, w.Generation, w.RestartCount, w.BudgetUsed, w.MaxRestarts)
		for i, on := range []bool{w.Excluded, w.Done, w.Held, w.Standby} {
			if on {
				fmt.Fprint(p.out, []string{" excluded", " done", " held", " standby"}[i])
			}
		}
		p.lifeStatus(&w)
		if len(w.AssignedTasks) > 0 {
			fmt.Fprintf(p.out, " %v", w.AssignedTasks)
		}
		if w.LastError != "" {
			fmt.Fprintf(p.out, "; %s", w.LastError)
		}
		fmt.Fprintln(p.out)
	}
	for _, g := range s.Groups {
		fmt.Fprintf(p.out, "  group %s: phase %q attempt %d culprits %v, %d of %d running\n", g.Name, g.Phase, g.Attempt, g.Culprits, g.Running, g.Members)
	}
	for _, t := range s.Tasks {
		fmt.Fprintf(p.out, "  task %s: %s of %q, %d deaths\n", t.TaskID, t.Status, t.WorkerID, t.Deaths)
	}
	fmt.Fprintf(p.out, "  epoch %d, run %d, incidents %d\n", s.Epoch, s.Run, s.Incidents)
}

func (p *play) lifeStatus(w *WorkerStatus) {
	if w.Verdict != nil {
		fmt.Fprintf(p.out, " NOT WELL (%s)", w.Verdict)
	}
	if w.Phase != "" {
		fmt.Fprintf(p.out, " in phase %s", w.Phase)
	}
	if w.Step != 0 {
		fmt.Fprintf(p.out, " step %d", w.Step)
	}
	if w.HeartbeatMS != 0 {
		fmt.Fprintf(p.out, " heartbeats within %s", w.Patience)
	}
}
