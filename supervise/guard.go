package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/config"
	"github.com/procguard/procguard/supervise/fleet"
)

// Options are what a program, as opposed to a file, has a say in. The zero
// value is right for most.
type Options struct {
	// Stdout and Stderr get the workers' lines, with prefixes. Nil: os.Stdout, os.Stderr.
	Stdout, Stderr io.Writer
	// Log gets ProcGuard's own log. Nil: as `logging:` says, on Stderr.
	Log *slog.Logger
	// OnFailure is called with the workers that failed and why, in a goroutine of
	// its own, one call at a time, after the failure is on record.
	OnFailure func([]Failure)
	// Fresh forgets the state of earlier runs but for its numbering.
	Fresh bool
	// Version is shown in status.
	Version string
}

// Failure is one failed worker.
type Failure struct {
	Worker   string
	Incident uint64
	Cause    state.Cause
}

// Outcome is how a run ended. Code is the exit code that says so.
type Outcome struct {
	Code int
	Why  string
}

// ErrNotRunning is returned by calls that need Run to be running.
var ErrNotRunning = errors.New("procguard is not running")

// ErrUnknownWorker is returned for a worker_id that is not configured.
var ErrUnknownWorker = errors.New("no such worker")

// Guard supervises the workers of one configuration.
type Guard struct {
	opt   Options
	in    *inbox
	hub   hub
	since time.Time

	mu    sync.Mutex
	cfg   *config.Config
	state runState
	ready chan struct{} // closed when Run has booted
	over  chan struct{} // closed when Run has returned
}

type runState int

const (
	notYet runState = iota
	underWay
	ended
)

// Load reads, checks and resolves a configuration file. The error lists every
// mistake with its place.
func Load(path string) (*config.Config, error) { return config.Load(path, nil) }

// New makes a Guard. Nothing happens before Run or Start.
func New(cfg *config.Config, opt Options) (*Guard, error) {
	if cfg == nil || len(cfg.Workers) == 0 {
		return nil, errors.New("procguard: no workers are configured")
	}
	if opt.Stdout == nil {
		opt.Stdout = os.Stdout
	}
	if opt.Stderr == nil {
		opt.Stderr = os.Stderr
	}
	return &Guard{opt: opt, cfg: cfg, in: newInbox(), ready: make(chan struct{}), over: make(chan struct{})}, nil
}

// Run supervises until all work is done, it gives up, or ctx ends, which asks for
// the orderly stop. A Guard runs once.
func (g *Guard) Run(ctx context.Context) (Outcome, error) {
	g.mu.Lock()
	if g.state != notYet {
		g.mu.Unlock()
		return Outcome{Code: 1}, errors.New("procguard: a Guard runs once")
	}
	g.state = underWay
	g.mu.Unlock()
	g.since = time.Now()
	await := g.callBack()
	defer func() {
		g.mu.Lock()
		g.state = ended
		g.mu.Unlock()
		g.hub.close()
		await()
		close(g.over)
	}()
	return g.run(ctx)
}

// Start is Run in a goroutine. It returns when every worker has been started or
// waits for its turn; wait gives what Run would have given.
func (g *Guard) Start(ctx context.Context) (wait func() (Outcome, error), err error) {
	var out Outcome
	var runErr error
	done := make(chan struct{})
	go func() {
		defer close(done)
		out, runErr = g.Run(ctx)
	}()
	wait = func() (Outcome, error) {
		<-done
		return out, runErr
	}
	select {
	case <-g.ready:
		return wait, nil
	case <-done:
		_, err := wait()
		return wait, err
	}
}

// Events subscribes to what happens from now on.
func (g *Guard) Events() *Subscription { return g.hub.subscribe() }

// Config is the configuration in force. It must not be changed.
func (g *Guard) Config() *config.Config {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cfg
}

// do has the loop run f and waits until it has, or ctx ends, or the loop has.
func (g *Guard) do(ctx context.Context, f func(*loop)) error {
	select {
	case <-g.ready:
	case <-g.over:
		return ErrNotRunning
	case <-ctx.Done():
		return ctx.Err()
	}
	done := make(chan struct{})
	g.in.call(func(l *loop) {
		f(l)
		close(done)
	})
	select {
	case <-done:
		return nil
	case <-g.over:
		return ErrNotRunning
	case <-ctx.Done():
		return ctx.Err()
	}
}

// command sends an event about a worker to the machine.
func (g *Guard) command(ctx context.Context, id string, e fleet.Event) error {
	unknown := false
	err := g.do(ctx, func(l *loop) {
		if _, ok := l.fleet.Worker(id); !ok {
			unknown = true
			return
		}
		if s, ok := e.(fleet.StopWorker); ok {
			l.untidy(s.Worker)
		}
		l.step(e)
	})
	if unknown {
		return fmt.Errorf("%w: %s", ErrUnknownWorker, id)
	}
	return err
}

// worker is the configuration of one worker, nil if there is none.
func (g *Guard) worker(id string) *config.Worker {
	cfg := g.Config()
	for i := range cfg.Workers {
		if cfg.Workers[i].ID == id {
			return &cfg.Workers[i]
		}
	}
	return nil
}
