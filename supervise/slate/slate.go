package slate

import (
	"context"
	"fmt"
	"time"
)

// Process is one of the dead.
type Process struct {
	PID   int
	Ticks uint64 // field 22 of /proc/PID/stat, in USER_HZ ticks since boot; 0: unknown
}

// Exec runs a helper command and returns its standard output.
type Exec func(ctx context.Context, argv []string) ([]byte, error)

// Plan says what to look at. Its zero value looks at nothing.
type Plan struct {
	Dead  []Process
	Ports []Port
	Shm   Shm
	Exec  Exec // runs nvidia-smi, if it is in PATH; nil: GPUs are not looked at

	// Patience is how long to wait for what the kernel and drivers release late: for the
	// processes, for each port, and for the GPUs.
	// Default DefaultPatience.
	Patience time.Duration
}

// DefaultPatience is ample for a driver that frees some 80 GiB.
const DefaultPatience = 10 * time.Second

// pause is between two looks at what is not clean yet.
const pause = 50 * time.Millisecond

// Report is what Clean found.
type Report struct {
	Cleaned []string // what was done, or waited for
	Unclean []string // what is not clean
	Ports   []int    // for each of Plan.Ports the one to use
}

func (r *Report) cleaned(format string, a ...any) {
	r.Cleaned = append(r.Cleaned, fmt.Sprintf(format, a...))
}

func (r *Report) unclean(format string, a ...any) {
	r.Unclean = append(r.Unclean, fmt.Sprintf(format, a...))
}

// Clean looks, waits and cleans. Processes come first: the rest is theirs to hold.
func Clean(ctx context.Context, p Plan) Report {
	if p.Patience <= 0 {
		p.Patience = DefaultPatience
	}
	patiently := func(f func(context.Context)) {
		ctx, cancel := context.WithTimeout(ctx, p.Patience)
		defer cancel()
		f(ctx)
	}
	var r Report
	patiently(func(ctx context.Context) { cleanDead(ctx, p.Dead, &r) })
	for _, port := range p.Ports {
		patiently(func(ctx context.Context) { r.Ports = append(r.Ports, cleanPort(ctx, port, &r)) })
	}
	patiently(func(ctx context.Context) { cleanGPU(ctx, p, &r) })
	cleanShm(p, &r)
	return r
}

// until asks again and again, first at once; it is false if ctx ended first.
func until(ctx context.Context, ok func() bool) bool {
	for {
		if ok() {
			return true
		}
		wait := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			wait.Stop()
			return false
		case <-wait.C:
		}
	}
}
