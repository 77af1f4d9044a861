package evidence

import (
	"context"
	"slices"
	"time"

	"github.com/procguard/procguard/state/journal/incident"
)

// File is one file for the incident's folder; Name has no folder.
type File struct {
	Name string
	Data []byte
}

// Result is what was found.
type Result struct {
	Files   []File
	Process *incident.Process
	GPU     []incident.GPU
	Missing []string // what could not be had, and why
}

func (r *Result) add(name string, data []byte) {
	if len(data) > maxFile {
		data = append(slices.Clip(data[:maxFile]), "\n... cut\n"...)
	}
	if len(data) > 0 {
		r.Files = append(r.Files, File{name, data})
	}
}

func (r *Result) miss(what, why string) {
	r.Missing = append(r.Missing, what+": "+why)
}

// Bounds of what is collected of one worker.
const (
	maxFile      = 128 << 10
	maxThreads   = 128
	maxProcesses = 128
	maxFDs       = 1024
	maxMappings  = 40
)

// Exec runs a command to its end or the context's and returns the beginning of
// what it printed. Nothing of the command is left when it returns.
type Exec func(ctx context.Context, argv []string) (stdout, stderr []byte, err error)

// Options set up a Collector.
type Options struct {
	Root string // "" for /; tests put a tree of their own there
	Exec Exec   // nil: no commands, neither dump hooks nor nvidia-smi
}

// Collector collects. Its methods may be called from several goroutines.
type Collector struct {
	root  string
	exec  Exec
	slots chan struct{} // one for each read that is under way
}

// maxReads bounds the goroutines, and with them the threads, that reads which do
// not come back can hold.
const maxReads = 32

// New makes a Collector.
func New(o Options) *Collector {
	return &Collector{root: o.Root, exec: o.Exec, slots: make(chan struct{}, maxReads)}
}

// Subject is a living worker.
type Subject struct {
	Worker   string
	Incident string // the directory that {incident} stands for
	PID      int
	Extra    []int // processes of it that are not its descendants any more
	// Dump is a command that prints what the worker is doing; {pid}, {worker} and
	// {incident} are replaced in each argument.
	Dump []string
	// Signal asks the program to print its stack, nil if that is not wanted; Output
	// is how many bytes the worker has printed so far.
	Signal func() error
	Output func() uint64
}

// Live looks at a living worker, then runs the hooks. Reading takes a tenth of a
// second, for the CPU of each thread; the hooks what is left of ctx.
func (c *Collector) Live(ctx context.Context, s Subject) Result {
	var r Result
	read, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	c.gather(read, &r, c.steps(s))
	c.hooks(ctx, &r, s)
	return r
}

// readTime is ample for what does not hang.
const readTime = time.Second

// step reads one thing. It returns soon after its context ends, unless the kernel
// holds it; then its result is lost.
type step struct {
	name string
	read func(context.Context) part
}

// part is the result of a step, applied by the one who collects.
type part struct {
	files   []File
	missing []string
	process func(*incident.Process)
	gpu     []incident.GPU
}

func (p *part) file(name string, data []byte) {
	p.files = append(p.files, File{name, data})
}

// gather runs the steps side by side and takes what has come when ctx ends.
func (c *Collector) gather(ctx context.Context, r *Result, steps []step) {
	type answer struct {
		at   int
		part part
	}
	soft, cancel := softer(ctx)
	defer cancel()
	answers, waiting := make(chan answer, len(steps)), map[int]bool{}
	for i, s := range steps {
		select {
		case c.slots <- struct{}{}:
		default:
			r.miss(s.name, "skipped: too many earlier reads hang")
			continue
		}
		waiting[i] = true
		go func() {
			defer func() { <-c.slots }()
			answers <- answer{i, s.read(soft)}
		}()
	}
	for len(waiting) > 0 {
		select {
		case a := <-answers:
			delete(waiting, a.at)
			r.take(a.part)
		case <-ctx.Done():
			for i := range steps {
				if waiting[i] {
					r.miss(steps[i].name, "did not come in time")
				}
			}
			return
		}
	}
}

func (r *Result) take(p part) {
	for _, f := range p.files {
		r.add(f.Name, f.Data)
	}
	r.Missing = append(r.Missing, p.missing...)
	r.GPU = append(r.GPU, p.gpu...)
	if p.process != nil {
		if r.Process == nil {
			r.Process = &incident.Process{TimeMS: time.Now().UnixMilli()}
		}
		p.process(r.Process)
	}
}

// softer ends a little before ctx, so that steps which can stop hand in what they
// have.
func softer(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(end)*3/4)
}

func (c *Collector) steps(s Subject) []step {
	steps := []step{
		{"status", func(context.Context) part { return c.status(s.PID) }},
		{"threads", func(ctx context.Context) part { return c.threads(ctx, s.PID) }},
		{"tree", func(ctx context.Context) part { return c.tree(ctx, s) }},
		{"fds", func(ctx context.Context) part { return c.fds(ctx, s.PID) }},
		{"limits", func(context.Context) part { return c.plain(s.PID, "limits") }},
		{"cgroup", func(context.Context) part { return c.plain(s.PID, "cgroup") }},
		// These take the process's mmap_lock and may hang with it.
		{"command", func(context.Context) part { return c.command(s.PID) }},
		{"maps-summary", func(context.Context) part { return c.maps(s.PID) }},
	}
	if c.exec != nil && c.smi() != "" {
		steps = append(steps, step{"gpu", func(ctx context.Context) part { return c.gpu(ctx, s) }})
	}
	return steps
}
