package incident

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/state/journal/disk/disktest"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("/dev/shm", "incident-test")
	if err != nil {
		goleak.VerifyTestMain(m)
	}
	os.Setenv("TMPDIR", dir) // a real disk may stall for longer than a test should take
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

func finish(t *testing.T, i *Incidents) {
	t.Helper()
	if err := i.Close(20 * time.Second); err != nil {
		t.Fatal(err)
	}
}

func sample(n uint64) *Incident {
	return &Incident{
		Number: n, Group: "default", TimeMS: 1700000000000, Epoch: 2, Attempt: 1,
		Cause:   &state.Cause{Kind: state.CauseSignal, Signal: "SIGKILL"},
		Culprit: "w0", Culprits: []string{"w0"}, Victims: []string{"w1"},
		Workers: []Worker{{WorkerID: "w0", Generation: 3, Role: "culprit", Usage: &Usage{UserMS: 5}, Tail: []string{"a < b", "boom"}}},
		Phases:  []Phase{{Phase: state.Detected, TimeMS: 1700000000000}, {Phase: state.StopAll, TimeMS: 1700000000001, SinceMS: 0.8}},
		Moves:   []Move{{TaskID: "t0", From: "w0", To: "w1"}},
		Outcome: Open,
	}
}

func TestSaveAndLoad(t *testing.T) {
	dir := t.TempDir()
	i := New(dir, Options{})
	want := sample(7)
	if !i.Save(want) || !i.Write(7, "w0.stderr", []byte("boom\n")) || !i.Write(7, "../../w1/..", []byte("x")) || !i.Write(7, "w1/stack", []byte("x")) {
		t.Fatal("not taken")
	}
	want.Outcome = Recovered
	i.Save(want)
	finish(t, i)
	got, err := Load(dir, 7)
	if err != nil {
		t.Fatal(err)
	}
	want.Version, want.Files = Version, []string{"_.._w1_..", "w0.stderr", "w1/stack"}
	if g, w := mustJSON(t, got), mustJSON(t, want); g != w {
		t.Errorf("got  %s\nwant %s", g, w)
	}
	data, err := os.ReadFile(filepath.Join(dir, "incidents", "000007", FileName))
	if err != nil || !bytes.Contains(data, []byte("\n  \"cause\": {")) || !bytes.Contains(data, []byte("a < b")) {
		t.Errorf("file is %s, %v", data, err)
	}
	if i.Write(7, "late", nil) {
		t.Error("taken after Close")
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestNames(t *testing.T) {
	rows := map[string]string{
		"a.log": "a.log", "": "_", ".": "_", "..": "_", "/etc/passwd": "_etc_passwd", "../x": "_x", ".hidden": "hidden",
		"x.tmp": "x", "a\x00b\n": "a_b_", "w0/stack": "w0/stack", "w\n0/x.tmp": "w_0/x", "w0/": "w0_", "w0/..": "w0_..", "./x": "_x",
		"w0/a/b": "w0_a_b", strings.Repeat("n", 300): strings.Repeat("n", 200),
	}
	for name, want := range rows {
		if got := safePath(name); got != want {
			t.Errorf("safePath(%q) is %q, want %q", name, got, want)
		}
	}
	if got := Path("/s", 1234567); got != "/s/incidents/1234567" {
		t.Errorf("path is %s", got)
	}
}

func TestListSurvivesStrangers(t *testing.T) {
	dir := t.TempDir()
	if list, err := List(dir); err != nil || len(list) != 0 {
		t.Errorf("list of nothing is %v, %v", list, err)
	}
	i := New(dir, Options{})
	i.Save(sample(2))
	i.Save(sample(10))
	i.Write(3, "only-evidence", []byte("x"))
	finish(t, i)
	for _, name := range []string{"x", "00002", "0000002"} {
		if err := os.Mkdir(filepath.Join(dir, folder, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(Path(dir, 10), FileName), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	list, err := List(dir)
	if err != nil || len(list) != 3 {
		t.Fatalf("list is %v, %v", list, err)
	}
	if list[0].Number != 2 || list[0].Culprit != "w0" || list[1].Number != 3 || len(list[1].Notes) != 1 || list[2].Number != 10 || len(list[2].Notes) != 1 {
		t.Errorf("list is %s", mustJSON(t, list))
	}
	if _, err := Load(dir, 99); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("load of a missing one gives %v", err)
	}
}

func TestOldestAreRemoved(t *testing.T) {
	dir := t.TempDir()
	i := New(dir, Options{Keep: 3})
	for n := uint64(1); n <= 10; n++ {
		inc := sample(n)
		if n != 2 {
			inc.Outcome = Recovered
		}
		i.Save(inc)
	}
	finish(t, i)
	got, err := numbers(dir)
	if err != nil || !slices.Equal(got, []uint64{2, 9, 10}) {
		t.Errorf("kept are %v, %v", got, err)
	}
	// Another process knows 2 as closed, and leaves the newest whatever it is.
	i = New(dir, Options{Keep: 1})
	i.Write(10, "more", []byte("x"))
	finish(t, i)
	if got, _ := numbers(dir); !slices.Equal(got, []uint64{10}) {
		t.Errorf("kept are %v", got)
	}
}

func TestLongFilesLoseTheirMiddle(t *testing.T) {
	dir := t.TempDir()
	i := New(dir, Options{MaxFile: 1000})
	data := append(bytes.Repeat([]byte("a"), 5000), bytes.Repeat([]byte("z"), 5000)...)
	i.Write(1, "log", data)
	i.Write(1, "fits", data[:1000])
	finish(t, i)
	got, err := os.ReadFile(filepath.Join(Path(dir, 1), "log"))
	if err != nil || len(got) > 1000 || got[0] != 'a' || got[len(got)-1] != 'z' || !bytes.Contains(got, []byte("... 9000 bytes left out ...")) {
		t.Errorf("%d bytes: %.80q..., %v", len(got), got, err)
	}
	if got, _ := os.ReadFile(filepath.Join(Path(dir, 1), "fits")); !bytes.Equal(got, data[:1000]) {
		t.Error("a file of the greatest size was changed")
	}
}

func TestLongDescriptionStaysJSON(t *testing.T) {
	dir := t.TempDir()
	i := New(dir, Options{MaxFile: 2000})
	long := sample(1)
	long.Workers[0].Tail = []string{strings.Repeat("x", 3000)}
	i.Save(long)
	wide := sample(2)
	for k := range 100 {
		wide.Workers = append(wide.Workers, Worker{WorkerID: fmt.Sprint(k)})
	}
	i.Save(wide)
	finish(t, i)
	if got, err := Load(dir, 1); err != nil || len(got.Workers) != 1 || got.Workers[0].Tail != nil || len(got.Notes) != 1 {
		t.Errorf("long: %v %s", err, mustJSON(t, got))
	}
	if got, err := Load(dir, 2); err != nil || len(got.Workers) != 0 || len(got.Notes) != 2 || got.Culprit != "w0" {
		t.Errorf("wide: %v %s", err, mustJSON(t, got))
	}
	if len(long.Workers[0].Tail) != 1 {
		t.Error("the caller's incident was changed")
	}
}

// A disk that stands still costs evidence and never the caller's time.
func TestStalledDisk(t *testing.T) {
	var disk disktest.Faulty
	dir := t.TempDir()
	i := New(dir, Options{FS: &disk, MaxQueue: 10000})
	disk.Stall()
	start := time.Now()
	taken := 0
	for k := range 1000 {
		if i.Write(1, fmt.Sprint("f", k), make([]byte, 100)) {
			taken++
		}
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("writing took %v", d)
	}
	if taken < 99 || taken > 101 || i.Dropped() != uint64(1000-taken) {
		t.Errorf("%d taken, %d dropped", taken, i.Dropped())
	}
	if err := i.Close(time.Millisecond); !errors.Is(err, ErrStuck) {
		t.Errorf("close gives %v", err)
	}
	disk.Heal()
	finish(t, i)
	entries, err := os.ReadDir(Path(dir, 1))
	if err != nil || len(entries) != taken {
		t.Errorf("%d files, %v", len(entries), err)
	}
}

// What was dropped is in the incident, and a newer description replaces one
// that still waits.
func TestDroppedEvidenceIsNoted(t *testing.T) {
	var disk disktest.Faulty
	dir := t.TempDir()
	i := New(dir, Options{FS: &disk, MaxQueue: 20000})
	disk.Stall()
	i.Write(1, "first", nil) // the writer is busy with it
	i.Write(1, "big", make([]byte, 30000))
	for range 100 {
		if !i.Save(sample(1)) {
			t.Fatal("a description was dropped although it replaces another")
		}
	}
	disk.Heal()
	finish(t, i)
	got, err := Load(dir, 1)
	if err != nil || len(got.Notes) != 1 || !strings.Contains(got.Notes[0], "1 files of evidence") {
		t.Errorf("%v %s", err, mustJSON(t, got))
	}
}

func TestFailingDisk(t *testing.T) {
	for _, op := range []disktest.Op{disktest.Mkdir, disktest.Create, disktest.Write, disktest.Datasync, disktest.Rename} {
		var disk disktest.Faulty
		dir := t.TempDir()
		i := New(dir, Options{FS: &disk})
		disk.Fail(op, "", unix.ENOSPC)
		i.Save(sample(1))
		waitFor(t, func() bool { return i.Dropped() == 1 })
		ok, why, since := i.Health()
		if ok || !strings.Contains(why, "no space") || since.IsZero() {
			t.Errorf("%s: health is %v %q %v", op, ok, why, since)
		}
		if entries, _ := os.ReadDir(Path(dir, 1)); len(entries) != 0 {
			t.Errorf("%s left %v", op, entries)
		}
		disk.Heal()
		i.Save(sample(1))
		finish(t, i)
		if ok, _, _ := i.Health(); !ok {
			t.Errorf("%s: not healed", op)
		}
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("did not happen")
		}
	}
}
