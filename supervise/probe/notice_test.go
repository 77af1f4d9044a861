package probe

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/probe/notify"
)

// send writes datagrams to a worker's socket, as this process.
func send(tb testing.TB, path string, texts ...string) {
	tb.Helper()
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close()
	for _, s := range texts {
		if _, err := c.Write([]byte(s)); err != nil {
			tb.Fatal(err)
		}
	}
}

func openNotify(tb testing.TB, p *Prober, worker string) string {
	tb.Helper()
	path, err := p.OpenNotify(worker)
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

func (h *heard) has(call string) func() bool {
	return func() bool { return !h.when(call).IsZero() }
}

func (h *heard) hasPrefix(prefix string) func() bool {
	return func() bool {
		return slices.ContainsFunc(h.all(), func(call string) bool { return strings.HasPrefix(call, prefix) })
	}
}

// TestNotify: every word reaches its callback.
func TestNotify(t *testing.T) {
	p, h := realProber(t, Options{NotifyDir: t.TempDir()})
	path := openNotify(t, p, "a/b")
	p.Watch(Subject{Worker: "a/b", Gen: 3, PID: os.Getpid(), Notify: true, ReadyNotify: true})
	for _, row := range []struct{ send, call string }{
		{"READY=1\nSTATUS=up", "ready a/b/3"},
		{"", "status up a/b/3"},
		{"WATCHDOG=1", "beat a/b/3"},
		{"EXTEND_TIMEOUT_USEC=5000000", "extend 5s a/b/3"},
		{"WATCHDOG_USEC=7000000", "timeout 7s a/b/3"},
		{"X_PHASE=eval\nX_PHASE_USEC=60000000", "phase eval 1m0s a/b/3"},
		{"X_PHASE=", "phase  0s a/b/3"},
		{"STATUS=epoch 2 step=40", "step 40 a/b/3"},
		{"X_STEP=41", "step 41 a/b/3"},
		{"ERRNO=5\nSTATUS=disk", "status disk (errno 5: input/output error) a/b/3"},
		{"RELOADING=1", "phase reload 0s a/b/3"},
		{"STOPPING=1", "stopping a/b/3"},
	} {
		if row.send != "" {
			send(t, path, row.send)
		}
		within(t, row.call, h.has(row.call))
	}
	send(t, path, "READY=1")
	within(t, "the end of the reload", func() bool { return strings.Count(strings.Join(h.all(), "|"), "phase  0s") == 2 })
	send(t, path, strings.Repeat("x", notify.MaxSize+1), "nonsense\nREADY=7")
	within(t, "counts", func() bool { return p.Counts() == Counts{Malformed: 2, Oversized: 1} })
	send(t, path, "WATCHDOG=trigger")
	within(t, "verdict", h.has("judged a/b/3"))
	c := h.causeOf("a/b")
	if c.Kind != state.CauseUnresponsive || !strings.Contains(c.Detail, "reported itself hung") || !strings.Contains(c.Detail, "thread") {
		t.Errorf("%+v", c)
	}
	p.Unwatch("a/b", 3)
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("after Unwatch the socket is still there: %v", err)
	}
}

// TestNotifyOfStrangers: who is somebody else's is not heard, and that is said once.
func TestNotifyOfStrangers(t *testing.T) {
	p, h := realProber(t, Options{NotifyDir: t.TempDir()})
	path := openNotify(t, p, "w")
	p.Watch(Subject{Worker: "w", Gen: 1, PID: sleeper(t), Notify: true, ReadyNotify: true, Instance: "x:w/1"})
	send(t, path, "READY=1", "WATCHDOG=1", "STATUS=I am somebody else")
	within(t, "three strangers", func() bool { return p.Counts().Unknown == 3 })
	if calls := h.all(); len(calls) != 0 {
		t.Errorf("calls %v", calls)
	}
	if d := p.Degraded(); len(d) != 1 || !strings.Contains(d[0], fmt.Sprintf("pid %d does not belong to worker w", os.Getpid())) {
		t.Errorf("said %q", d)
	}
}

// TestNotifyOfDescendants: a child, a grandchild that left the session, one with the
// marker alone, and a client that is gone when we look.
func TestNotifyOfDescendants(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("needs python3")
	}
	const say = `python3 -c 'import os,socket,sys,time;s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM);s.sendto(sys.argv[1].encode(),os.environ["NOTIFY_SOCKET"]);time.sleep(float(sys.argv[2]))' `
	p, h := realProber(t, Options{NotifyDir: t.TempDir()})
	path := openNotify(t, p, "w")
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("PROCGUARD_INSTANCE", "x:w/1")
	cmd := exec.Command("sh", "-c", say+"STATUS=child 9 & "+say+"EXTEND_TIMEOUT_USEC=5000000 0; setsid sh -c '(sleep 1; true); "+strings.ReplaceAll(say, "'", `'\''`)+"X_STEP=5 9' & (setsid setsid "+say+"STOPPING=1 9 &); wait; sleep 1000")
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL); _ = cmd.Wait() })
	p.Watch(Subject{Worker: "w", Gen: 1, PID: cmd.Process.Pid, Notify: true, Instance: "x:w/1"})
	for _, call := range []string{"status child w/1", "extend 5s w/1", "step 5 w/1", "stopping w/1"} {
		within(t, call, h.has(call))
	}
	if n := p.Counts(); n != (Counts{}) {
		t.Errorf("%+v", n)
	}
}

// TestSystemdNotify is the client of systemd itself, which ends at once.
func TestSystemdNotify(t *testing.T) {
	if _, err := exec.LookPath("systemd-notify"); err != nil {
		t.Skip("needs systemd-notify")
	}
	p, h := realProber(t, Options{NotifyDir: t.TempDir()})
	t.Setenv("NOTIFY_SOCKET", openNotify(t, p, "w"))
	pid := spawn(t, "sh", "-c", "systemd-notify --ready --status='step=12 of 40'; exec sleep 1000")
	p.Watch(Subject{Worker: "w", Gen: 1, PID: pid, Notify: true, ReadyNotify: true})
	for _, call := range []string{"ready w/1", "status step=12 of 40 w/1", "step 12 w/1"} {
		within(t, call, h.has(call))
	}
}

// TestSenderThatIsGone is believed if it was of the worker's user.
func TestSenderThatIsGone(t *testing.T) {
	proc := newFakeProcfs()
	proc.add(7, nil)
	proc.add(8, nil)
	proc.add(9, func(p *fakeProcess) { p.ppid = 8 })
	proc.add(10, func(p *fakeProcess) { p.group = 7 })
	proc.users, proc.marks = map[int]uint32{7: 1000}, map[int]string{8: "i"}
	p, _ := testProber(t, Options{}, proc, network{})
	p.Watch(Subject{Worker: "w", Gen: 1, PID: 7})
	w := p.watches["w"]
	for _, row := range []struct {
		pid, main int
		uid       uint32
		instance  string
		ok        bool
	}{
		{pid: 7, ok: true},
		{pid: 8}, {pid: 9}, {pid: 0, uid: 1000}, {pid: -1, uid: 1000},
		{pid: 9, main: 8, ok: true}, {pid: 8, main: 8, ok: true},
		{pid: 10, ok: true},
		{pid: 8, instance: "i", ok: true}, {pid: 9, instance: "i"},
		{pid: 99, uid: 1000, ok: true}, {pid: 99, uid: 1001},
	} {
		w.s.Instance, w.main, p.counts = row.instance, row.main, Counts{}
		p.accept(w, row.main, &letter{pid: row.pid, uid: row.uid})
		if ok := p.counts.Unknown == 0; ok != row.ok {
			t.Errorf("%+v: heard %v", row, ok)
		}
	}
	w.main = 0
	p.accept(w, 0, &letter{Message: notify.Message{MainPID: 8}, pid: 7})
	if w.main != 0 {
		t.Error("a stranger is the main process")
	}
	p.accept(w, 0, &letter{Message: notify.Message{MainPID: 10}, pid: 7})
	if w.main != 10 || w.news.main != 10 {
		t.Errorf("main process %d", w.main)
	}
}

// TestGenerationsHaveTheirOwnSocket: what the predecessor left is not heard, what came
// before Watch is, and the predecessor's end leaves the socket alone.
func TestGenerationsHaveTheirOwnSocket(t *testing.T) {
	p, h := realProber(t, Options{NotifyDir: t.TempDir()})
	s := Subject{Worker: "w", Gen: 1, PID: os.Getpid(), Notify: true}
	path := openNotify(t, p, "w")
	send(t, path, "STATUS=never watched")
	path = openNotify(t, p, "w")
	send(t, path, "STATUS=early")
	p.Watch(s)
	within(t, "what came before Watch", h.has("status early w/1"))
	if again := openNotify(t, p, "w"); again != path {
		t.Errorf("the path changed: %s, %s", path, again)
	}
	p.Unwatch("w", 1)
	send(t, path, "STATUS=second")
	s.Gen = 2
	p.Watch(s)
	within(t, "the second", h.has("status second w/2"))
	// A worker that was taken over: nobody has opened its socket.
	p.Unwatch("w", 2)
	s.Gen, s.Restored = 3, true
	p.Watch(s)
	send(t, path, "STATUS=third")
	within(t, "the third", h.has("status third w/3"))
	openNotify(t, p, "unused")
	p.Close()
	if list, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); err != nil || len(list) != 0 {
		t.Errorf("left after Close: %v, %v", list, err)
	}
	if _, err := p.OpenNotify("w"); err == nil {
		t.Error("a socket after Close")
	}
	if n := openFiles(t, func(path string) bool { return strings.Contains(path, "eventpoll") }); n > 1 {
		t.Errorf("%d epoll sets stay open, one is the runtime's", n)
	}
}

// TestNotifyFlood: a worker that sends as fast as it can causes few calls, and the
// others are heard.
func TestNotifyFlood(t *testing.T) {
	p, h := realProber(t, Options{NotifyDir: t.TempDir()})
	flood, other := openNotify(t, p, "flood"), openNotify(t, p, "other")
	p.Watch(Subject{Worker: "flood", Gen: 1, PID: os.Getpid(), Notify: true})
	p.Watch(Subject{Worker: "other", Gen: 1, PID: os.Getpid(), Notify: true})
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: flood, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	start, n := time.Now(), 0
	for ; time.Since(start) < 500*time.Millisecond || n < 100; n++ {
		if _, err := fmt.Fprintf(c, "WATCHDOG=1\nX_STEP=%d", n); err != nil {
			t.Fatal(err)
		}
		if n == 50 {
			send(t, other, "WATCHDOG=1")
		}
	}
	within(t, "the other", h.has("beat other/1"))
	within(t, "the newest", h.has(fmt.Sprintf("step %d flood/1", n-1)))
	most := 2 * (int(time.Since(start)/maxBeatRate) + 2)
	if calls := len(h.all()); calls > most {
		t.Errorf("%d calls of %d datagrams, want at most %d", calls, n, most)
	}
}

// TestAsksForTime: a silent, idle worker is not judged before the time that it has
// asked for has passed, and is then.
func TestAsksForTime(t *testing.T) {
	asks := map[string]func(p *Prober, w *watch){
		"EXTEND_TIMEOUT_USEC": func(p *Prober, w *watch) { p.notified(w, &notify.Message{Extend: 5 * time.Minute}, time.Now()) },
		"X_PHASE": func(p *Prober, w *watch) {
			p.notified(w, &notify.Message{Phase: &notify.Phase{Name: "compile", For: 5 * time.Minute}}, time.Now())
		},
	}
	for name, ask := range asks {
		synctest.Test(t, func(t *testing.T) {
			proc := newFakeProcfs()
			proc.add(7, nil)
			p, h := startProber(t, judging(), proc, network{})
			p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, HeartbeatTimeout: 10 * time.Second, LogSilence: 20 * time.Second,
				Activity: func() (time.Time, uint64) { return time.Time{}, 5 }})
			p.Beat("w", 1)
			start := time.Now()
			p.mu.Lock()
			ask(p, p.watches["w"])
			p.mu.Unlock()
			time.Sleep(6 * time.Minute)
			if d := h.when("judged w/1").Sub(start); d < 5*time.Minute-200*time.Millisecond || d > 5*time.Minute {
				t.Errorf("%s: judged after %v; %v", name, d, h.all())
			}
		})
	}
}

// TestPhaseEnds: from then on silence counts again.
func TestPhaseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proc := newFakeProcfs()
		proc.add(7, nil)
		p, h := startProber(t, judging(), proc, network{})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, HeartbeatTimeout: 10 * time.Second})
		p.Beat("w", 1)
		p.Extend("w", 1, time.Hour)
		time.Sleep(time.Minute)
		p.Extend("w", 1, 0)
		end := time.Now()
		time.Sleep(time.Minute)
		if d := h.when("judged w/1").Sub(end); d < 9*time.Second || d > 10*time.Second {
			t.Errorf("judged %v after the end of the phase", d)
		}
	})
}

// TestWorkersOwnTimeout: WATCHDOG_USEC holds for the zombie's verdict too.
func TestWorkersOwnTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proc := newFakeProcfs()
		proc.add(7, nil)
		p, h := startProber(t, judging(), proc, network{})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, HeartbeatTimeout: 10 * time.Second})
		p.mu.Lock()
		p.notified(p.watches["w"], &notify.Message{Watchdog: true, Timeout: time.Minute}, time.Now())
		p.mu.Unlock()
		start := time.Now()
		time.Sleep(5 * time.Minute)
		if d := h.when("judged w/1").Sub(start); d < 59*time.Second || d > time.Minute {
			t.Errorf("judged after %v", d)
		}
	})
}

// TestNoFalseAlarm: a job that compiles for 300 s before its first step, saves for 120 s,
// announced, evaluates without a heartbeat but with output, and is as idle as can be in
// between. Then it hangs, and that is seen in time.
func TestNoFalseAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proc := newFakeProcfs()
		proc.add(7, nil)
		o := judging()
		var bytes atomic.Uint64
		p, h := startProber(t, o, proc, network{})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, HeartbeatTimeout: 30 * time.Second, ReadyNotify: true, LogSilence: 150 * time.Second,
			MaxMemory: fakeMemory / 2, MaxCPU: 90, Activity: func() (time.Time, uint64) { return time.Time{}, bytes.Load() }})
		say := func(m notify.Message) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.notified(p.watches["w"], &m, time.Now())
		}
		bytes.Add(1)
		time.Sleep(300 * time.Second) // compiles, before it is ready
		say(notify.Message{Ready: true})
		for round := range 5 {
			for range 20 {
				time.Sleep(5 * time.Second)
				bytes.Add(1)
				say(notify.Message{Watchdog: true})
			}
			say(notify.Message{Phase: &notify.Phase{Name: "checkpoint", For: 10 * time.Minute}})
			time.Sleep(120 * time.Second)
			say(notify.Message{Phase: &notify.Phase{}, Watchdog: true})
			for range 10 { // eval
				time.Sleep(25 * time.Second)
				bytes.Add(1)
			}
			if round == 2 {
				proc.change(7, func(p *fakeProcess) { p.cpu, p.since = 0.5, time.Now() })
			}
		}
		proc.change(7, func(p *fakeProcess) {
			p.ticks += uint64(time.Since(p.since).Seconds() * p.cpu * ticksPerSecond)
			p.cpu = 0
		})
		for _, call := range h.all() {
			if strings.HasPrefix(call, "judged") {
				t.Fatalf("false alarm: %+v", h.causeOf("w"))
			}
		}
		time.Sleep(2 * time.Second) // its last output is seen
		say(notify.Message{Watchdog: true})
		start := time.Now()
		time.Sleep(5 * time.Minute)
		if d := h.when("judged w/1").Sub(start); d < 29*time.Second || d > 30*time.Second {
			t.Errorf("the hang was judged after %v: %v", d, h.all())
		}
	})
}
