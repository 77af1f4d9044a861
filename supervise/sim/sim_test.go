package sim

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// total adds up what many worlds have seen.
type total struct {
	sync.Mutex
	Result
	worlds int
}

func (t *total) add(r *Result) {
	t.Lock()
	defer t.Unlock()
	t.worlds++
	t.Workers += r.Workers
	t.Steps += r.Steps
	t.Beats += r.Beats
	t.Spawns += r.Spawns
	t.Deaths += r.Deaths
	t.Chains += r.Chains
	t.Crashes += r.Crashes
	t.Exits += r.Exits
	t.Commands += r.Commands
	t.Simulated += r.Simulated
}

func (t *total) String() string {
	return fmt.Sprintf("%d worlds, %d workers: %d steps (%d heartbeats), %d spawns, %d deaths, %d chains, %d crashes of ProcGuard, %d ends, %d commands, %v simulated",
		t.worlds, t.Workers, t.Steps, t.Beats, t.Spawns, t.Deaths, t.Chains, t.Crashes, t.Exits, t.Commands, t.Simulated.Round(time.Hour))
}

func number(t *testing.T, name string, otherwise int) int {
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		t.Fatalf("%s=%q is not a number", name, s)
	}
	return n
}

// processorTime is what this process has used up: on a shared machine it says
// more than the clock does.
func processorTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestSeeds plays worlds: SEEDS of them, or only SEED with everything that happens in it.
func TestSeeds(t *testing.T) {
	if os.Getenv("SEED") != "" {
		r := Run(uint64(number(t, "SEED", 0)), Options{Trace: os.Stdout})
		fmt.Printf("%+v\n", r)
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		return
	}
	seeds := number(t, "SEEDS", seedsByDefault)
	var sum total
	var next, broken atomic.Int64
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // worlds make much garbage and keep little
	start, spent := time.Now(), processorTime(t)
	t.Run("worlds", func(t *testing.T) {
		for shard := range 2 {
			t.Run(strconv.Itoa(shard), func(t *testing.T) {
				t.Parallel()
				for seed := next.Add(1) - 1; seed < int64(seeds); seed = next.Add(1) - 1 {
					r := Run(uint64(seed), Options{})
					sum.add(&r)
					if r.Err != nil && broken.Add(1) <= 20 { // more would only bury the first ones
						t.Errorf("seed %d: %v\n\treplay: make sim SEED=%d", seed, r.Err, seed)
					}
				}
			})
		}
	})
	took, busy := time.Since(start), processorTime(t)-spent
	if seeds >= 20 && (sum.Chains == 0 || sum.Crashes == 0 || sum.Exits == 0 || sum.Commands == 0 || sum.Steps < 10*seeds) {
		t.Errorf("too little happened in %v", &sum)
	}
	t.Logf("%v, %d broken", &sum, broken.Load())
	t.Logf("%.0f steps per second in %v, %.0f per second of processor time",
		float64(sum.Steps)/took.Seconds(), took.Round(time.Millisecond), float64(sum.Steps)/busy.Seconds())
}
