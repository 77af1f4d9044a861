package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/procguard/procguard/supervise/config"
)

// TestMain lets the test binary be what the bench makes of itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == rolePlainWorker || os.Args[1] == roleFirst) {
		os.Exit(reenter(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// testBench has a binary that must not be run unless the test sets another.
func testBench(t *testing.T) *bench {
	t.Helper()
	b, err := newBench(settings{procguard: "/nonexistent", kills: 3, idle: 100 * time.Millisecond, base: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.close)
	return b
}

func TestFloorRestartsAGroup(t *testing.T) {
	b := testBench(t)
	g, err := b.bareGroup(5)
	if err != nil {
		t.Fatal(err)
	}
	old := g.pids
	seen, back, err := g.restart(syscall.SIGTERM)
	if err != nil || seen <= 0 || back <= seen {
		t.Fatalf("restart: seen %v, back %v, %v; want 0 < seen < back", seen, back, err)
	}
	if err := g.end(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range append(old, g.pids...) {
		if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
			t.Errorf("process %d is still there: %v", pid, err)
		}
	}
}

func TestBareEndReportsWhatIsNotThere(t *testing.T) {
	b := testBench(t)
	pid, err := bareStart(b.worker)
	if err != nil {
		t.Fatal(err)
	}
	if err := bareEnd(syscall.SIGKILL, pid); err != nil {
		t.Fatal(err)
	}
	if err := bareEnd(syscall.SIGKILL, pid); !errors.Is(err, syscall.ESRCH) || !errors.Is(err, syscall.ECHILD) {
		t.Errorf("ending it again: %v; want ESRCH and ECHILD", err)
	}
}

// Every configuration must be one that ProcGuard takes, with the defaults that
// the table claims.
func TestFleetsAreValid(t *testing.T) {
	for _, f := range []fleet{{}, {alone: true}, {unlooked: true}} {
		path := filepath.Join(t.TempDir(), "procguard.yaml")
		if err := os.WriteFile(path, f.yaml([]string{"/a b/worker", "it's"}, 3, "/dir"), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(path, nil)
		if err != nil {
			t.Fatalf("%+v: %v", f, err)
		}
		if len(c.Workers) != 3 || c.Workers[0].RestartDelay != 0 || c.Workers[0].Command[0] != "/a b/worker" {
			t.Errorf("%+v: workers are %+v", f, c.Workers)
		}
		if c.State.Dir != "/dir/volume" || c.Monitoring.ZombieDetection == f.unlooked || c.Recovery.StopAllOnFailure == f.alone {
			t.Errorf("%+v: state %q, zombie_detection %t, stop_all_on_failure %t", f, c.State.Dir, c.Monitoring.ZombieDetection, c.Recovery.StopAllOnFailure)
		}
	}
}

func TestMeasuresByName(t *testing.T) {
	b := testBench(t)
	b.only = "group"
	all := b.measures()
	if len(all) != len(b.places()) || all[0].name != "group" {
		t.Errorf("BENCH_ONLY=group runs %d measures, the first is %q", len(all), all[0].name)
	}
	b.only = ""
	for _, m := range b.measures() {
		if m.name == "peers" {
			t.Error("peers are measured unasked")
		}
	}
}

// A binary that ends at once must be an error, at once, with what it said.
func TestBrokenProcGuard(t *testing.T) {
	b := testBench(t)
	b.procguard = script(t, "echo this one is broken >&2; exit 3")
	from := time.Now()
	_, err := b.start(asChild, 1, fleet{})
	if err == nil || !strings.Contains(err.Error(), "this one is broken") {
		t.Errorf("start: %v; want what it said last", err)
	}
	if d := time.Since(from); d > patience/2 {
		t.Errorf("took %v", d)
	}
}

func TestBadExitIsAnError(t *testing.T) {
	b := testBench(t)
	b.procguard = script(t, `trap "exit 7" TERM; `+b.worker[0]+` & wait`)
	g, err := b.start(asChild, 1, fleet{})
	if err != nil {
		t.Fatal(err)
	}
	pids, err := g.workers()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(pids[0], syscall.SIGKILL) }() // nobody else's now
	var exit *exec.ExitError
	if _, err := g.stop(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("stop: %v; want exit code 7", err)
	}
}

func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "procguard")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// The whole program on the real binary, with as few rounds as there can be.
func TestBench(t *testing.T) {
	bin := os.Getenv("PROCGUARD")
	if _, err := os.Stat(bin); err != nil {
		t.Skip("needs $PROCGUARD, the binary to be measured: make test sets it")
	}
	b := testBench(t)
	b.procguard = bin
	var out strings.Builder
	table := newTable(&out)
	for _, h := range b.places() {
		err := errors.Join(b.single(h, table), b.group(h, table))
		if errors.Is(err, syscall.EPERM) {
			t.Skip("needs permission to make a PID namespace")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	u, err := b.rest(2, fleet{unlooked: true})
	if err != nil || u.rss <= 0 {
		t.Fatalf("at rest: %+v, %v", u, err)
	}
	for _, want := range []string{"detected", "first instruction", "all running again"} {
		if n := strings.Count(out.String(), want); n != len(b.places()) {
			t.Errorf("%q is there %d times in\n%s", want, n, out.String())
		}
	}
}
