package evidence

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/supervise/cause"
	"github.com/procguard/procguard/supervise/cause/staged"
)

// TestStagedDeaths runs every staged case as a real process and asks what ended
// it.
func TestStagedDeaths(t *testing.T) {
	meter := NewMeter("")
	log, err := OpenKernelLog("")
	if err != nil {
		t.Logf("the kernel's log cannot be read: %v", err)
	}
	defer log.Close()
	py := realPython()
	if py != "" {
		t.Setenv("PATH", filepath.Dir(py)+":"+os.Getenv("PATH"))
	}
	for _, c := range staged.All() {
		t.Run(c.Name, func(t *testing.T) {
			s := &stage{t: t, c: c, meter: meter, log: log, dir: t.TempDir()}
			s.need(py)
			d := s.run()
			v := s.judge(cause.Decide([]cause.Death{d}))
			if s.group == "" && c.Name != "cpu-limit" { // once more, elsewhere
				s.dir = t.TempDir()
				if w := cause.Classify(s.run()); w.Signature != v.Signature || w.Class != v.Class {
					t.Errorf("the second time it is %s, %q", w.Class, w.Signature)
				}
			}
		})
	}
}

// realPython is the interpreter itself: what is in the PATH may be a script that
// looks for it.
func realPython() string {
	out, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

type stage struct {
	t     *testing.T
	c     staged.Case
	meter *Meter
	log   *KernelLog
	dir   string
	group string // the cgroup that was made for it
}

func (s *stage) need(py string) {
	t := s.t
	skip := func(n staged.Need, when bool, why string) {
		if s.c.Needed(n) && when {
			t.Skipf("SKIPPED: needs %s: %s", n, why)
		}
	}
	pattern, _ := os.ReadFile("/proc/sys/kernel/core_pattern")
	elf, _ := os.ReadFile("/bin/true")
	skip(staged.Python, py == "", "not in the PATH")
	skip(staged.Root, os.Getuid() != 0, "this is not root")
	skip(staged.Mount, s.c.Needed(staged.Mount) && !canMount(t), "not permitted")
	skip(staged.AMD64, runtime.GOARCH != "amd64", "this is "+runtime.GOARCH)
	skip(staged.Core, len(pattern) == 0 || pattern[0] == '|', "core_pattern is "+string(pattern))
	skip(staged.Linked, !bytes.Contains(elf, []byte("libc.so.6")), "/bin/true is linked otherwise")
	if limit := s.meter.box.all().limit; s.c.Needed(staged.Container) && limit > 0 && limit <= 512<<20 {
		return // this is a container, small enough to fill it
	}
	for n, controller := range map[staged.Need]string{staged.Memory: "memory", staged.Container: "memory", staged.Pids: "pids"} {
		if s.c.Needed(n) {
			s.cgroup(controller)
		}
	}
}

func canMount(t *testing.T) bool {
	dir := t.TempDir()
	err := unix.Mount("none", dir, "tmpfs", 0, "size=64k")
	if err == nil {
		err = unix.Unmount(dir, unix.MNT_DETACH)
	}
	return err == nil
}

// cgroup makes one below our own, with the case's limit.
func (s *stage) cgroup(controller string) {
	t := s.t
	at := s.meter.place(readPaths("/proc/self/cgroup"))
	parent, v1 := at[controller]
	if !v1 {
		parent = at[""]
	}
	s.group = filepath.Join(parent, fmt.Sprintf("procguard-staged-%d-%s", os.Getpid(), s.c.Name))
	if err := os.Mkdir(s.group, 0o755); err != nil {
		t.Skipf("SKIPPED: needs a %s cgroup: %v", controller, err)
	}
	t.Cleanup(func() {
		for range 200 {
			if err := os.Remove(s.group); err == nil || os.IsNotExist(err) {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("%s cannot be removed", s.group)
	})
	files := map[string]string{"memory": "memory.max", "pids": "pids.max"}
	if v1 {
		files["memory"] = "memory.limit_in_bytes"
	}
	limit := fmt.Sprint(s.c.Limit)
	if err := os.WriteFile(filepath.Join(s.group, files[controller]), []byte(limit), 0o644); err != nil {
		t.Skipf("SKIPPED: needs the %s controller: %v", controller, err)
	}
	_ = os.WriteFile(filepath.Join(s.group, "memory.memsw.limit_in_bytes"), []byte(limit), 0o644)
	_ = os.WriteFile(filepath.Join(s.group, "memory.swap.max"), []byte("0"), 0o644)
	if s.c.Needed(staged.Container) {
		root, mounts := s.meter.root, s.meter.mounts
		s.meter = &Meter{root: root, mounts: mounts, workers: map[*Baseline]bool{}, box: place{"memory": s.group}}
		if !v1 {
			s.meter.box = place{"": s.group}
		}
		s.meter.Tick(time.Now())
	}
}

func (s *stage) run() cause.Death {
	t := s.t
	argv, err := s.c.Write(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(s.dir, "output.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if s.group != "" { // it waits until it is in its cgroup
		argv = append([]string{"/bin/sh", "-c", `read go; exec "$@" </dev/null`, "sh"}, argv...)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	gate, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	d := cause.Death{Worker: s.c.Name, Rank: -1, Started: time.Now(), Ready: true}
	if err := cmd.Start(); err != nil {
		d.ExecError, d.Time, d.Ready = err.Error(), time.Now(), false
		return d
	}
	defer s.clean(cmd)
	d.PID = cmd.Process.Pid
	if s.group != "" {
		if err := os.WriteFile(filepath.Join(s.group, "cgroup.procs"), []byte(fmt.Sprint(d.PID)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	base := s.meter.Start(d.PID)
	defer base.Close()
	if s.group != "" && !s.c.Needed(staged.Pids) && base.shared != s.c.Needed(staged.Container) {
		t.Errorf("the cgroup is %v, and shared is %v", base.own, base.shared)
	}
	fmt.Fprintln(gate, "go")
	gate.Close()
	seen := s.act(&d, out.Name())
	_ = cmd.Wait() // its error is the status, which is looked at below
	d.Time = time.Now()
	s.status(&d, cmd.ProcessState)
	text, _ := os.ReadFile(out.Name())
	d.Text = strings.Split(string(text), "\n")
	g := base.Growth(d.Time)
	Fill(&d, g, nil, s.log.Since(d.Started))
	d.Look = seen
	if d.Core {
		s.core(&d)
	}
	return d
}

func (s *stage) status(d *cause.Death, ps *os.ProcessState) {
	ws := ps.Sys().(syscall.WaitStatus)
	d.CPUTime = ps.UserTime() + ps.SystemTime()
	if d.Hang != "" {
		return
	}
	d.Code, d.Core = max(0, ws.ExitStatus()), ws.CoreDump()
	if ws.Signaled() {
		d.Signal = unix.SignalName(ws.Signal())
	}
}

func (s *stage) core(d *cause.Death) {
	core := New(Options{}).Core(Crash{PID: d.PID, Dir: s.dir, From: d.Started.Add(-time.Second)})
	if core.File == "" || core.SizeBytes == 0 {
		s.t.Errorf("the core is %+v", core)
	}
	s.t.Logf("core: %+v", *core)
}

// clean ends what is left. The test's processes are all in one group.
func (s *stage) clean(cmd *exec.Cmd) {
	err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if left := err == nil; left != s.c.Children && s.c.Children {
		s.t.Errorf("no children were left: %v", err)
	}
	if s.c.Name == "disk-full" {
		_ = unix.Unmount(filepath.Join(s.dir, "small"), unix.MNT_DETACH)
	}
}

// act does to a program that is ready what the case says.
func (s *stage) act(d *cause.Death, output string) *cause.Look {
	if s.c.Act == staged.Nothing {
		return nil
	}
	s.ready(output)
	sent := map[staged.Act]syscall.Signal{staged.Kill: syscall.SIGKILL, staged.Term: syscall.SIGTERM, staged.Hup: syscall.SIGHUP,
		staged.Freeze: syscall.SIGSTOP, staged.Stop: syscall.SIGTERM, staged.End: syscall.SIGKILL}[s.c.Act]
	if sent != 0 {
		_ = syscall.Kill(d.PID, sent)
	}
	switch s.c.Act {
	case staged.Stop, staged.End:
		d.Sent, d.SentAt = unix.SignalName(sent), time.Now()
	case staged.Freeze, staged.Hang:
		d.Hang = "no heartbeat for 62 s"
		defer func() { _ = syscall.Kill(d.PID, syscall.SIGKILL) }()
		return s.look(d.PID)
	}
	return nil
}

func (s *stage) ready(output string) {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if b, _ := os.ReadFile(output); bytes.Contains(b, []byte("ready")) {
			return
		}
	}
	s.t.Fatal("it is not ready")
}

// look looks until the program has come to where it hangs: it says that it is
// ready a little earlier.
func (s *stage) look(pid int) *cause.Look {
	c := New(Options{})
	var d cause.Death
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		r := c.Live(ctx, Subject{Worker: s.c.Name, PID: pid})
		cancel()
		if r.Process == nil {
			s.t.Fatalf("nothing was seen: %v", r.Missing)
		}
		Fill(&d, Growth{}, r.Process, nil)
		d.Hang = "hangs"
		if cause.Classify(d).Class == s.c.Class {
			break
		}
	}
	return d.Look
}

func (s *stage) judge(got cause.Decision) cause.Verdict {
	t, v := s.t, got.Verdicts[0]
	t.Logf("%s (%s): %s\n  sender %q\n  signature %q", v.Class, v.Confidence, v.Reason, v.Sender, v.Signature)
	want := []cause.Class{s.c.Class}
	if s.c.Dark != "" && s.log == nil {
		want = append(want, s.c.Dark)
	}
	if !slices.Contains(want, v.Class) {
		t.Errorf("class is %s, want %v", v.Class, want)
	}
	for _, w := range s.c.Words {
		if !strings.Contains(v.Reason, w) {
			t.Errorf("the reason does not hold %q: %s", w, v.Reason)
		}
	}
	if !strings.HasPrefix(v.Sender, s.c.Sender) || (s.c.Sender == "") != (v.Sender == "") {
		t.Errorf("sender is %q, want %q", v.Sender, s.c.Sender)
	}
	if v.Signature == "" || v.Signature != cause.Signature(v.Signature) || v.Reason == "" || strings.Contains(v.Signature, s.dir) {
		t.Errorf("signature %q, reason %q", v.Signature, v.Reason)
	}
	return v
}
