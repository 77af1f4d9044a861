package evidence

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/procguard/procguard/state/journal/incident"
)

// hooks let the program, or a tool that looks into it, say where it is.
func (c *Collector) hooks(ctx context.Context, r *Result, s Subject) {
	if len(s.Dump) > 0 {
		c.dump(ctx, r, s)
	}
	if s.Signal != nil {
		signal(ctx, r, s)
	}
}

func (c *Collector) dump(ctx context.Context, r *Result, s Subject) {
	switch {
	case c.exec == nil:
		r.miss("dump", "no way to run commands")
		return
	case ctx.Err() != nil:
		r.miss("dump", "no time was left")
		return
	}
	argv := substitute(s)
	out, errs, err := c.exec(ctx, argv)
	var b bytes.Buffer
	fmt.Fprintf(&b, "$ %s\n%s", strings.Join(mask(argv), " "), out)
	if len(errs) > 0 {
		fmt.Fprintf(&b, "\nstderr:\n%s", errs)
	}
	if err != nil {
		fmt.Fprintf(&b, "\n%s\n", err)
		r.miss("dump", err.Error())
	}
	r.add("dump", b.Bytes())
}

func substitute(s Subject) []string {
	with := strings.NewReplacer("{pid}", strconv.Itoa(s.PID), "{worker}", s.Worker, "{incident}", s.Incident)
	out := make([]string, len(s.Dump))
	for i, a := range s.Dump {
		out[i] = with.Replace(a)
	}
	return out
}

// How long a program may take to begin printing its stack, and how long its
// output must rest to be taken for complete.
const (
	signalWait = 2 * time.Second
	quiet      = 100 * time.Millisecond
	pollEvery  = 10 * time.Millisecond
)

// signal sends the signal and waits for the output, which goes where all output
// of the worker goes.
func signal(ctx context.Context, r *Result, s Subject) {
	if p := r.Process; p != nil && (p.State == "T" || p.State == "t" || p.State == "D") {
		r.miss("dump_signal", "not sent: in state "+p.State+" it cannot answer")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, signalWait)
	defer cancel()
	var from uint64
	if s.Output != nil {
		from = s.Output()
	}
	if err := s.Signal(); err != nil {
		r.miss("dump_signal", err.Error())
		return
	}
	if s.Output != nil && !answered(ctx, s.Output, from) {
		r.miss("dump_signal", "it printed nothing")
	}
}

// answered waits until output has begun and then rested.
func answered(ctx context.Context, output func() uint64, from uint64) bool {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	last, since := from, time.Now()
	for {
		select {
		case <-ctx.Done():
			return last != from
		case <-tick.C:
		}
		if now := output(); now != last {
			last, since = now, time.Now()
		}
		if last != from && time.Since(since) >= quiet {
			return true
		}
	}
}

// smi is the path of nvidia-smi, "" where there is none.
func (c *Collector) smi() string {
	for _, dir := range []string{"/usr/bin/", "/usr/local/bin/", "/usr/local/nvidia/bin/", "/opt/bin/"} {
		if b, err := readFile(c.root+dir+"nvidia-smi", 1); err == nil && len(b) == 1 {
			return c.root + dir + "nvidia-smi"
		}
	}
	return ""
}

// gpu asks what the worker's processes hold. In a pid namespace the driver may
// name other pids, or none; then it says so.
func (c *Collector) gpu(ctx context.Context, s Subject) (p part) {
	out, _, err := c.exec(ctx, []string{c.smi(), "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"})
	if err != nil {
		p.missing = append(p.missing, "gpu: "+err.Error())
		return p
	}
	all := parseGPU(out)
	mine := map[int]bool{}
	for _, t := range c.descendants(ctx, s) {
		mine[t.pid] = true
	}
	for _, g := range all {
		if mine[g.PID] {
			p.gpu = append(p.gpu, g)
		}
	}
	if len(all) > 0 {
		p.file("gpu", out)
	}
	if len(all) > 0 && len(p.gpu) == 0 {
		p.missing = append(p.missing, "gpu: the driver knows none of the worker's pids (a pid namespace hides them)")
	}
	return p
}

// parseGPU reads "1234, 512" or "1234, 512 MiB".
func parseGPU(out []byte) (list []incident.GPU) {
	for line := range strings.Lines(string(out)) {
		left, right, _ := strings.Cut(line, ",")
		pid, err := strconv.Atoi(strings.TrimSpace(left))
		if err != nil {
			continue
		}
		g := incident.GPU{PID: pid}
		if f := strings.Fields(right); len(f) > 0 {
			g.UsedMiB, _ = strconv.ParseInt(f[0], 10, 64) // "[N/A]" counts as 0
		}
		list = append(list, g)
	}
	return list
}
