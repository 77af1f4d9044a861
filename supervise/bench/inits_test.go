package main

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

func needMachineCode(t *testing.T) {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("needs amd64: the commands under the inits are machine code")
	}
}

// Without an init the command is our own child, and what it tells is true.
func TestInitPrograms(t *testing.T) {
	needMachineCode(t)
	b := testBench(t)
	b.procguard, b.kills = "/bin/false", 1
	t.Setenv("PATH", t.TempDir()) // no peers
	r := b.newInitRace()
	r.where, r.inits = asChild, r.inits[:1]
	if err := errors.Join(r.starts(), r.stays()); err != nil {
		t.Fatal(err)
	}
	s := r.inits[0]
	for name, d := range map[string]*sample{"start": &s.start, "whole": &s.whole, "signal": &s.signal} {
		if len(d.ds) != 3 || d.quantile(0) <= 0 || d.quantile(1) > patience {
			t.Errorf("%s: %v", name, d.ds)
		}
	}
	for i := range s.start.ds {
		if s.start.ds[i] >= s.whole.ds[i] {
			t.Errorf("begun after %v, ended after %v", s.start.ds[i], s.whole.ds[i])
		}
	}
	if s.threads != 1 || s.rss <= 0 || len(r.missing) != len(initPeers) {
		t.Errorf("%d threads, %v MiB, missing %v", s.threads, s.rss, r.missing)
	}
}

func TestInitThatRunsNothing(t *testing.T) {
	needMachineCode(t)
	b := testBench(t)
	b.procguard = script(t, "exit 3")
	r := b.newInitRace()
	r.inits = r.inits[1:2]
	r.b.kills = 1
	from := time.Now()
	err := r.stays()
	if err == nil || !strings.Contains(err.Error(), "procguard: no stamp") {
		t.Errorf("an init that ends without its command: %v", err)
	}
	if d := time.Since(from); d > patience/2 {
		t.Errorf("took %v", d)
	}
}

// The real binary, once by its own name and once as tini.
func TestInits(t *testing.T) {
	needMachineCode(t)
	bin := os.Getenv("PROCGUARD")
	if _, err := os.Stat(bin); err != nil {
		t.Skip("needs $PROCGUARD, the binary to be measured: make test sets it")
	}
	b := testBench(t)
	b.procguard = bin
	path := t.TempDir()
	if err := os.Symlink(bin, filepath.Join(path, "tini")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", path)
	var out strings.Builder
	err := b.inits(newTable(&out))
	if errors.Is(err, syscall.EPERM) {
		t.Skip("needs permission to make a PID namespace")
	}
	if err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, want := range []string{"not measured: dumb-init, catatonit", "resident memory below 6 MiB", "first instruction within 3ms of tini's"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if (os.Geteuid() == 0) != strings.Contains(text, "CPU in a storm") {
		t.Errorf("storms need root, and nothing else:\n%s", text)
	}
}

// raceOf is a finished race between ProcGuard and tini, all times in milliseconds.
func raceOf(t *testing.T, ours, theirs time.Duration, rss float64) *initRace {
	of := func(d time.Duration) sample { return sample{[]time.Duration{d * time.Millisecond}} }
	with := func(name string, d time.Duration) *standing {
		return &standing{subject: subject{name: name}, start: of(d), whole: of(2 * d), signal: of(1), storm: of(d), footprint: footprint{rss: rss}}
	}
	return &initRace{b: testBench(t), where: asFirst, inits: []*standing{with(bareName, 1), with(ourName, ours), with(baseName, theirs)}}
}

func TestInitAims(t *testing.T) {
	for _, c := range []struct {
		ours, theirs time.Duration
		rss          float64
		unmet        int
	}{
		{5, 3, 5, 0},
		{5, 3, 6, 1},
		{7, 3, 5, 2}, // 4 ms later, 2.3 times the CPU
		{2, 1, 5, 0},
	} {
		text := strings.Join(raceOf(t, c.ours, c.theirs, c.rss).aims(), "\n")
		if n := strings.Count(text, "NOT met"); n != c.unmet || strings.Count(text, "aim: ") != 3 {
			t.Errorf("%+v: %d not met:\n%s", c, n, text)
		}
	}
}

func TestInitTable(t *testing.T) {
	r := raceOf(t, 5, 3, 4)
	var out strings.Builder
	r.print(&out)
	for _, want := range []string{"+2.00", "-2.00", "1.67", "PID 1"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	r.inits, r.missing = r.inits[:2], []string{"tini"}
	r.inits[1].storm = sample{}
	out.Reset()
	r.print(&out)
	for _, want := range []string{"cannot tell", "not measured: tini", "not root"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("without tini and root, no %q in\n%s", want, out.String())
		}
	}
}
