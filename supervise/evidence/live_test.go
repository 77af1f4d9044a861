package evidence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/procguard/procguard/state/journal/incident"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func (r *Result) file(name string) string {
	for _, f := range r.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// start runs a command in a group of its own until the test ends.
func start(t *testing.T, env []string, argv ...string) int {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

func TestLive(t *testing.T) {
	pid := start(t, []string{"RANK=3", "NCCL_DEBUG=INFO", "HF_TOKEN=very-secret-1", "NCCL_SECRET_KEY=very-secret-2", "PASSWORD=very-secret-3", "NCCL_NET=http://u:very-secret-4@h"},
		"/bin/sh", "-c", "exec 7</etc/passwd; sleep 300 & sleep 301; true", "sh", "--api-key", "very-secret-5", "--token=very-secret-6", "--lr", "0.1")
	live := func() Result {
		return New(Options{}).Live(within(t, 5*time.Second), Subject{Worker: "w", PID: pid})
	}
	r := live()
	for end := time.Now().Add(20 * time.Second); (r.Process == nil || r.Process.Processes != 3) && time.Now().Before(end); {
		r = live()
	}
	r = live() // once both children are there, all before them is
	p := r.Process
	if p == nil || p.State != "S" || p.Threads != 1 || p.Processes != 3 || p.FDs < 4 || p.RSSBytes == 0 || p.TimeMS == 0 || !strings.Contains(p.Command, "--lr 0.1") {
		t.Errorf("process %+v", p)
	}
	for name, want := range map[string]string{
		"status": "State:\tS", "threads": "sh", "wchan": fmt.Sprint(pid), "tree": "sleep", "fds": "7 -> /etc/passwd", "limits": "Max open files",
		"maps-summary": "[stack]", "command": "RANK=3", "cgroup": ":/",
	} {
		if !strings.Contains(r.file(name), want) {
			t.Errorf("%s lacks %q:\n%s", name, want, r.file(name))
		}
	}
	if !strings.HasPrefix(r.file("fds"), fmt.Sprintf("%d open, ", p.FDs)) {
		t.Errorf("fds: %s", r.file("fds"))
	}
	for _, f := range r.Files {
		if bytes.Contains(f.Data, []byte("very-secret")) {
			t.Errorf("%s holds a secret:\n%s", f.Name, f.Data)
		}
	}
	if strings.Contains(p.Command, "very-secret") {
		t.Errorf("the command holds a secret: %s", p.Command)
	}
	if os.Getuid() == 0 && r.file("stack") == "" && !slices.ContainsFunc(r.Missing, func(s string) bool { return strings.HasPrefix(s, "stack") }) {
		t.Errorf("no stack, and nobody says why: %v", r.Missing)
	}
}

// TestLiveOfTheDead finds nothing, says so, and does not fail.
func TestLiveOfTheDead(t *testing.T) {
	r := New(Options{}).Live(within(t, 5*time.Second), Subject{PID: 1 << 30})
	if len(r.Missing) < 4 {
		t.Errorf("missing: %v", r.Missing)
	}
}

// TestExtraProcesses are part of the tree though their parent is another.
func TestExtraProcesses(t *testing.T) {
	a, b := start(t, nil, "/bin/sleep", "300"), start(t, nil, "/bin/sleep", "301")
	got := New(Options{}).descendants(t.Context(), Subject{PID: a, Extra: []int{b, a}})
	if len(got) != 2 || got[0].pid != a || got[1].pid != b {
		t.Errorf("%+v", got)
	}
}

// TestReadsThatHang are left behind, few at a time, and the others are not
// delayed by them.
func TestReadsThatHang(t *testing.T) {
	c := New(Options{})
	hold := make(chan struct{})
	stuck := step{"maps-summary", func(context.Context) part {
		<-hold
		return part{}
	}}
	quick := step{"status", func(context.Context) part {
		return part{files: []File{{"status", []byte("x")}}, process: func(p *incident.Process) { p.FDs = 5 }}
	}}
	for range maxReads + 3 {
		var r Result
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
		c.gather(ctx, &r, []step{stuck})
		cancel()
		if len(r.Missing) != 1 || !strings.HasPrefix(r.Missing[0], "maps-summary: ") {
			t.Fatalf("missing: %v", r.Missing)
		}
	}
	if len(c.slots) != maxReads {
		t.Errorf("%d reads are under way, want %d", len(c.slots), maxReads)
	}
	var r Result
	c.gather(within(t, time.Second), &r, []step{quick})
	if !slices.Equal(r.Missing, []string{"status: skipped: too many earlier reads hang"}) {
		t.Errorf("missing: %v", r.Missing)
	}
	close(hold)
	for end := time.Now().Add(10 * time.Second); len(c.slots) > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	c.gather(within(t, 10*time.Second), &r, []step{quick})
	if r.file("status") != "x" || r.Process.FDs != 5 {
		t.Errorf("after they came back: %+v", r)
	}
}

// TestStepsThatCanStop hand in what they have before the time is over.
func TestStepsThatCanStop(t *testing.T) {
	var r Result
	New(Options{}).gather(within(t, 200*time.Millisecond), &r, []step{{"fds", func(ctx context.Context) part {
		<-ctx.Done()
		return part{files: []File{{"fds", []byte("half")}}}
	}}})
	if r.file("fds") != "half" || len(r.Missing) != 0 {
		t.Errorf("%+v", r)
	}
}

func TestFilesAreBounded(t *testing.T) {
	var r Result
	r.add("big", bytes.Repeat([]byte("x"), maxFile+1))
	r.add("empty", nil)
	if len(r.Files) != 1 || len(r.Files[0].Data) > maxFile+20 || !strings.HasSuffix(r.file("big"), "cut\n") {
		t.Errorf("%d files, %d bytes", len(r.Files), len(r.Files[0].Data))
	}
}

func TestDump(t *testing.T) {
	var got []string
	c := New(Options{Root: t.TempDir(), Exec: func(_ context.Context, argv []string) ([]byte, []byte, error) {
		got = argv
		return []byte("Thread 1: train"), []byte("warning"), errors.New("exit code 1")
	}})
	r := c.Live(within(t, 5*time.Second), Subject{Worker: "w0", Incident: "incidents/000007", PID: 42, Dump: []string{"py-spy", "dump", "--pid", "{pid}", "-o", "{incident}/{worker}.svg"}})
	if !slices.Equal(got, []string{"py-spy", "dump", "--pid", "42", "-o", "incidents/000007/w0.svg"}) {
		t.Errorf("argv %q", got)
	}
	if d := r.file("dump"); !strings.Contains(d, "$ py-spy dump --pid 42") || !strings.Contains(d, "Thread 1") || !strings.Contains(d, "warning") || !strings.Contains(d, "exit code 1") {
		t.Errorf("dump: %s", d)
	}
	if !slices.Contains(r.Missing, "dump: exit code 1") {
		t.Errorf("missing: %v", r.Missing)
	}
	r = Result{}
	New(Options{}).hooks(within(t, time.Second), &r, Subject{Dump: []string{"x"}})
	if !slices.Contains(r.Missing, "dump: no way to run commands") {
		t.Errorf("missing: %v", r.Missing)
	}
}

func TestDumpSignal(t *testing.T) {
	var bytes atomic.Uint64
	bytes.Store(100)
	var r Result
	answers := Subject{Output: bytes.Load, Signal: func() error { bytes.Add(50); return nil }}
	signal(within(t, 10*time.Second), &r, answers)
	if len(r.Missing) != 0 {
		t.Errorf("it answered: %v", r.Missing)
	}
	signal(within(t, 30*time.Millisecond), &r, Subject{Output: bytes.Load, Signal: func() error { return nil }})
	signal(within(t, time.Second), &r, Subject{Signal: func() error { return os.ErrProcessDone }})
	r.Process = &incident.Process{State: "T"}
	signal(within(t, time.Second), &r, Subject{Signal: func() error { t.Error("sent to a stopped process"); return nil }})
	if len(r.Missing) != 3 || !strings.Contains(r.Missing[0], "printed nothing") || !strings.Contains(r.Missing[1], "finished") || !strings.Contains(r.Missing[2], "state T") {
		t.Errorf("missing: %q", r.Missing)
	}
}

func TestGPU(t *testing.T) {
	w := newWorld(t, map[string]string{"usr/bin/nvidia-smi": "#!", "proc/10/stat": "10 (python3) S 1" + strings.Repeat(" 0", 40), "proc/11/stat": "11 (loader) S 10" + strings.Repeat(" 0", 40)})
	out := "11, 512\n10, 20480 MiB\n99, 5\nNo running processes found\n"
	c := New(Options{Root: w.root, Exec: func(_ context.Context, argv []string) ([]byte, []byte, error) {
		if !strings.HasSuffix(argv[0], "/usr/bin/nvidia-smi") || len(argv) != 3 {
			return nil, nil, fmt.Errorf("argv %q", argv)
		}
		return []byte(out), nil, nil
	}})
	r := c.Live(within(t, 5*time.Second), Subject{PID: 10})
	if !slices.Equal(r.GPU, []incident.GPU{{PID: 11, UsedMiB: 512}, {PID: 10, UsedMiB: 20480}}) || r.file("gpu") != out {
		t.Errorf("%+v", r)
	}
	out = "99, 5\n"
	if r = c.Live(within(t, 5*time.Second), Subject{PID: 10}); !slices.ContainsFunc(r.Missing, func(s string) bool { return strings.HasPrefix(s, "gpu: the driver knows none") }) {
		t.Errorf("%+v", r.Missing)
	}
}

// BenchmarkLive is what one look costs beside the tenth of a second of watching.
func BenchmarkLive(b *testing.B) {
	c := New(Options{})
	for b.Loop() {
		c.Live(context.Background(), Subject{PID: os.Getpid()})
	}
}
