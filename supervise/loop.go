package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/procguard/procguard/reaper"
	"github.com/procguard/procguard/reaper/account"
	"github.com/procguard/procguard/reaper/cgroup"
	"github.com/procguard/procguard/state/journal"
	"github.com/procguard/procguard/supervise/bus"
	"github.com/procguard/procguard/supervise/config"
	"github.com/procguard/procguard/supervise/control"
	"github.com/procguard/procguard/supervise/fleet"
	"github.com/procguard/procguard/supervise/logs"
	"github.com/procguard/procguard/supervise/probe"
	"github.com/procguard/procguard/supervise/slate"
)

// kernel is what makes and ends processes. The reaper is the one for this
// container; its callbacks go to the loop's inbox.
type kernel interface {
	Spawn(reaper.Spec) (reaper.Proc, error)
	Adopt(s reaper.Survivor, id string, gen uint64) (reaper.Proc, error)
	Survivors(prefix string) ([]reaper.Survivor, error)
	Signal(reaper.Proc, syscall.Signal, reaper.Target) error
	Kill(reaper.Proc) error
}

// loop owns the machine. All its methods run on the goroutine of Run.
type loop struct {
	g        *Guard
	cfg      *config.Config
	byID     map[string]*config.Worker
	log      *slog.Logger
	fleet    *fleet.Fleet
	kernel   kernel
	disk     *journal.Journal
	out      *logs.Collector
	watch    *probe.Prober
	story    *story
	inquest  *inquest
	groups   *cgroup.Tree    // nil where no cgroup is delegated to us
	door     *control.Server // nil if it could not be opened
	bus      bus.Bus         // nil if it could not be opened
	broken   []string        // what around us could not be had
	ports    ports
	dir      string // of the state, "" if it is in memory
	scratch  string // files between us and the workers
	volume   string // names this state in markers
	run      uint64 // number of the job
	endpoint string // of the bus, for workers

	live     map[string]*instance // by worker
	fallen   map[string]*instance // those that ended in this turn, for their evidence
	hung     map[string]uint64    // workers whose spawn is still unanswered, with generations
	early    []any                // what was reported of them already
	former   map[string]former    // the last process of each worker, once nothing of it is left
	tidying  map[*tidy]bool
	frugal   bool        // we may have too few open files for all that is nice to have
	command  slate.Exec  // runs a helper command
	answers  fleet.Batch // to Spawns of the step being carried out
	degraded bool
	outcome  *Outcome
}

// instance is a process of a worker, from its start until nothing is left.
type instance struct {
	gen   uint64
	proc  reaper.Proc
	cfg   *config.Worker
	lines *logs.Worker
	start time.Time
	beat  time.Time // last heartbeat
	exit  *reaper.Exit
	// drained is closed when all that it has said is in the tail; nil while it lives
	drained <-chan struct{}
	files   []string // to be removed with it
	// errorFile is the error.json that it wrote, as torch's workers do
	errorFile []byte

	marker string
	says   string           // its newest STATUS=
	notify bool             // it has a NOTIFY_SOCKET
	timer  string           // the FIFO of its timers, "" if it has none
	owner  *account.Account // nil: ours
	group  *cgroup.Group    // nil if it has none of its own
	rank   int              // -1 if it has none
	ready  time.Time        // zero: not yet
	base   *baseline        // of the kernel's counters
	found  *finding         // why it ended or hangs, once that was looked into
	told   *chapter         // the newest incident that began with it
	asked  bool             // to stop, by us
	bare   bool             // it gets no cgroup of its own
}

// turn runs until the machine has ended.
func (l *loop) turn(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	stop := ctx.Done()
	for l.outcome == nil {
		l.drain()
		if l.outcome != nil {
			return
		}
		var due <-chan time.Time
		if at, ok := l.due(); ok {
			timer.Reset(time.Until(at))
			due = timer.C
		}
		select {
		case <-l.g.in.wake:
		case <-l.disk.Notify():
		case <-due:
		case <-stop:
			stop = nil
			l.shutdown(stopReason(ctx), false)
		}
		timer.Stop()
	}
}

func stopReason(ctx context.Context) string {
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err.Error()
	}
	return "stop requested"
}

// due is when the loop has something to do by itself.
func (l *loop) due() (time.Time, bool) {
	at, ok := l.fleet.Deadline()
	if t, wants := l.disk.Due(); wants && (!ok || t.Before(at)) {
		at, ok = t, true
	}
	return at, ok
}

// drain lets the machine see all that has come in, what is due, and gives the
// disk the snapshot it wants.
func (l *loop) drain() {
	m := l.g.in.take()
	var batch fleet.Batch
	l.hearOut(m.exits)
	for _, e := range m.exits {
		batch = append(batch, l.translate(e)...)
	}
	batch = append(batch, m.facts...)
	for id, gen := range m.beats {
		if w := l.live[id]; w != nil && w.gen == gen {
			w.beat = time.Now()
			l.watch.Beat(id, gen)
			batch = append(batch, fleet.Alive{Worker: id, Gen: gen})
		}
	}
	if len(batch) > 0 {
		l.step(batch)
		clear(l.fallen)
	}
	for _, f := range m.calls {
		f(l)
	}
	if at, ok := l.fleet.Deadline(); ok && !at.After(time.Now()) {
		l.step(fleet.Tick{})
	}
	if l.disk.Wants() {
		l.offer()
	}
	l.health()
}

func (l *loop) offer() {
	snap := l.fleet.Snapshot()
	for id, w := range l.live {
		if d := snap.Workers[id]; d != nil {
			d.LastHeartbeat = seconds(w.beat)
		}
	}
	if err := l.disk.Offer(snap); err != nil {
		l.log.Error("the state file cannot be written", "error", err)
	}
}

// step gives one event to the machine and carries out what it decides. Spawns
// are answered when everything before has been done.
func (l *loop) step(e fleet.Event) {
	for e != nil {
		l.answers = nil
		for actions := l.decide(e); len(actions) > 0; {
			actions = l.perform(actions)
		}
		e = nil
		if len(l.answers) > 0 {
			e = l.answers
		}
	}
}

// decide is the machine's step. Should the machine contradict itself, nothing it
// says can be trusted any more: everything is killed, and PID 1 leaves with an
// error, which the container's owner sees, instead of a panic in mid-air.
func (l *loop) decide(e fleet.Event) (actions []fleet.Action) {
	defer func() {
		if r := recover(); r != nil {
			l.log.Error("internal error, all workers are killed", "error", r, "event", fmt.Sprintf("%T", e), "stack", string(debug.Stack()))
			for _, w := range l.live {
				_ = l.kernel.Kill(w.proc)
			}
			l.outcome = &Outcome{Code: 1, Why: fmt.Sprintf("internal error: %v", r)}
			actions = nil
		}
	}()
	return l.fleet.Step(time.Now(), e)
}

// perform carries out the first action, or all spawns if it is one of several in
// a row, and returns the others.
func (l *loop) perform(actions []fleet.Action) []fleet.Action {
	switch a := actions[0].(type) {
	case fleet.Persist:
		l.persist(a)
	case fleet.Spawn:
		n := 1
		for n < len(actions) && isSpawn(actions[n]) {
			n++
		}
		list := make([]fleet.Spawn, n)
		for i := range list {
			list[i] = actions[i].(fleet.Spawn)
		}
		l.spawn(list)
		return actions[n:]
	case fleet.Adopt:
		l.adopt(a)
	case fleet.Signal:
		l.signal(a)
	case fleet.Kill:
		if w := l.instance(a.Worker, a.Gen); w != nil {
			w.asked = true
			_ = l.kernel.Kill(w.proc) // gone already: its exit is under way
		}
	case fleet.Dump:
		l.look(a)
	case fleet.Retask:
		l.retask(a)
	case fleet.Emit:
		l.tell(&a.Note)
	case fleet.Exit:
		l.outcome = &Outcome{Code: a.Code, Why: a.Why}
	}
	return actions[1:]
}

func isSpawn(a fleet.Action) bool {
	_, ok := a.(fleet.Spawn)
	return ok
}

func (l *loop) instance(id string, gen uint64) *instance {
	if w := l.live[id]; w != nil && w.gen == gen {
		return w
	}
	return nil
}

// persist makes records durable, or as durable as the disk lets it: a stalled or
// full disk delays recovery by state.sync_timeout once, and is named in status.
func (l *loop) persist(p fleet.Persist) {
	if err := l.disk.Append(p.Records, p.Sync); err != nil && !errors.Is(err, journal.ErrDegraded) {
		l.log.Error("state cannot be recorded", "error", err)
	}
}

// health says once when the disk fails and once when it heals.
func (l *loop) health() {
	ok, why, _ := l.disk.Health()
	if ok == l.degraded {
		l.degraded = !ok
		if ok {
			l.log.Info("state is on disk again")
		} else {
			l.log.Error("state is kept in memory only", "why", why)
		}
	}
}

func (l *loop) signal(a fleet.Signal) {
	w := l.instance(a.Worker, a.Gen)
	if w == nil {
		return
	}
	w.asked = true
	to := reaper.Leader
	if a.Group {
		to = reaper.Group
	}
	_ = l.kernel.Signal(w.proc, syscall.Signal(a.Signal), to) // gone already: its exit is under way
}

// translate turns what the reaper reports into what the machine understands.
func (l *loop) translate(e any) fleet.Batch {
	switch e := e.(type) {
	case reaper.Exit:
		w := l.instance(e.ID, e.Gen)
		if w == nil {
			l.keep(e, e.ID, e.Gen)
			return nil
		}
		w.exit = &e
		l.fallen[e.ID] = w
		l.watch.Unwatch(e.ID, e.Gen)
		if w.lines != nil && w.drained == nil {
			w.drained = w.lines.Finish()
		}
		x := l.ended(w, e)
		if e.Gone {
			l.drop(e.ID, w)
		}
		return fleet.Batch{x}
	case reaper.Gone:
		w := l.instance(e.ID, e.Gen)
		if w == nil {
			l.keep(e, e.ID, e.Gen)
			return nil
		}
		l.drop(e.ID, w)
		return fleet.Batch{fleet.Gone{Worker: e.ID, Gen: e.Gen}}
	}
	return nil
}

// ended says how an instance ended. Of one that ended by itself, badly, the reason is looked
// for.
func (l *loop) ended(w *instance, e reaper.Exit) fleet.Exited {
	x := fleet.Exited{Worker: e.ID, Gen: e.Gen, Code: e.Code(), Core: e.CoreDumped(), Lost: e.Unknown, Sent: sentFor(w, &e), Gone: e.Gone}
	if s := e.Signal(); s != 0 {
		x.Signal = signalName(s)
	}
	switch {
	case e.Unknown:
		x.Detail = "ended; it was adopted, so how is not known"
		return x
	case e.Code() == 0 && x.Signal == "":
		return x
	case l.scratch != "":
		// Read now: its next start removes it.
		w.errorFile, _ = readSmall(l.errorPath(e.ID), 1<<20) // most write none
	}
	if !x.Sent {
		w.found = l.inquest.died(e.ID, w)
		x.Detail, x.Signature = w.found.detail(), w.found.verdict.Signature
	}
	return x
}

// keep holds on to what is reported of a process whose spawn is not answered yet.
func (l *loop) keep(e any, id string, gen uint64) {
	if g, ok := l.hung[id]; ok && g == gen {
		l.early = append(l.early, e)
	}
}

func (l *loop) heartbeat(id string) {
	if w := l.live[id]; w != nil {
		w.beat = time.Now()
		l.watch.Beat(id, w.gen)
		l.step(fleet.Alive{Worker: id, Gen: w.gen})
	}
}

func (l *loop) shutdown(why string, now bool) {
	l.untidy("")
	l.step(fleet.StopFleet{Why: why, Now: now})
}

func (l *loop) reload(cfg *config.Config) error {
	s := spec(cfg)
	if err := l.fleet.CanReload(s); err != nil {
		return err
	}
	l.use(cfg)
	l.rewatch()
	l.reckonFiles()
	l.step(fleet.Reload{Spec: s})
	return nil
}

// use makes cfg the configuration in force.
func (l *loop) use(cfg *config.Config) {
	l.cfg = cfg
	l.byID = make(map[string]*config.Worker, len(cfg.Workers))
	for i := range cfg.Workers {
		l.byID[cfg.Workers[i].ID] = &cfg.Workers[i]
	}
	l.g.mu.Lock()
	l.g.cfg = cfg
	l.g.mu.Unlock()
}

func (l *loop) status() fleet.Status {
	s := l.fleet.Status()
	for i := range s.Workers {
		l.freshen(&s.Workers[i])
	}
	return s
}

func (l *loop) workerStatus(id string) (fleet.WorkerStatus, bool) {
	s, ok := l.fleet.Worker(id)
	if ok {
		l.freshen(&s)
	}
	return s, ok
}

func (l *loop) freshen(s *fleet.WorkerStatus) {
	if w := l.live[s.WorkerID]; w != nil {
		s.LastHeartbeat = seconds(w.beat)
	}
}
