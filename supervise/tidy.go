package supervise

import (
	"context"
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

// tidyTime bounds all cleaning before one start, tidyPatience the wait for one thing.
const (
	tidyTime     = 10 * time.Second
	tidyPatience = 3 * time.Second
)

// tidy is a clean slate that some starts of one turn need. What it takes time for happens
// beside the loop; the starts are answered late, as those that hang are.
type tidy struct {
	starts []*launch
	plan   slate.Plan
}

// sortOut takes the starts that need a clean slate out of the list.
func (l *loop) sortOut(starts []*launch) (now []*launch, t *tidy) {
	t = &tidy{}
	for _, s := range starts {
		f, again := l.former[s.a.Worker]
		if s.err != nil || !again || !l.needs(t, s.w.cfg, f) {
			now = append(now, s)
			continue
		}
		t.starts = append(t.starts, s)
		t.plan.Dead = append(t.plan.Dead, slate.Process{PID: f.proc.PID, Ticks: f.proc.StartTicks})
	}
	return now, t
}

// needs adds to the plan what a worker asks for, if there is anything.
func (l *loop) needs(t *tidy, cfg *config.Worker, f former) bool {
	before := t.plan
	if port := localPort(cfg.Ready.TCP); cfg.Clean.Port && port != 0 {
		t.plan.Ports = append(t.plan.Ports, slate.Port{Number: port})
	}
	if cfg.Clean.SharedMemory {
		if t.plan.Shm.Dir == "" || f.start.Before(t.plan.Shm.Since) {
			t.plan.Shm = slate.Shm{Dir: "/dev/shm", UID: f.uid, Since: f.start, Remove: true}
		}
	}
	if g := cfg.Clean.GPU; g == "true" || g == "auto" && hasGPUs() {
		t.plan.Exec = l.command
	}
	return len(t.plan.Ports) > len(before.Ports) || cfg.Clean.SharedMemory || t.plan.Exec != nil
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
	for _, s := range t.starts {
		l.hung[s.a.Worker] = s.a.Gen
	}
	t.plan.Patience = tidyPatience
	l.inquest.jobs.Go(func() {
		ctx, cancel := context.WithTimeout(l.inquest.ctx, tidyTime)
		defer cancel()
		r := slate.Clean(ctx, t.plan)
		for _, s := range t.starts {
			s.fork(l.kernel)
			l.g.in.call(func(l *loop) { l.late(s) })
		}
		l.g.in.call(func(l *loop) { l.tidied(t.starts[0].w.cfg.Group, r) })
	})
}

func (l *loop) tidied(group string, r slate.Report) {
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
