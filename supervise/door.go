package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/state/journal/incident"
	"github.com/procguard/procguard/supervise/bus"
	"github.com/procguard/procguard/supervise/bus/curve"
	"github.com/procguard/procguard/supervise/bus/mock"
	"github.com/procguard/procguard/supervise/bus/zmq"
	"github.com/procguard/procguard/supervise/config"
	"github.com/procguard/procguard/supervise/control"
	"github.com/procguard/procguard/supervise/fleet"
)

// openDoors starts the control socket and the bus. The job does not depend on
// either: one that cannot be opened is named in the log and in status.
func (l *loop) openDoors() {
	if err := l.openControl(); err != nil {
		l.degrade("no control socket: " + err.Error())
	}
	if err := l.openBus(); err != nil {
		l.degrade("no bus: " + err.Error())
	}
}

// openControl listens at every path that can be had. One is enough: the default
// is another procguard's where two run, and not every volume takes sockets.
func (l *loop) openControl() error {
	var failed []string
	door, opened := control.New(backend{l.g}), 0
	for _, path := range SocketPaths(l.cfg, l.dir) {
		if err := door.Listen(path); err != nil {
			failed = append(failed, err.Error())
			l.log.Debug("no control socket here", "path", path, "error", err)
			continue
		}
		opened++
		l.log.Debug("control socket", "path", path)
	}
	if opened == 0 {
		return errors.New(strings.Join(failed, "; "))
	}
	l.door = door
	return nil
}

func (l *loop) closeDoors() {
	if l.door != nil {
		l.door.Close()
	}
	if l.bus != nil {
		_ = l.bus.Close()
	}
}

func (l *loop) degrade(why string) {
	l.log.Error(why)
	l.broken = append(l.broken, why)
}

func (l *loop) openBus() (err error) {
	c := l.cfg.Communication
	a := c.AdapterConfig
	opt := bus.Options{Host: a.Host, PortBase: a.PortBase, Timeout: a.Timeout, Insecure: a.Insecure, Report: l.turnedAway}
	if opt.Keys, err = ring(a.Keys); err != nil {
		return err
	}
	if c.AdapterType == "zmq" {
		l.bus, err = zmq.New(opt, l.g.serve)
	} else {
		l.bus, err = mock.New(opt, l.g.serve)
	}
	if err == nil && c.AdapterType == "zmq" {
		l.endpoint = l.bus.Endpoints().Requests
	}
	return err
}

// turnedAway logs a peer that the bus did not let in. It is called by the bus's own goroutines.
func (l *loop) turnedAway(r bus.Refusal) {
	args := []any{"address", r.Addr, "why", r.Why}
	if r.Name != "" {
		args = append(args, "key", r.Name)
	}
	l.log.Warn("the bus turned a peer away", args...)
}

// ring reads the keys that the configuration names; nil where it names none.
func ring(k config.BusKeys) (*curve.Ring, error) {
	if k.Secret.IsZero() {
		return nil, nil
	}
	text, err := curve.Load(k.Secret.Reveal())
	if err != nil {
		return nil, fmt.Errorf("keys.secret: %w", err)
	}
	r := &curve.Ring{Allow: map[string]curve.Grant{}}
	if r.Secret, err = curve.Parse(text); err != nil {
		return nil, fmt.Errorf("keys.secret: %w", err)
	}
	for name, g := range k.Allow {
		key, err := curve.Load(g.Key)
		if err != nil {
			return nil, fmt.Errorf("keys.allow.%s: %w", name, err)
		}
		grant := curve.Grant{Key: key}
		for _, right := range g.May {
			grant.May = append(grant.May, curve.Right(right))
		}
		r.Allow[name] = grant
	}
	return r, r.Check()
}

// serve answers a request from the bus, in the words of the original.
func (g *Guard) serve(ctx context.Context, r bus.Request) bus.Response {
	var err error
	switch r.Command {
	case "heartbeat":
		err = g.Heartbeat(ctx, r.WorkerID)
	case "start", "start_worker":
		err = g.StartWorker(ctx, r.WorkerID)
	case "stop", "stop_worker":
		force, _ := r.Kwargs["force"].(bool)
		err = g.StopWorker(ctx, r.WorkerID, force)
	case "restart", "restart_worker":
		err = g.RestartWorker(ctx, r.WorkerID)
	case "status", "get_worker_status":
	default:
		err = fmt.Errorf("unknown command %q; known: heartbeat start stop restart status", r.Command)
	}
	if err != nil {
		return bus.Response{WorkerID: r.WorkerID, Status: "error", Error: err.Error()}
	}
	s, err := g.WorkerStatus(ctx, r.WorkerID)
	if err != nil {
		return bus.Response{WorkerID: r.WorkerID, Status: "error", Error: err.Error()}
	}
	return bus.Response{WorkerID: r.WorkerID, Status: string(s.Status)}
}

// SocketPaths are the places of the control socket: the configured one alone, or
// one beside the state and the default. A client tries them in this order: the
// one beside the state cannot be another procguard's. It is left out where its
// path is longer than a socket's can be.
func SocketPaths(c *config.Config, stateDir string) []string {
	beside := filepath.Join(stateDir, "procguard.sock")
	if c.Control.SocketSet || stateDir == "" || len(beside) > control.MaxPath || beside == c.Control.Socket {
		return []string{c.Control.Socket}
	}
	return []string{beside, c.Control.Socket}
}

// backend is what the control socket sees of a Guard.
type backend struct{ g *Guard }

// Status implements control.Backend.
func (b backend) Status(ctx context.Context) (doc *control.Status, err error) {
	err = b.g.do(ctx, func(l *loop) { doc = l.document() })
	return doc, err
}

// Incidents implements control.Backend. The folders are read here, not on the
// loop: a slow disk must not hold it up.
func (b backend) Incidents(ctx context.Context) (any, error) {
	dir, err := b.dir(ctx)
	if err != nil {
		return nil, err
	}
	list, err := incident.List(dir)
	if list == nil {
		list = []*incident.Incident{}
	}
	return list, err
}

// Incident implements control.Backend.
func (b backend) Incident(ctx context.Context, n uint64) (any, error) {
	dir, err := b.dir(ctx)
	if err != nil {
		return nil, err
	}
	return incident.Load(dir, n)
}

func (b backend) dir(ctx context.Context) (dir string, err error) {
	err = b.g.do(ctx, func(l *loop) { dir = l.dir })
	if err == nil && dir == "" {
		err = errors.New("there is no volume, so no incidents are kept")
	}
	return dir, err
}

// document is the status for people and programs.
func (l *loop) document() *control.Status {
	s := l.status()
	doc := &control.Status{Running: true, Version: l.g.opt.Version, PID: os.Getpid(), Node: l.cfg.Node, Config: l.cfg.File,
		StateDir: l.dir, Since: seconds(l.g.since), Epoch: s.Epoch, Run: s.Run, Incidents: s.Incidents, Degraded: append([]string{}, l.broken...),
		Tasks: control.Tasks{SetAside: []string{}}}
	if ok, why, _ := l.disk.Health(); !ok {
		doc.Degraded = append(doc.Degraded, why)
	}
	doc.Degraded = append(doc.Degraded, l.watch.Degraded()...)
	for i := range s.Groups {
		doc.Groups = append(doc.Groups, groupDoc(&s.Groups[i]))
	}
	for i := range s.Workers {
		doc.Workers = append(doc.Workers, l.workerDoc(&s.Workers[i]))
	}
	for i := range s.Tasks {
		doc.Tasks.Count(&s.Tasks[i])
	}
	doc.Verdict, doc.Summary = verdict(&s, doc.Degraded)
	return doc
}

func groupDoc(g *fleet.GroupStatus) control.Group {
	d := control.Group{Name: g.Name, Phase: string(g.Phase), Incident: g.Incident, Attempt: g.Attempt, Culprits: g.Culprits,
		Running: g.Running, Members: g.Members, Deadline: seconds(g.Deadline)}
	if g.Phase == state.Steady {
		d.Phase = "steady"
	}
	return d
}

func (l *loop) workerDoc(w *fleet.WorkerStatus) control.Worker {
	d := control.Worker{Worker: w.Worker, State: w.State, Health: health(w), Type: w.Type, MaxRestarts: w.MaxRestarts, Due: seconds(w.Due)}
	if w.Rank >= 0 {
		d.Rank = &w.Rank
	}
	if s, ok := l.watch.Sample(w.WorkerID); ok {
		d.CPU, d.RSS, d.Processes, d.Threads = s.CPU, s.RSS, s.Processes, s.Threads
	}
	d.Phase, d.Step = w.Phase, w.Step
	if w.Verdict != nil {
		d.Verdict = w.Verdict.String()
	}
	if i := l.live[w.WorkerID]; i != nil {
		d.Says = i.says
	}
	return d
}

// health is a worker's condition in the words of the original.
func health(w *fleet.WorkerStatus) string {
	switch {
	case w.Status == state.Zombie:
		return "zombie"
	case w.PID == 0 && w.Status == state.Unknown:
		return "unknown"
	case w.PID == 0:
		return "dead"
	case w.Verdict != nil:
		return "unresponsive"
	case w.State == "running":
		return "healthy"
	}
	return "unknown"
}

// verdict is the answer at a glance, and why.
func verdict(s *fleet.Status, degraded []string) (control.Verdict, string) {
	running, done, late, ill := 0, 0, 0, 0
	for i := range s.Workers {
		if s.Workers[i].Verdict != nil {
			ill++
		}
		switch s.Workers[i].State {
		case "running":
			running++
		case "done":
			done++
		case "waiting", "spawning", "starting":
			late++
		}
	}
	sum := fmt.Sprintf("%d of %d workers running", running, len(s.Workers))
	if done > 0 {
		sum += fmt.Sprintf(", %d done", done)
	}
	if ill > 0 {
		sum += fmt.Sprintf(", %d not well", ill)
	}
	if s.Stopping != "" {
		return control.Stopping, s.Stopping + "; " + sum
	}
	for _, g := range s.Groups {
		if g.Phase != state.Steady {
			return control.Recovering, fmt.Sprintf("group %s is %s after the failure of %s; %s", g.Name, g.Phase, strings.Join(g.Culprits, ", "), sum)
		}
	}
	switch {
	case len(degraded) > 0, ill > 0:
		return control.Degraded, sum
	case late > 0:
		return control.Starting, sum
	}
	return control.Healthy, sum
}
