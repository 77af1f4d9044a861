package reaper

import (
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/procguard/procguard/reaper/proc"
)

func benchReaper(b *testing.B, onExit func(Exit)) *Reaper {
	b.Helper()
	r, err := Start(Options{OnExit: onExit})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = r.Close() })
	return r
}

// What the kernel takes: fork, exec, exit, wait.
func BenchmarkBareForkExec(b *testing.B) {
	attr := &syscall.ProcAttr{Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true}}
	for b.Loop() {
		pid, err := syscall.ForkExec("/bin/true", []string{"true"}, attr)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = proc.Reap(pid, nil)
	}
}

func BenchmarkSpawnToExit(b *testing.B) {
	done := make(chan struct{}, 1)
	r := benchReaper(b, func(Exit) { done <- struct{}{} })
	for b.Loop() {
		if _, err := r.Spawn(Spec{Argv: []string{"/bin/true"}, Env: []string{}, Instance: "bench"}); err != nil {
			b.Fatal(err)
		}
		<-done
	}
}

func BenchmarkSpawnToExitByShim(b *testing.B) {
	done := make(chan struct{}, 1)
	r := benchReaper(b, func(Exit) { done <- struct{}{} })
	for b.Loop() {
		if _, err := r.Spawn(Spec{Argv: []string{"/bin/true"}, Env: []string{}, Umask: ptr(0o22)}); err != nil {
			b.Fatal(err)
		}
		<-done
	}
}

// 500 workers that die at once: from the first kill to the last exit reported.
func BenchmarkKill500(b *testing.B) {
	var exits atomic.Int32
	done := make(chan struct{}, 1)
	r := benchReaper(b, func(e Exit) {
		if exits.Add(1) == 500 {
			done <- struct{}{}
		}
	})
	b.ReportMetric(0, "ns/op")
	var spawn, kill time.Duration
	rounds := 0
	for b.Loop() {
		rounds++
		exits.Store(0)
		procs := make([]Proc, 500)
		at := time.Now()
		for i := range procs {
			procs[i], _ = r.Spawn(Spec{Argv: []string{"/bin/sleep", "1000"}, Env: []string{}})
		}
		spawn += time.Since(at)
		at = time.Now()
		for _, p := range procs {
			_ = r.Kill(p)
		}
		<-done
		kill += time.Since(at)
	}
	b.ReportMetric(float64(spawn.Microseconds())/1000/float64(rounds), "ms-spawn500")
	b.ReportMetric(float64(kill.Microseconds())/1000/float64(rounds), "ms-kill500")
}

// kill(2) to the callback. The process dies in between, which is most of it.
func BenchmarkDeathLatency(b *testing.B) {
	at := make(chan time.Time, 1)
	r := benchReaper(b, func(Exit) { at <- time.Now() })
	var ds []time.Duration
	for b.Loop() {
		p, err := r.Spawn(Spec{Argv: []string{"/bin/sleep", "1000"}, Env: []string{}})
		if err != nil {
			b.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond)
		begin := time.Now()
		_ = syscall.Kill(p.PID, syscall.SIGKILL)
		ds = append(ds, (<-at).Sub(begin))
	}
	slices.Sort(ds)
	b.ReportMetric(float64(ds[len(ds)/2].Microseconds()), "us-median")
	b.ReportMetric(float64(ds[len(ds)*99/100].Microseconds()), "us-p99")
}

// The same without us: a thread blocked in wait4.
func BenchmarkDeathLatencyBare(b *testing.B) {
	attr := &syscall.ProcAttr{Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true}}
	var ds []time.Duration
	for b.Loop() {
		pid, err := syscall.ForkExec("/bin/sleep", []string{"sleep", "1000"}, attr)
		if err != nil {
			b.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond)
		begin := time.Now()
		_ = syscall.Kill(pid, syscall.SIGKILL)
		_, _ = proc.Reap(pid, nil)
		ds = append(ds, time.Since(begin))
	}
	slices.Sort(ds)
	b.ReportMetric(float64(ds[len(ds)/2].Microseconds()), "us-median")
}
