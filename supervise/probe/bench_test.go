package probe

import (
	"os/exec"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v3/process"
)

// BenchmarkThousandSleepers is a regular pass over 1,000 sleeping processes, and
// BenchmarkThousandTrees over as many shells with two children each. With an interval
// of one second, %core is the share of a core that sampling takes.
func BenchmarkThousandSleepers(b *testing.B) {
	benchmarkPass(b, 1, "sleep", "1000")
}

func BenchmarkThousandTrees(b *testing.B) {
	benchmarkPass(b, 3, "sh", "-c", "sleep 1000 & sleep 1000 & wait")
}

func benchmarkPass(b *testing.B, processes int, argv ...string) {
	const workers = 1000
	p, _ := testProber(b, Options{ZombieDetection: true, CPUThreshold: 0.1, MemoryThreshold: 0.1}, newKernelProcfs(), newNetwork())
	for i := range workers {
		p.Watch(Subject{Worker: numbered(i), Gen: 1, PID: group(b, argv...), HeartbeatTimeout: 10 * time.Second})
	}
	b.Cleanup(func() { dropAll(p) })
	pass := func() { p.pass(round{all: true, sample: true, now: time.Now()}) }
	within(b, "all processes", func() bool { pass(); return processesOf(p) == workers*processes })
	b.ReportAllocs()
	before := cpuTime(b)
	for b.Loop() {
		pass()
	}
	perPass := (cpuTime(b) - before).Seconds() / float64(b.N)
	b.ReportMetric(perPass*100, "%core")
	b.ReportMetric(perPass/workers*1e6, "us/worker")
	b.ReportMetric(perPass/float64(workers*processes)*1e6, "us/process")
}

func processesOf(p *Prober) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.watches {
		n += w.sample.Processes
	}
	return n
}

// group starts a process that leads a group, and ends the group with the test.
func group(tb testing.TB, argv ...string) int {
	tb.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
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

// BenchmarkPatterns is a line that says nothing, as most do.
func BenchmarkPatterns(b *testing.B) {
	re := regexp.MustCompile
	p := NewPatterns(PatternSpec{Ready: re(`listening on port [0-9]+`), Alive: re(`^iteration `), Fail: re(`NCCL WARN.*(timeout|error)`), Progress: re(`iteration +([0-9]+)/`)})
	line := []byte("2026-01-01 00:00:00 [rank 3] loss 2.3145 grad norm 0.311 lr 3.0e-4 tokens/s 18231.7")
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if f := p.Match(line, now); f.Any() {
			b.Fatal(f)
		}
	}
}
