package probe

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/state"
)

func write(tb testing.TB, path, text string) {
	tb.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		tb.Fatal(err)
	}
}

// TestProgressFile: what is there from before is where growth is counted from.
func TestProgressFile(t *testing.T) {
	for _, before := range []string{"", "100\n", "release"} {
		path := filepath.Join(t.TempDir(), "latest_checkpointed_iteration.txt")
		synctest.Test(t, func(t *testing.T) {
			if before != "" {
				write(t, path, before)
			}
			p, h := startProber(t, Options{Interval: time.Second}, newFakeProcfs(), network{})
			p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, ProgressFile: path})
			want := ""
			for i, text := range []string{"release", "120", "iter_0000140 of 9\n", "140\n", "90\n", "100", "no number", strings.Repeat("x", maxStepFile) + "7"} {
				time.Sleep(10 * time.Second)
				write(t, path, text)
				// The real file's time does not move with the test's.
				if err := os.Chtimes(path, time.Unix(int64(i), 0), time.Unix(int64(i), 0)); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(10 * time.Second)
			want = "step 120 w/1, step 140 w/1, step 100 w/1"
			if got := strings.Join(h.all(), ", "); got != want {
				t.Errorf("before %q: %s", before, got)
			}
		})
	}
}

// TestProgressFileThatIsNone: directories and FIFOs are waited for by nobody.
func TestProgressFileThatIsNone(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, fifo, filepath.Join(dir, "none")} {
		if n, err := readStep(path); err == nil {
			t.Errorf("%s: step %d", path, n)
		}
	}
}

// TestProgressIsASignOfLife for the zombie's verdict, whoever brings it.
func TestProgressIsASignOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proc := newFakeProcfs()
		proc.add(7, nil)
		p, h := startProber(t, judging(), proc, network{})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, HeartbeatTimeout: 10 * time.Second})
		p.Beat("w", 1)
		for step := range int64(20) {
			time.Sleep(8 * time.Second)
			p.Progress("w", 1, step)
		}
		if calls := h.all(); len(calls) != 0 {
			t.Fatalf("calls %v", calls)
		}
		for range 5 { // the same step again is no progress
			time.Sleep(3 * time.Second)
			p.Progress("w", 1, 19)
		}
		if calls := h.all(); len(calls) != 1 {
			t.Errorf("calls %v", calls)
		}
	})
}

func TestPatterns(t *testing.T) {
	re := regexp.MustCompile
	p := NewPatterns(PatternSpec{Ready: re(`listening on :\d+`), Alive: re(`^iter`), Fail: re(`(?i)cuda error|NCCL.*abort`), Progress: re(`iter +(\d+)/`)})
	now := time.Unix(1000, 0)
	rows := []struct {
		after time.Duration
		line  string
		want  string
	}{
		{0, "hello", "-"},
		{0, "listening on :x", "-"},
		{0, "listening on :80", "ready"},
		{time.Second, "listening on :80", "-"},
		{time.Second, "iter 7/100", "alive step 7"},
		{time.Millisecond, "iter 8/100", "-"}, // too soon
		{time.Second, "iter x", "alive"},
		{time.Second, "iter 99999999999999999999/", "alive"},
		{time.Second, "CUDA Error: lost", "fail CUDA Error: lost"},
		{time.Second, "NCCL abort", "-"}, // once
		{time.Second, strings.Repeat("x", maxMatched) + "iter 3/", "-"},
	}
	for _, row := range rows {
		now = now.Add(row.after)
		f := p.Match([]byte(row.line), now)
		if got := show(f); got != row.want {
			t.Errorf("%.40q: %s, want %s", row.line, got, row.want)
		}
	}
	if p := NewPatterns(PatternSpec{}); p != nil {
		t.Errorf("no patterns: %v", p)
	}
	var none *Patterns
	if f := none.Match([]byte("x"), now); f.Any() {
		t.Errorf("no patterns found %+v", f)
	}
	if p := NewPatterns(PatternSpec{Progress: re(`step=\d+`)}); show(p.Match([]byte("epoch 1 step=55"), now)) != "step 55" {
		t.Error("a number without a group is not found")
	}
}

func show(f Found) string {
	var parts []string
	if f.Ready {
		parts = append(parts, "ready")
	}
	if f.Alive {
		parts = append(parts, "alive")
	}
	if f.Fail != "" {
		parts = append(parts, "fail "+f.Fail)
	}
	if f.Step != nil {
		parts = append(parts, fmt.Sprint("step ", *f.Step))
	}
	if f.Any() != (len(parts) > 0) {
		return "Any is wrong"
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, " ")
}

// TestRequiredText: what a line is searched for first is part of every match.
func TestRequiredText(t *testing.T) {
	for expr, want := range map[string]string{
		`listening on :\d+`: "listening on :", `^iter +(\d+)/`: "iter", `(?i)error`: "", `a|b`: "", `(error)+ x`: "error", `x*`: "", `(loss=){2}[0-9]+ at`: "loss=",
	} {
		if got := string(required(expr)); got != want {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}

func FuzzPatterns(f *testing.F) {
	f.Add(`iter (\d+)`, []byte("iter 5"))
	f.Add(`(?i)a|b{3,}`, []byte("bbb"))
	f.Fuzz(func(t *testing.T, expr string, line []byte) {
		re, err := regexp.Compile(expr)
		if err != nil || len(line) > maxMatched {
			return
		}
		p := NewPatterns(PatternSpec{Alive: re})
		if got := p.Match(line, time.Unix(1000, 0)).Alive; got != p.alive.re.Match(line) {
			t.Errorf("%q on %q: %v, though %q is required", expr, line, got, p.alive.need)
		}
	})
}

// TestHeard: what was found in a line has its effects.
func TestHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		step := int64(5)
		p, h := startProber(t, Options{}, newFakeProcfs(), network{})
		p.Watch(Subject{Worker: "w", Gen: 2, PID: 7, ReadyElsewhere: true})
		p.Heard("w", 1, Found{Ready: true})
		p.Heard("w", 2, Found{Ready: true, Alive: true})
		p.Heard("w", 2, Found{Ready: true, Step: &step})
		p.Heard("w", 2, Found{Fail: "CUDA error \x1b[0m" + strings.Repeat("x", 1000)})
		time.Sleep(time.Second)
		if got := strings.Join(h.all(), ", "); got != "ready w/2, beat w/2, step 5 w/2, judged w/2" {
			t.Errorf("calls %s", got)
		}
		if d := h.causeOf("w").Detail; !strings.HasPrefix(d, `"CUDA error \x1b[0mxxx`) || len(d) > 250 {
			t.Errorf("detail %q", d)
		}
	})
}

// TestLogSilence counts from the first output on, and from readiness.
func TestLogSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bytes atomic.Uint64
		p, h := startProber(t, Options{Interval: time.Second}, newFakeProcfs(), network{})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, LogSilence: time.Minute, ReadyElsewhere: true, HeartbeatTimeout: time.Hour,
			Activity: func() (time.Time, uint64) { return time.Time{}, bytes.Load() }})
		p.Beat("w", 1)
		time.Sleep(5 * time.Minute)
		bytes.Add(1)
		time.Sleep(5 * time.Minute)
		p.Ready("w", 1)
		p.Beat("w", 1)
		for range 10 {
			time.Sleep(55 * time.Second)
			bytes.Add(1)
		}
		start := time.Now()
		if calls := h.all(); len(calls) != 0 {
			t.Fatalf("calls %v", calls)
		}
		time.Sleep(2 * time.Minute)
		if d := h.when("judged w/1").Sub(start); d < time.Minute || d > time.Minute+2*time.Second {
			t.Errorf("judged after %v", d)
		}
		c := h.causeOf("w")
		if c.Kind != state.CauseUnresponsive || !strings.HasPrefix(c.Detail, "no output for 60 s (log_silence 60 s), no heartbeat for ") {
			t.Errorf("%+v", c)
		}
	})
}

// lateWords speaks between the suspicion and the verdict.
type lateWords struct {
	*fakeProcfs
	before func()
}

func (l *lateWords) look(int, time.Duration, <-chan struct{}) Look {
	l.before()
	return Look{}
}

// TestSpeaksBeforeTheVerdict of log silence.
func TestSpeaksBeforeTheVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bytes atomic.Uint64
		bytes.Store(1)
		proc := &lateWords{newFakeProcfs(), func() { bytes.Add(1) }}
		p, h := startProber(t, Options{Interval: time.Second}, proc, network{})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, LogSilence: 10 * time.Second, Activity: func() (time.Time, uint64) { return time.Time{}, bytes.Load() }})
		time.Sleep(time.Minute)
		if len(h.all()) != 0 || bytes.Load() < 5 {
			t.Errorf("calls %v, spoke %d times", h.all(), bytes.Load())
		}
	})
}

// TestMaxMemory: of the whole tree, for a while, and counting shared pages once.
func TestMaxMemory(t *testing.T) {
	const limit = fakeMemory / 10
	rows := map[string]struct {
		leader, child float64 // percent of the machine's memory
		spike         bool
		pss           uint64
		want          string
	}{
		"small":                 {leader: 5, child: 4},
		"large":                 {leader: 15, want: "153.6 MiB in 1 process, max_memory is 102.4 MiB"},
		"large together":        {leader: 6, child: 6, pss: limit + 1<<20, want: "103.4 MiB in 2 processes, max_memory is 102.4 MiB"},
		"shared":                {leader: 9, child: 9, pss: limit - 1},
		"share not known":       {leader: 6, child: 6, want: "122.9 MiB in 2 processes, max_memory is 102.4 MiB"},
		"between fork and exec": {leader: 9, child: 9, spike: true, pss: limit * 2},
		"exactly at the limit":  {leader: 10},
	}
	for name, row := range rows {
		synctest.Test(t, func(t *testing.T) {
			proc := newFakeProcfs()
			proc.pss = row.pss
			proc.add(7, func(p *fakeProcess) { p.pages = pages(row.leader) })
			if row.child > 0 {
				proc.add(8, func(p *fakeProcess) { p.pages, p.ppid = pages(row.child), 7 })
			}
			p, h := startProber(t, Options{Interval: time.Second}, proc, network{})
			p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, MaxMemory: limit})
			if row.spike {
				time.Sleep(2500 * time.Millisecond)
				proc.change(8, func(p *fakeProcess) { p.pages = 1 })
			}
			time.Sleep(5 * time.Minute)
			if c := h.causeOf("w"); c.Detail != row.want || row.want != "" && len(h.all()) != 1 {
				t.Errorf("%s: %v, %q", name, h.all(), c.Detail)
			}
		})
	}
}

// TestMaxCPU on average over the window, and once.
func TestMaxCPU(t *testing.T) {
	rows := map[string]struct {
		cpu    float64
		child  float64
		window time.Duration
		burst  time.Duration // of 10 cores, instead of all the time
		want   string
		after  time.Duration
	}{
		"less":      {cpu: 1.9},
		"more":      {cpu: 2.5, want: "250 % over 60 s, max_cpu is 200 %", after: time.Minute},
		"own, kids": {cpu: 1.5, child: 1, want: "250 % over 60 s, max_cpu is 200 %", after: time.Minute},
		"burst":     {burst: 10 * time.Second},
		"window":    {window: 10 * time.Second, cpu: 2.5, want: "250 % over 10 s, max_cpu is 200 %", after: 10 * time.Second},
	}
	for name, row := range rows {
		synctest.Test(t, func(t *testing.T) {
			proc := newFakeProcfs()
			proc.add(7, func(p *fakeProcess) { p.cpu = row.cpu })
			proc.add(8, func(p *fakeProcess) { p.cpu, p.ppid = row.child, 7 })
			p, h := startProber(t, Options{Interval: time.Second}, proc, network{})
			start := time.Now()
			p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, MaxCPU: 200, CPUWindow: row.window})
			if row.burst > 0 {
				time.Sleep(time.Minute)
				proc.change(7, func(p *fakeProcess) { p.cpu, p.since = 10, time.Now() })
				time.Sleep(row.burst)
				proc.change(7, func(p *fakeProcess) { p.ticks, p.cpu = uint64(10*row.burst.Seconds()*ticksPerSecond), 0 })
			}
			time.Sleep(5 * time.Minute)
			c := h.causeOf("w")
			if c.Detail != row.want || row.want != "" && len(h.all()) != 1 {
				t.Errorf("%s: %v, %q", name, h.all(), c.Detail)
			}
			if d := h.when("judged w/1").Sub(start); row.want != "" && (d < row.after || d > row.after+3*time.Second) {
				t.Errorf("%s: judged after %v", name, d)
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			if n := len(p.watches["w"].limits.marks); n > windowMarks+2 {
				t.Errorf("%s: %d marks", name, n)
			}
		})
	}
}

// TestLimitAndHang: a worker that is over its limit may still be found to hang.
func TestLimitAndHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proc := newFakeProcfs()
		proc.add(7, nil)
		p, h := startProber(t, judging(), proc, network{})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, HeartbeatTimeout: 10 * time.Second, MaxMemory: 1})
		p.Beat("w", 1)
		time.Sleep(time.Minute)
		if got := strings.Join(h.all(), ", "); got != "judged w/1, judged w/1" || h.causeOf("w").Kind != state.CauseZombie {
			t.Errorf("calls %s, last %+v", got, h.causeOf("w"))
		}
	})
}

// TestCleared: what is taken back may be said again.
func TestCleared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proc := newFakeProcfs()
		proc.add(7, nil)
		var bytes atomic.Uint64
		p, h := testProber(t, Options{Interval: time.Second}, proc, network{})
		p.o.OnCleared = func(w string, g uint64) { h.add("cleared", w, g) }
		p.start()
		defer p.Close()
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, LogSilence: 20 * time.Second, Activity: func() (time.Time, uint64) { return time.Time{}, bytes.Load() }})
		time.Sleep(500 * time.Millisecond) // between two passes, so that none happens at the same moment as this
		for range 2 {
			bytes.Add(1)
			time.Sleep(time.Minute)
		}
		p.Heard("w", 1, Found{Fail: "lost"}) // it holds, whatever comes
		time.Sleep(200 * time.Millisecond)   // news are told at most so much later
		bytes.Add(1)
		time.Sleep(time.Minute)
		if got := strings.Join(h.all(), ", "); got != "judged w/1, cleared w/1, judged w/1, judged w/1" || h.causeOf("w").Kind != state.CauseLog {
			t.Errorf("calls %s", got)
		}
	})
}
