package probe

import (
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v3/process"
)

// BenchmarkThousandSleepers is a regular pass over 1,000 sleeping processes. With
// one pass a second, %core is the share of a core that sampling takes.
func BenchmarkThousandSleepers(b *testing.B) {
	const workers = 1000
	p, _ := testProber(b, Options{ZombieDetection: true, CPUThreshold: 0.1, MemoryThreshold: 0.1}, newKernelProcfs(), newNetwork())
	for i := range workers {
		p.Watch(Subject{Worker: numbered(i), Gen: 1, PID: sleeper(b), HeartbeatTimeout: 10 * time.Second})
	}
	b.Cleanup(func() { dropAll(p) })
	p.pass(round{all: true, sample: true, now: time.Now()})
	if got := samples(p); got != workers {
		b.Fatalf("%d of %d workers sampled", got, workers)
	}
	b.ReportAllocs()
	before := cpuTime(b)
	for b.Loop() {
		p.pass(round{all: true, sample: true, now: time.Now()})
	}
	perPass := (cpuTime(b) - before).Seconds() / float64(b.N)
	b.ReportMetric(perPass*100, "%core")
	b.ReportMetric(perPass/workers*1e6, "us/sample")
}

// BenchmarkGopsutil is what the same would cost with the library.
func BenchmarkGopsutil(b *testing.B) {
	proc := &process.Process{Pid: int32(sleeper(b))}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := proc.Times(); err != nil {
			b.Fatal(err)
		}
		if _, err := proc.MemoryInfo(); err != nil {
			b.Fatal(err)
		}
		if _, err := proc.Status(); err != nil {
			b.Fatal(err)
		}
	}
}

func cpuTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// sleeper starts a process that does nothing, and ends it with the test.
func sleeper(tb testing.TB) int {
	tb.Helper()
	return spawn(tb, "sleep", "1000")
}

func spawn(tb testing.TB, argv ...string) int {
	tb.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}
