package supervise

import (
	"bytes"
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

	"github.com/procguard/procguard/state/journal/incident"
	"github.com/procguard/procguard/supervise/cause"
	"github.com/procguard/procguard/supervise/cause/staged"
	"github.com/procguard/procguard/supervise/config"
	"github.com/procguard/procguard/supervise/fleet"
)

// TestStagedWorkers runs every staged death as a worker, and reads in the incident what
// is said to have ended it. One after the other: a process has one reaper.
func TestStagedWorkers(t *testing.T) {
	py := realPython()
	for _, c := range staged.All() {
		if c.Needed(staged.Container) {
			continue // init/e2e has a real one to fill
		}
		t.Run(c.Name, func(t *testing.T) {
			p := &play{t: t, c: c, dir: t.TempDir(), python: py}
			p.need()
			p.judge(p.run())
		})
	}
}

// realPython is the interpreter itself: what is in the PATH may be a script that looks
// for it.
func realPython() string {
	out, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// play is one staged case on its way through a Guard.
type play struct {
	t      *testing.T
	c      staged.Case
	r      *rig
	dir    string
	python string
	group  string // the cgroup that was made for it
}

func (p *play) need() {
	skip := func(n staged.Need, when bool, why string) {
		if p.c.Needed(n) && when {
			p.t.Skipf("SKIPPED: needs %s: %s", n, why)
		}
	}
	pattern, _ := os.ReadFile("/proc/sys/kernel/core_pattern")
	elf, _ := os.ReadFile("/bin/true")
	skip(staged.Python, p.python == "", "not in the PATH")
	skip(staged.Root, os.Getuid() != 0, "this is not root")
	skip(staged.Mount, p.c.Needed(staged.Mount) && !canMount(p.t), "not permitted")
	skip(staged.AMD64, runtime.GOARCH != "amd64", "this is "+runtime.GOARCH)
	skip(staged.Core, len(pattern) == 0 || pattern[0] == '|', "core_pattern is "+string(pattern))
	skip(staged.Linked, !bytes.Contains(elf, []byte("libc.so.6")), "/bin/true is linked otherwise")
	for n, controller := range map[staged.Need]string{staged.Memory: "memory", staged.Pids: "pids"} {
		if p.c.Needed(n) {
			p.group = limited(p.t, controller, p.c.Name, p.c.Limit)
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

// limited makes a cgroup with a limit of its own below ours, of either version.
func limited(t *testing.T, controller, name string, limit int64) string {
	t.Helper()
	file, root := map[string]string{"memory": "memory.max", "pids": "pids.max"}[controller], "/sys/fs/cgroup"
	if _, err := os.Stat(root + "/cgroup.controllers"); err != nil { // version 1
		root = filepath.Join(root, controller)
		if controller == "memory" {
			file = "memory.limit_in_bytes"
		}
	}
	dir := filepath.Join(root, ownGroup(controller), fmt.Sprintf("procguard-guard-%d-%s", os.Getpid(), name))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("SKIPPED: needs a %s cgroup: %v", controller, err)
	}
	t.Cleanup(func() {
		for range 500 {
			if err := os.Remove(dir); err == nil || os.IsNotExist(err) {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("%s cannot be removed", dir)
	})
	if err := os.WriteFile(filepath.Join(dir, file), []byte(fmt.Sprint(limit)), 0o644); err != nil {
		t.Skipf("SKIPPED: needs the %s controller: %v", controller, err)
	}
	_ = os.WriteFile(filepath.Join(dir, "memory.memsw.limit_in_bytes"), []byte(fmt.Sprint(limit)), 0o644)
	_ = os.WriteFile(filepath.Join(dir, "memory.swap.max"), []byte("0"), 0o644)
	return dir
}

// ownGroup is where this process is in a controller's hierarchy.
func ownGroup(controller string) string {
	data, _ := os.ReadFile("/proc/self/cgroup")
	unified := ""
	for line := range strings.Lines(string(data)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(f) != 3:
		case slices.Contains(strings.Split(f[1], ","), controller):
			return f[2]
		case f[1] == "":
			unified = f[2]
		}
	}
	return unified
}

// Those that hang fall silent after the heartbeat that the test gives for them once they
// are ready.
const silence = time.Second

// run plays the case, and reads the incident when all is over.
func (p *play) run() *incident.Incident {
	cfg := p.settings()
	p.r = start(p.t, cfg, Options{})
	if p.group != "" {
		p.enter()
	}
	p.act()
	if _, err := p.r.wait(); err != nil {
		p.t.Fatal(err)
	}
	if p.c.Name == "disk-full" {
		_ = unix.Unmount(filepath.Join(p.dir, "small"), unix.MNT_DETACH)
	}
	inc, err := incident.Load(cfg.State.Dir, 1)
	if early := p.c.Class == cause.ExitEarly; early != (err != nil) {
		p.t.Fatalf("the incident: %v", err)
	}
	return inc
}

// settings has the case as a worker that is not tried again. Where it is to be ended by us
// it has a peer, whose death is the reason.
func (p *play) settings() *config.Config {
	argv, err := p.c.Write(p.dir)
	must(p.t, err)
	if p.group != "" { // it waits until it is in its cgroup
		argv = append([]string{"/bin/sh", "-c", `while [ ! -e go ]; do sleep 0.01; done; exec "$@"`, "sh"}, argv...)
	}
	w := config.NewWorker(p.c.Name, argv...)
	w.WorkingDir, w.MaxRestarts, w.Stop.Grace = p.dir, 0, 5*time.Second
	w.Env = map[string]string{"PATH": filepath.Dir(p.python) + ":" + os.Getenv("PATH")}
	workers := []config.Worker{w}
	switch p.c.Act {
	case staged.Stop, staged.End:
		if p.c.Act == staged.End {
			workers[0].Stop.Grace = 200 * time.Millisecond
		}
		peer := sh("peer", sleeper)
		peer.MaxRestarts = 0
		workers = append(workers, peer)
	}
	cfg := settings(p.t, workers...)
	cfg.Monitoring.HeartbeatTimeout = silence
	cfg.Monitoring.Interval = 200 * time.Millisecond
	return cfg
}

// enter moves the worker into its cgroup before it begins, as its container's runtime
// would have done before us.
func (p *play) enter() {
	p.r.await("it runs", state1(p.c.Name, "running"))
	must(p.t, os.WriteFile(filepath.Join(p.group, "cgroup.procs"), []byte(fmt.Sprint(p.r.worker(p.c.Name).PID)), 0o644))
	var b *baseline
	must(p.t, p.r.do(p.r.ctx, func(l *loop) {
		w := l.live[p.c.Name]
		w.base.close()
		l.inquest.begin(w)
		b = w.base
	}))
	p.eventually("the counters were read", func() bool { return b.Load() != nil })
	must(p.t, os.WriteFile(filepath.Join(p.dir, "go"), nil, 0o644))
}

func (p *play) eventually(what string, cond func() bool) {
	p.t.Helper()
	for end := time.Now().Add(time.Minute); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("never: %s", what)
		}
	}
}

// act does to a program that is ready what the case says.
func (p *play) act() {
	if p.c.Act == staged.Nothing {
		return
	}
	p.eventually("it says that it is ready", func() bool { return strings.Contains(p.r.out.String(), "["+p.c.Name+"] ready") })
	pid := p.r.worker(p.c.Name).PID
	switch p.c.Act {
	case staged.Hang, staged.Freeze:
		must(p.t, p.r.Heartbeat(p.r.ctx, p.c.Name))
	case staged.Stop, staged.End:
		pid = p.r.worker("peer").PID
	}
	sent := map[staged.Act]syscall.Signal{staged.Kill: syscall.SIGKILL, staged.Term: syscall.SIGTERM, staged.Hup: syscall.SIGHUP,
		staged.Freeze: syscall.SIGSTOP, staged.Stop: syscall.SIGKILL, staged.End: syscall.SIGKILL}[p.c.Act]
	if sent != 0 {
		must(p.t, syscall.Kill(pid, sent))
	}
}

// judge compares what the incident says of the worker with what the case says.
func (p *play) judge(inc *incident.Incident) {
	t := p.t
	if inc == nil {
		return // exit 0 is the end of a worker's work, and no failure
	}
	i := slices.IndexFunc(inc.Workers, func(w incident.Worker) bool { return w.WorkerID == p.c.Name })
	if i < 0 {
		t.Fatalf("it is not in the incident: %+v", inc)
	}
	w := inc.Workers[i]
	t.Logf("%s (%s): %s\n  sender %q\n  signature %q, cause %s", w.Class, w.Confidence, w.Reason, w.SignalSender, w.Signature, w.Cause)
	if want := []string{string(p.c.Class), string(p.c.Dark)}; !slices.Contains(want, w.Class) || w.Class == "" {
		t.Errorf("class is %q, want %q", w.Class, want)
	}
	for _, word := range p.c.Words {
		if !strings.Contains(w.Reason, word) {
			t.Errorf("the reason does not hold %q: %s", word, w.Reason)
		}
	}
	if !strings.HasPrefix(w.SignalSender, p.c.Sender) || (p.c.Sender == "") != (w.SignalSender == "") {
		t.Errorf("sender is %q, want %q", w.SignalSender, p.c.Sender)
	}
	p.headline(inc, &w)
	if p.c.Needed(staged.Core) && (w.Core == nil || w.Core.SizeBytes == 0) {
		t.Errorf("core is %+v", w.Core)
	}
	if hang := p.c.Act == staged.Hang || p.c.Act == staged.Freeze; hang != (w.Hang != "") || hang && !slices.Contains(inc.Files, p.c.Name+"/wchan") {
		t.Errorf("hang %q, files %v", w.Hang, inc.Files)
	}
}

// headline: the incident as a whole says the same of its culprit, and who was stopped
// because of it.
func (p *play) headline(inc *incident.Incident, w *incident.Worker) {
	t := p.t
	if ours := p.c.Act == staged.Stop || p.c.Act == staged.End; ours {
		if inc.Culprit != "peer" || !slices.Contains(inc.Victims, p.c.Name) || inc.Class != string(cause.KilledOutside) || w.Collateral == "" {
			t.Errorf("culprit %s (%s), victims %v, collateral %q", inc.Culprit, inc.Class, inc.Victims, w.Collateral)
		}
		return
	}
	if inc.Culprit != p.c.Name || inc.Class != w.Class || inc.Reason != w.Reason || inc.Signature == "" || inc.Outcome != incident.GaveUp {
		t.Errorf("culprit %s, class %s, signature %q, outcome %s, reason %s", inc.Culprit, inc.Class, inc.Signature, inc.Outcome, inc.Reason)
	}
	if left := p.c.Children; left {
		p.gone(w.PID)
	}
}

// gone: nothing of a worker's process group is left.
func (p *play) gone(pid int) {
	if err := syscall.Kill(-pid, 0); err == nil {
		p.t.Errorf("something of process group %d is left", pid)
	}
}

// TestStopLeavesNoIncident: what an operator asks for is no failure.
func TestStopLeavesNoIncident(t *testing.T) {
	r := start(t, settings(t, sh("a", sleeper), sh("b", sleeper)), Options{})
	r.await("start", steady)
	must(t, r.StopWorker(r.ctx, "a", true))
	r.await("a is stopped", func(s fleet.Status) bool { return find(s, "a").PID == 0 && find(s, "a").Held })
	if _, err := incident.Load(r.dir, 1); err == nil {
		t.Error("there is an incident")
	}
}
