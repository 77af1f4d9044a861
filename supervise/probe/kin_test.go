package probe

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/state"
)

// TestZombieIsTheWholeTree: the leader waits for its child all the time.
func TestZombieIsTheWholeTree(t *testing.T) {
	rows := map[string]struct {
		child  func(*fakeProcess)
		zombie bool
	}{
		"idle child":                 {func(*fakeProcess) {}, true},
		"busy child":                 {func(p *fakeProcess) { p.cpu = 0.5 }, false},
		"large child":                {func(p *fakeProcess) { p.pages = pages(1) }, false},
		"child that gets no CPU":     {func(p *fakeProcess) { p.state = 'R' }, false},
		"child held by a debugger":   {func(p *fakeProcess) { p.state = 't' }, false},
		"stranger that is busy":      {func(p *fakeProcess) { p.cpu, p.ppid = 1, 1 }, true},
		"orphan in the group, busy":  {func(p *fakeProcess) { p.cpu, p.ppid, p.group = 1, 1, 7 }, false},
		"child dead, not waited for": {func(p *fakeProcess) { p.state = 'Z' }, true},
	}
	for name, row := range rows {
		synctest.Test(t, func(t *testing.T) {
			proc := newFakeProcfs()
			proc.add(7, nil)
			proc.add(8, func(p *fakeProcess) { p.ppid = 7; row.child(p) })
			p, h := startProber(t, judging(), proc, network{})
			p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, HeartbeatTimeout: 10 * time.Second})
			p.Beat("w", 1)
			time.Sleep(time.Minute)
			if got := len(h.all()) == 1; got != row.zombie {
				t.Errorf("%s: zombie %v", name, got)
			}
		})
	}
}

// TestSampleOfATree: sums, and no fall of CPU when a child ends.
func TestSampleOfATree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proc := newFakeProcfs()
		proc.add(7, func(p *fakeProcess) { p.cpu = 0.1 })
		proc.add(8, func(p *fakeProcess) { p.cpu, p.ppid, p.pages, p.reading.threads = 0.4, 7, pages(10), 5 })
		p, _ := startProber(t, judging(), proc, network{})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7})
		time.Sleep(3500 * time.Millisecond)
		s, _ := p.Sample("w")
		if s.CPU < 48 || s.CPU > 52 || s.Threads != 6 || s.Processes != 2 || s.Memory < 9.9 || !s.Partial {
			t.Errorf("%+v", s)
		}
		proc.mu.Lock()
		delete(proc.procs, 8)
		proc.mu.Unlock()
		time.Sleep(time.Second)
		if s, _ := p.Sample("w"); s.CPU < 8 || s.CPU > 12 || s.Processes != 1 {
			t.Errorf("after the child's end: %+v", s)
		}
	})
}

// TestDegraded: what cannot be seen is said once, and samples of the leaders go on.
func TestDegraded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proc := newFakeProcfs()
		proc.list = unix.EACCES
		proc.add(7, nil)
		p, _ := startProber(t, judging(), proc, network{})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7})
		time.Sleep(time.Minute)
		if s, ok := p.Sample("w"); !ok || s.Processes != 1 {
			t.Errorf("%+v, %v", s, ok)
		}
		if d := p.Degraded(); len(d) != 1 || d[0] != "the children of workers cannot be seen: /proc cannot be listed: permission denied" {
			t.Errorf("%q", d)
		}
	})
}

// hiding is /proc with hidepid: it shows nothing of others.
type hiding struct{ *fakeProcfs }

func (hiding) open(int) (int, error) { return -1, unix.ENOENT }

func TestHiddenProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proc := hiding{newFakeProcfs()}
		proc.add(7, nil)
		p, h := startProber(t, judging(), proc, network{})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, HeartbeatTimeout: 5 * time.Second})
		p.Beat("w", 1)
		time.Sleep(time.Minute)
		if d := p.Degraded(); len(d) != 1 || !strings.Contains(d[0], "hidepid") || len(h.all()) != 0 {
			t.Errorf("%q, calls %v", d, h.all())
		}
	})
}

// TestLook at real processes: one that spins, behind a shell that waits for it, and one
// that sleeps.
func TestLook(t *testing.T) {
	spin := spawn(t, "sh", "-c", "sh -c 'while :; do :; done'; true")
	t.Cleanup(func() { killChildren(t, spin) })
	within(t, "its child", func() bool { _, kids := threads(spin); return len(kids) == 1 })
	var l Look
	within(t, "a busy thread", func() bool { l = LookAt(spin, 300*time.Millisecond); return l.Busy == 1 })
	if l.Threads != 1 || l.Busiest != l.CPU || !strings.Contains(l.String(), "% in 1 thread, state R (running)") {
		t.Errorf("%+v: %s", l, l.String())
	}
	if wchan(spin) == "" {
		t.Log("wchan is not to be read here, so the shell was looked at itself")
	} else if !l.Wrapped || l.PID == spin || !strings.HasPrefix(l.String(), "pid ") {
		t.Errorf("not the child: %+v", l)
	}
	l = LookAt(sleeper(t), 50*time.Millisecond)
	if l.State != 'S' || l.CPU > 30 || !strings.HasPrefix(l.String(), "CPU 0 % in 1 thread, state S (sleeping)") {
		t.Errorf("%+v: %s", l, l.String())
	}
	t.Log(l.String())
	if l := LookAt(1<<22, 0); l.String() != "" {
		t.Errorf("nobody: %+v", l)
	}
}

// TestLookInWords of a process with more threads than tests want to have.
func TestLookInWords(t *testing.T) {
	l := Look{PID: 1, State: 'S', Threads: 12, CPU: 300, Busiest: 100, Busy: 3, Wchan: "futex_wait_queue"}
	if got := l.String(); got != "CPU 300 % in 3 of 12 threads, state S (sleeping), wchan futex_wait_queue" {
		t.Error(got)
	}
}

// TestExplain of a real worker.
func TestExplain(t *testing.T) {
	p, _ := realProber(t, Options{})
	p.Watch(Subject{Worker: "w", Gen: 1, PID: sleeper(t), Activity: func() (time.Time, uint64) { return time.Now().Add(-time.Minute), 9 }})
	p.Beat("w", 1)
	p.Progress("w", 1, 40)
	if got := p.Explain("w", 1); !strings.Contains(got, "no heartbeat for ") || !strings.Contains(got, " s, no output for 6") || !strings.Contains(got, ", no progress for ") ||
		!strings.Contains(got, " (step 40), CPU 0 % in 1 thread") {
		t.Error(got)
	}
	if got := p.Explain("w", 2); got != "" {
		t.Errorf("another generation: %s", got)
	}
}

// TestHealthBody: what the answer contains, and who gives it.
func TestHealthBody(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("status: ok")) }))
	defer other.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"status": "ok", "n": 12}`)) })
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(strings.Repeat("x", 2*maxBody) + "status: ok"))
	})
	mux.HandleFunc("/near", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusFound) })
	mux.HandleFunc("/far", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) })
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/500", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "status: ok", 500) })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	p, _ := testProber(t, Options{}, newFakeProcfs(), newNetwork())
	for _, row := range []struct{ path, body, want string }{
		{"/ok", "", ""}, {"/ok", `"status": *"ok"`, ""}, {"/ok", `"n": \d+`, ""}, {"/near", "ok", ""},
		{"/ok", "fail", `the answer does not match "fail"`}, {"/long", "ok", `the answer does not match "ok"`},
		{"/far", "", "redirected to another host, " + strings.TrimPrefix(other.URL, "http://")},
		{"/loop", "", "redirected ten times"}, {"/500", "ok", "status 500 Internal Server Error"},
	} {
		w := &watch{s: Subject{HealthURL: srv.URL + row.path}}
		if row.body != "" {
			w.s.HealthBody = regexp.MustCompile(row.body)
		}
		got := ""
		if err := p.health(t.Context(), w); err != nil {
			got = plain(err)
		}
		if got != row.want {
			t.Errorf("%s %q: %q", row.path, row.body, got)
		}
	}
}

// TestTimers on fake time: an expired one convicts, unless its process has ended.
func TestTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proc := newFakeProcfs()
		proc.add(7, nil)
		p, h := startProber(t, Options{}, proc, network{})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7})
		start := time.Now()
		set := func(pid int, in time.Duration) {
			p.mu.Lock()
			defer p.mu.Unlock()
			at := float64(start.Add(in).UnixNano()) / 1e9
			p.setTimers(p.watches["w"], timerLine(pid, "step", at), start)
			p.nudge()
		}
		set(99, time.Minute) // has ended
		set(7, 2*time.Minute)
		time.Sleep(5 * time.Minute)
		d := h.when("judged w/1").Sub(start)
		if c := h.causeOf("w"); d < 2*time.Minute || d > 2*time.Minute+time.Millisecond || c.Kind != state.CauseUnresponsive || c.Detail != `timer "step" of pid 7 expired` {
			t.Errorf("after %v: %+v", d, c)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.timed) != 0 {
			t.Errorf("still timed: %v", p.timed)
		}
	})
}

func timerLine(pid int, scope string, at float64) []byte {
	return fmtLine(`{"version": 1, "pid": %d, "scope_id": %q, "expiration_time": %f, "signal": 9}`, pid, scope, at)
}

// TestTimerFIFO: the whole way, as a client writes.
func TestTimerFIFO(t *testing.T) {
	p, h := realProber(t, Options{})
	path := filepath.Join(t.TempDir(), "timer")
	if err := p.OpenTimer("w", path); err != nil {
		t.Fatal(err)
	}
	client, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	pid := sleeper(t)
	if _, err := client.Write(timerLine(pid, "early", float64(time.Now().Unix()-1))); err != nil {
		t.Fatal(err)
	}
	p.Watch(Subject{Worker: "w", Gen: 1, PID: pid, FileTimer: path})
	within(t, "verdict", h.has("judged w/1"))
	if c := h.causeOf("w"); !strings.HasPrefix(c.Detail, `timer "early" of pid `) || !strings.Contains(c.Detail, "CPU 0 % in 1 thread") {
		t.Errorf("%+v", c)
	}
	p.Unwatch("w", 1)
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the FIFO is still there: %v", err)
	}
}

// TestMarked and the others ask the real /proc.
func TestMarked(t *testing.T) {
	k := newKernelProcfs()
	t.Setenv("PROCGUARD_INSTANCE", "inner")
	t.Setenv("PROCGUARD_INSTANCE_OUTER", "a:w/1\nb:v/2")
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	pid := cmd.Process.Pid
	for instance, want := range map[string]bool{"inner": true, "a:w/1": true, "b:v/2": true, "inn": false, "a:w/1\nb:v/2": false} {
		if got := k.marked(pid, instance); got != want {
			t.Errorf("%q: %v", instance, got)
		}
	}
	if !k.isUser(pid, uint32(os.Getuid())) || k.isUser(pid, 54321) || k.isUser(1<<22, 0) {
		t.Error("isUser")
	}
	if !k.exists(pid) || k.exists(1<<22) {
		t.Error("exists")
	}
	if n := k.share([]int{pid}); n == 0 {
		t.Log("smaps_rollup is not to be read here")
	} else if n > 64<<20 {
		t.Errorf("sleep uses %d bytes", n)
	}
}
