package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestWorkerStamps(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := testBench(t)
	plain := []string{self, rolePlainWorker, filepath.Join(b.dir, "stamps")}
	for name, argv := range map[string][]string{"machine code": b.worker, "this program": plain} {
		from := now()
		pid, err := bareStart(argv)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		at, err := b.stamps.await(1, nil)
		if err != nil || at < from || at > now() {
			t.Errorf("%s: stamp %v, %v; want between %v and now", name, at, err, from)
		}
		// It stays, and TERM ends it.
		if err := syscall.Kill(pid, 0); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := bareEnd(syscall.SIGTERM, pid); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := b.stamps.extra(); n != 0 {
		t.Errorf("%d stamps too many", n)
	}
}

func TestAwaitGivesTheLatest(t *testing.T) {
	s := &stamps{c: make(chan time.Duration, 3)}
	for _, d := range []time.Duration{2, 3, 1} {
		s.c <- d
	}
	if last, err := s.await(3, nil); last != 3 || err != nil {
		t.Errorf("await = %v, %v", last, err)
	}
	over := make(chan struct{})
	close(over)
	if _, err := s.await(1, over); err == nil {
		t.Error("await does not end with the one who starts the workers")
	}
	close(s.c)
	if _, err := s.await(1, nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("await after the end: %v", err)
	}
}

func TestQuantile(t *testing.T) {
	var hundred sample
	for i := range 100 {
		hundred.add(time.Duration(100 - i))
	}
	for _, c := range []struct {
		s    sample
		q    float64
		want time.Duration
	}{
		{sample{}, 0.5, 0},
		{sample{[]time.Duration{7}}, 0.99, 7},
		{sample{[]time.Duration{3, 1}}, 0.5, 1},
		{sample{[]time.Duration{3, 1, 2}}, 0.5, 2},
		{sample{[]time.Duration{3, 1, 2}}, 0.99, 3},
		{hundred, 0.5, 50},
		{hundred, 0.99, 99},
		{hundred, 1, 100},
	} {
		if got := c.s.quantile(c.q); got != c.want {
			t.Errorf("quantile(%v) of %d = %v, want %v", c.q, len(c.s.ds), got, c.want)
		}
	}
	if hundred.ds[0] != 100 {
		t.Error("quantile has reordered the sample")
	}
}

func TestMilliseconds(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0.00", 1234 * time.Microsecond: "1.23", 12340 * time.Microsecond: "12.3", time.Second: "1000"} {
		if got := ms(d); got != want {
			t.Errorf("ms(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	const at = `{"time":"2026-01-02T03:04:05.123456789Z","level":"INFO","msg":`
	for line, want := range map[string]string{
		at + `"[incident 12] group default: w_0 failed: killed by SIGKILL"}`:       "detected",
		at + `"[incident 12] group default: recovered"}`:                           "recovered",
		at + `"[incident 12] group default: stopping"}`:                            "",
		at + `"w_0 started, pid 5"}`:                                               "",
		at + `"worker says [incident 12] group default: recovered"}`:               "",
		`procguard: exit 0: got SIGTERM`:                                           "",
		`[incident 12] group default: recovered`:                                   "",
		at + `"w_0 failed (exit code 1) while its group comes back: tried alone"}`: "",
	} {
		s, ok := parse([]byte(line))
		got := ""
		switch {
		case ok && s.recovered:
			got = "recovered"
		case ok:
			got = "detected"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
		if ok && s.at.Nanosecond() != 123456789 {
			t.Errorf("%s: time %v", line, s.at)
		}
	}
}

func TestLogPairsDetectionAndRecovery(t *testing.T) {
	line := func(sec, what string) string {
		return `{"time":"2026-01-02T03:04:0` + sec + `Z","msg":"[incident 1] group g: ` + what + `"}` + "\n"
	}
	j := readLog(io.NopCloser(strings.NewReader(line("1", "recovered") + line("2", "w failed: exit code 1") +
		line("3", "x failed: exit code 1") + line("4", "recovered") + "last words")))
	at, err := j.await()
	if err != nil || at.Second() != 2 {
		t.Errorf("await = %v, %v; want the first failure after the earlier recovery", at, err)
	}
	if !strings.HasSuffix(j.last(), "last words") {
		t.Errorf("last lines: %q", j.last())
	}
	if _, err := j.await(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("await at the end: %v", err)
	}
}

func TestProcOfOurselves(t *testing.T) {
	u, err := watch(os.Getpid(), 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	// The sleep of watch itself is a voluntary switch of one of our threads.
	if u.rss < 1 || u.pss <= 0 || u.pss > u.rss || u.over < 50*time.Millisecond || u.wakes < 1 {
		t.Errorf("watch: %+v", u)
	}
	half := usage{cpu: 10 * time.Millisecond, wakes: 5, over: 10 * time.Second}
	if half.cpuPerMinute() != 60 || half.wakesPerSecond() != 0.5 {
		t.Errorf("10 ms in 10 s are %v ms a minute, 5 wakes %v a second", half.cpuPerMinute(), half.wakesPerSecond())
	}
	if _, err := watch(1<<30, 0); err == nil {
		t.Error("a process that is not there can be watched")
	}
}

func TestChildrenOf(t *testing.T) {
	b := testBench(t)
	pid, err := bareStart(b.worker)
	if err != nil {
		t.Fatal(err)
	}
	pids, err := childrenOf(os.Getpid())
	if err != nil || !slices.Contains(pids, pid) {
		t.Errorf("children: %v, %v; want %d among them", pids, err, pid)
	}
	if err := bareEnd(syscall.SIGKILL, pid); err != nil {
		t.Fatal(err)
	}
	if pids, err = childrenOf(os.Getpid()); err != nil || slices.Contains(pids, pid) {
		t.Errorf("children: %v, %v; want %d no more", pids, err, pid)
	}
}

func TestSettings(t *testing.T) {
	good := script(t, "")
	dir := t.TempDir()
	env := func(kv ...string) func(string) string {
		return func(k string) string {
			for i := 0; i < len(kv); i += 2 {
				if kv[i] == k {
					return kv[i+1]
				}
			}
			return map[string]string{"PROCGUARD": good, "BENCH_STATE": dir}[k]
		}
	}
	s, err := settingsFrom(env())
	if err != nil || s.kills != 1000 || s.idle != 10*time.Second || s.procguard != good || s.base != dir || s.peers {
		t.Errorf("defaults: %+v, %v", s, err)
	}
	s, err = settingsFrom(env("BENCH_N", "100", "BENCH_IDLE", "2s", "BENCH_PEERS", "1"))
	if err != nil || s.kills != 100 || s.idle != 2*time.Second || !s.peers || s.rounds(200) != 20 || s.rounds(7) != 3 {
		t.Errorf("settings: %+v, %v", s, err)
	}
	for _, bad := range [][]string{
		{"BENCH_N", "0"}, {"BENCH_N", "many"}, {"BENCH_IDLE", "3"}, {"BENCH_STATE", good}, {"PROCGUARD", filepath.Join(dir, "none")},
	} {
		if _, err := settingsFrom(env(bad...)); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}

func TestTable(t *testing.T) {
	var out strings.Builder
	table := newTable(&out)
	p := &pair{}
	p.got.add(2 * time.Millisecond)
	p.floor.add(time.Millisecond)
	table.times("one", p, "below 3")
	table.times("two", p, "below 3")
	table.idle("three", usage{footprint: footprint{rss: 12, pss: 11}, over: time.Second}, "below 15")
	text := out.String()
	if strings.Count(text, "Times, ms") != 1 || strings.Count(text, "At rest") != 1 || strings.Count(text, "\n") != 9 {
		t.Errorf("table:\n%s", text)
	}
	b := testBench(t)
	out.Reset()
	b.heading(&out)
	if !strings.Contains(out.String(), "fdatasync there takes") || !strings.Contains(out.String(), "load average") {
		t.Errorf("heading:\n%s", out.String())
	}
}
