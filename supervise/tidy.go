package supervise

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/procguard/procguard/reaper"
	"github.com/procguard/procguard/supervise/config"
	"github.com/procguard/procguard/supervise/slate"
)

// former is the last process of a worker, of which nothing is left but, perhaps, what it had
// in shared memory or on a GPU.
type former struct {
	proc  reaper.Proc
	start time.Time
	uid   int
}

// tidyTime bounds all cleaning before one start, tidyPatience the wait for one thing, and
// tidyLate how much later than it should it may end.
const (
	tidyTime     = 10 * time.Second
	tidyPatience = 3 * time.Second
	tidyLate     = time.Second
)

// tidy is a clean slate that some starts of one turn need. What it takes time for happens
// beside the loop; the starts are answered late, as those that hang are.
type tidy struct {
	starts []*launch
	plan   slate.Plan
	cancel context.CancelFunc
}

// sortOut takes the starts that need a clean slate out of the list: for each user one, as
// what is left in shared memory is told apart by its owner.
func (l *loop) sortOut(starts []*launch) (now []*launch, late []*tidy) {
	byUser := map[int]*tidy{}
	for _, s := range starts {
		f, again := l.former[s.a.Worker]
		if s.err != nil || !again {
			now = append(now, s)
			continue
		}
		t := byUser[f.uid]
		if t == nil {
			t = &tidy{}
		}
		if !l.needs(t, s.w.cfg, f) {
			now = append(now, s)
			continue
		}
		if byUser[f.uid] == nil {
			byUser[f.uid] = t
			late = append(late, t)
		}
		t.starts = append(t.starts, s)
		t.plan.Dead = append(t.plan.Dead, slate.Process{PID: f.proc.PID, Ticks: f.proc.StartTicks})
	}
	return now, late
}

// needs adds to the plan what a worker asks for, if there is anything.
func (l *loop) needs(t *tidy, cfg *config.Worker, f former) (any bool) {
	if port := localPort(cfg.Ready.TCP); cfg.Clean.Port && port != 0 {
		t.plan.Ports = append(t.plan.Ports, slate.Port{Number: port})
		any = true
	}
	if cfg.Clean.SharedMemory {
		if t.plan.Shm.Dir == "" || f.start.Before(t.plan.Shm.Since) {
			t.plan.Shm = slate.Shm{Dir: "/dev/shm", UID: f.uid, Since: f.start, Remove: true}
		}
		any = true
	}
	if g := cfg.Clean.GPU; g == "true" || g == "auto" && hasGPUs() {
		t.plan.Exec = l.command
		any = true
	}
	return any
}

var hasGPUs = sync.OnceValue(slate.HasGPUs)

// localPort is the port of an address on this machine, 0 if it is another's.
func localPort(addr string) int {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host != "" && host != "localhost" && !net.ParseIP(host).IsLoopback() {
		return 0
	}
	n, _ := strconv.Atoi(port)
	return n
}

// begin cleans, starts, and then answers.
func (t *tidy) begin(l *loop) {
	t.plan.Patience = tidyPatience
	ctx, cancel := context.WithTimeout(l.inquest.ctx, tidyTime)
	t.cancel = cancel
	l.tidying[t] = true
	l.inquest.jobs.Go(func() {
		defer cancel()
		r := t.clean(ctx)
		l.g.in.call(func(l *loop) {
			l.tidied(t, r)
			if b := l.launch(t.starts); len(b) > 0 {
				l.step(b)
			}
		})
	})
}

// clean gives up a cleaning that hangs: the memory map of a process in trouble may not be had
// for hours, and the start must not wait for it.
func (t *tidy) clean(ctx context.Context) slate.Report {
	done := make(chan slate.Report, 1)
	go func() { done <- slate.Clean(ctx, t.plan) }()
	select {
	case r := <-done:
		return r
	case <-ctx.Done():
	}
	late := time.NewTimer(tidyLate)
	defer late.Stop()
	select {
	case r := <-done:
		return r
	case <-late.C:
		return slate.Report{Unclean: []string{"what the dead have left cannot be looked at: /proc does not answer"}}
	}
}

var errUnwanted = errors.New("it was to be stopped before it was started")

// untidy ends the cleaning for a worker that is to be stopped, "" for all; it is not started.
// Others that wait for the same are started at once, with less clean a slate.
func (l *loop) untidy(worker string) {
	for t := range l.tidying {
		for _, s := range t.starts {
			if worker == "" || s.a.Worker == worker {
				s.err = errUnwanted
				t.cancel()
			}
		}
	}
}

// tidied says what was found, before the start may end the incident.
func (l *loop) tidied(t *tidy, r slate.Report) {
	delete(l.tidying, t)
	group := t.starts[0].w.cfg.Group
	for _, text := range r.Cleaned {
		l.log.Info("before the restart of group "+group, "cleaned", text)
	}
	for _, text := range r.Unclean {
		l.log.Warn("before the restart of group "+group, "unclean", text)
	}
	l.story.unclean(group, r.Unclean)
}

// remember keeps what a clean slate has to know of an instance of which nothing is left.
func (l *loop) remember(id string, w *instance) {
	f := former{proc: w.proc, start: w.start, uid: os.Getuid()}
	if w.owner != nil && w.owner.Credential != nil {
		f.uid = int(w.owner.Credential.Uid)
	}
	l.former[id] = f
}
