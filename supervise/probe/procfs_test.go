package probe

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v3/process"
	"golang.org/x/sys/unix"
)

// TestReadingAgreesWithGopsutil about a process that has used some CPU.
func TestReadingAgreesWithGopsutil(t *testing.T) {
	pid := spawn(t, "sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; kill -STOP $$")
	var r reading
	k := newKernelProcfs()
	fd, err := k.open(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer k.close(fd)
	within(t, "stopped", func() bool { return k.read(fd, &r) == nil && r.state == 'T' })
	other := &process.Process{Pid: int32(pid)}
	times, err := other.Times()
	if err != nil {
		t.Fatal(err)
	}
	mem, err := other.MemoryInfo()
	if err != nil {
		t.Fatal(err)
	}
	n, err := other.NumThreads()
	if err != nil {
		t.Fatal(err)
	}
	if d := math.Abs(times.User + times.System - float64(r.ticks)/ticksPerSecond); d > 0.011 || r.ticks == 0 {
		t.Errorf("CPU %d ticks, gopsutil %v s", r.ticks, times.User+times.System)
	}
	// The two files count resident pages with different precision.
	if d := math.Abs(float64(mem.RSS) - float64(r.pages*pageSize)); d > 512<<10 || r.pages == 0 || int(n) != r.threads {
		t.Errorf("%+v, gopsutil %v bytes, %d threads", r, mem.RSS, n)
	}
}

// TestReapedProcess: the descriptor never shows another process.
func TestReapedProcess(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	k := newKernelProcfs()
	fd, err := k.open(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer k.close(fd)
	_ = cmd.Process.Kill()
	var r reading
	within(t, "zombie", func() bool { return k.read(fd, &r) == nil && r.state == 'Z' && r.threads == 1 })
	_ = cmd.Wait()
	if err := k.read(fd, &r); !errors.Is(err, unix.ESRCH) {
		t.Errorf("after it was reaped: %v", err)
	}
	if _, err := k.open(cmd.Process.Pid); err == nil {
		t.Log("the pid was reused at once")
	}
}

func TestEvidence(t *testing.T) {
	k := newKernelProcfs()
	if k.memory() < 1<<20 {
		t.Errorf("memory of the machine: %d bytes", k.memory())
	}
	alone := k.evidence(sleeper(t))
	if alone.busy || alone.rss == 0 || alone.files < 3 || alone.status == "" {
		t.Errorf("a sleeper: %+v", alone)
	}
	if e := k.evidence(1 << 22); e != (evidence{files: -1}) {
		t.Errorf("nobody: %+v", e)
	}
	if _, err := os.Stat("/proc/thread-self/children"); err != nil {
		t.Skip("needs a kernel with CONFIG_PROC_CHILDREN")
	}
	parent := spawn(t, "sh", "-c", "sleep 1000 & wait")
	within(t, "its child", func() bool { _, kids := threads(parent); return len(kids) == 1 })
	if own, _ := threads(parent); k.evidence(parent).rss <= own {
		t.Error("the child's memory is not counted")
	}
	within(t, "it sleeps", func() bool { return !k.evidence(parent).busy }) // it has to exec first
	killChildren(t, parent)
	parent = spawn(t, "sh", "-c", "sh -c 'while :; do :; done' & wait")
	within(t, "its busy child", func() bool { return k.evidence(parent).busy })
	killChildren(t, parent)
}

// killChildren ends what a shell has started: it would outlive the shell.
func killChildren(t *testing.T, parent int) {
	t.Helper()
	list, err := process.Processes()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		if ppid, err := p.Ppid(); err == nil && int(ppid) == parent {
			_ = syscall.Kill(int(p.Pid), syscall.SIGKILL)
		}
	}
}

// deadMain ends its main thread and lives on in another one.
const deadMain = `
import ctypes, threading, time
threading.Thread(target=lambda: time.sleep(1000)).start()
ctypes.CDLL(None).syscall(60, 0)
`

// TestMainThreadGone: the process shows state Z and no memory, and lives.
func TestMainThreadGone(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil || runtime.GOARCH != "amd64" {
		t.Skip("needs python3, and amd64 for the number of a system call")
	}
	pid := spawn(t, "python3", "-c", deadMain)
	k := newKernelProcfs()
	var r reading
	fd, err := k.open(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer k.close(fd)
	within(t, "main thread gone", func() bool { return k.read(fd, &r) == nil && r.state == 'Z' && r.threads == 2 })
	if e := k.evidence(pid); r.pages != 0 || e.rss < 1<<20 {
		t.Errorf("sample %d pages, evidence %+v", r.pages, e)
	}
}

// TestRealZombies: one real process of each kind that is alive and does nothing.
func TestRealZombies(t *testing.T) {
	p, h := realProber(t, Options{Interval: 100 * time.Millisecond, ZombieDetection: true, CPUThreshold: 5, MemoryThreshold: 90})
	stopped, busy := sleeper(t), spawn(t, "sh", "-c", "while :; do :; done")
	if err := syscall.Kill(stopped, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for worker, pid := range map[string]int{"idle": sleeper(t), "stopped": stopped, "busy": busy} {
		p.Watch(Subject{Worker: worker, Gen: 1, PID: pid, HeartbeatTimeout: time.Second})
		p.Beat(worker, 1)
	}
	within(t, "judged", func() bool { return len(h.all()) >= 2 })
	time.Sleep(time.Second)
	if len(h.all()) != 2 || !h.when("judged busy/1").IsZero() {
		t.Errorf("calls %v", h.all())
	}
	c := h.causeOf("stopped")
	t.Logf("stopped: %s", c.String())
	c = h.causeOf("idle")
	t.Logf("idle: %s", c.String())
}
