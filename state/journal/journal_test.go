package journal

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/procguard/procguard/state"
)

func TestReopenFindsEverything(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "here")
	o := open(t, dir, Options{})
	same(t, o.snap, state.New())
	o.must(true, sample()...)
	if got := o.j.Durable(); got != o.snap.Seq {
		t.Errorf("durable is %d, want %d", got, o.snap.Seq)
	}
	want := o.snap.Clone()
	o.die() // no Close: what Append returned nil for is there
	o = open(t, dir, Options{})
	same(t, o.snap, want)
	o.epochs(3)
	want = o.snap.Clone()
	o.close()
	o = open(t, dir, Options{})
	same(t, o.snap, want)
	o.close()
	if err := o.j.Append(nil, true); !errors.Is(err, ErrClosed) {
		t.Errorf("append after close gives %v", err)
	}
	if err := o.j.Close(nil); !errors.Is(err, ErrClosed) {
		t.Errorf("second close gives %v", err)
	}
}

// A restart leaves one segment, whatever it found.
func TestRestartsDoNotPileUpFiles(t *testing.T) {
	dir := t.TempDir()
	for range 5 {
		o := open(t, dir, Options{})
		o.epochs(2)
		o.die()
		onlySegment(t, dir)
	}
	write(t, dir, "journal-x.jsonl.tmp", "left by a crash")
	o := open(t, dir, Options{})
	defer o.close()
	if exists(dir, "journal-x.jsonl.tmp") {
		t.Error("a temporary file was left")
	}
	if o.snap.Epoch != 10 {
		t.Errorf("epoch is %d, want 10", o.snap.Epoch)
	}
}

func TestFilesAreForJQ(t *testing.T) {
	jq, err := exec.LookPath("jq")
	if err != nil {
		t.Skip("needs jq")
	}
	dir := t.TempDir()
	o := open(t, dir, Options{})
	o.must(true, sample()...)
	o.close()
	for query, file := range map[string]string{
		`.workers.w0.restart_count`:         MirrorName,
		`if has("c") then 0 else error end`: filepath.Base(onlySegment(t, dir)),
	} {
		out, err := exec.Command(jq, "-c", query, filepath.Join(dir, file)).CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "0\n") {
			t.Errorf("jq %s %s: %s %v", query, file, out, err)
		}
	}
}

func TestStateJSONIsForPeople(t *testing.T) {
	dir := t.TempDir()
	o := open(t, dir, Options{})
	o.must(true, sample()...)
	o.close()
	data, err := os.ReadFile(filepath.Join(dir, MirrorName))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), "\n    \"w0\": {\n") || strings.Contains(string(data), `\u003c`) {
		t.Errorf("not indented, or escaped:\n%s", data)
	}
	var got state.Snapshot
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	same(t, &got, o.snap)
}

func TestSecondOpenerIsToldWho(t *testing.T) {
	dir := t.TempDir()
	o := open(t, dir, Options{})
	_, _, err := Open(dir, Options{})
	var locked *LockedError
	if !errors.As(err, &locked) {
		t.Fatalf("second open gives %v", err)
	}
	if locked.PID != os.Getpid() || !locked.Here || !strings.Contains(err.Error(), "is in use by procguard pid ") {
		t.Errorf("error is %q %+v", err, locked)
	}
	if snap, err := Read(dir); err != nil || snap.Seq != 0 {
		t.Errorf("Read beside a writer gives %v, %v", snap, err)
	}
	o.close()
	open(t, dir, Options{}).close()
}

func TestAppendWantsOrder(t *testing.T) {
	o := open(t, t.TempDir(), Options{})
	defer o.close()
	o.epochs(2)
	for _, recs := range [][]state.Record{{{Seq: 2}}, {{Seq: 4}}, {{Seq: 3}, {Seq: 5}}} {
		var seq *SequenceError
		if err := o.j.Append(recs, true); !errors.As(err, &seq) {
			t.Errorf("append of %v gives %v", recs, err)
		}
	}
	if err := o.j.Offer(state.New()); err == nil {
		t.Error("a stale snapshot was taken")
	}
	o.epochs(1) // the order goes on where it was
}

// What cannot be encoded must not be lost without a word, nor wedge the journal.
func TestUnencodableRecordIsHealedBySnapshot(t *testing.T) {
	o := open(t, t.TempDir(), Options{})
	err := o.do(true, state.Record{Kind: state.KindEpoch, Epoch: 1, Extra: json.RawMessage("{")})
	if err == nil || o.healthy() {
		t.Fatalf("append gives %v, healthy %v", err, o.healthy())
	}
	o.until("healing", o.healthy)
	o.epochs(1)
	dir := o.j.dir
	o.die()
	if snap, err := Read(dir); err != nil || snap.Epoch != 2 {
		t.Errorf("read %+v, %v", snap, err)
	}
}

func TestSnapshotIsDueAfterChanges(t *testing.T) {
	now := time.Now()
	o := open(t, t.TempDir(), Options{Now: func() time.Time { return now }})
	defer o.close()
	o.until("the first state.json", func() bool { return exists(o.j.dir, MirrorName) })
	settle(o)
	if at, ok := o.j.Due(); ok {
		t.Fatalf("due at %v although nothing changed", at)
	}
	o.epochs(1)
	at, ok := o.j.Due()
	if !ok || at.Sub(now) <= 0 || o.j.Wants() {
		t.Fatalf("due %v %v, wants %v", at.Sub(now), ok, o.j.Wants())
	}
	// Changes that go on put it off, but not for ever.
	start := now
	for !o.j.Wants() {
		o.epochs(1)
		now = now.Add(50 * time.Millisecond)
	}
	if d := now.Sub(start); d < time.Second || d > maxStale+100*time.Millisecond {
		t.Errorf("state.json became due after %v", d)
	}
	o.serve()
	settle(o)
	if _, ok := o.j.Due(); ok {
		t.Error("due again although nothing changed")
	}
}

// settle waits for the background write to end.
func settle(o *owner) {
	o.t.Helper()
	o.j.pub.wait.Wait()
	o.until("the writer's rest", func() bool {
		o.j.mu.Lock()
		defer o.j.mu.Unlock()
		return !o.j.replacing && len(o.j.pending) == 0
	})
}

func TestSnapshotsOfASlowDiskAreRare(t *testing.T) {
	var p publishing
	at := time.Unix(1000, 0)
	p.changed(at)
	p.ended, p.cost = at, time.Second
	if got := p.next().Sub(at); got != 10*time.Second {
		t.Errorf("after a write of 1 s the next is due in %v", got)
	}
	p.cost = time.Hour
	if got := p.next().Sub(at); got != maxPause {
		t.Errorf("after a write of 1 h the next is due in %v", got)
	}
}

// Long journals are cut while records keep coming, and none is lost.
func TestLongSegmentIsReplaced(t *testing.T) {
	dir := t.TempDir()
	o := open(t, dir, Options{MaxSegment: 4000})
	first := onlySegment(t, dir)
	for range 3000 {
		o.must(false, state.Record{Kind: state.KindEpoch, Epoch: o.snap.Seq + 1})
		o.serve()
	}
	settle(o)
	if exists(dir, filepath.Base(first)) {
		t.Error("the first segment is still there")
	}
	want := o.snap.Clone()
	o.die()
	if size := fileSize(t, onlySegment(t, dir)); size > 200000 {
		t.Errorf("the segment has %d bytes", size)
	}
	o = open(t, dir, Options{})
	defer o.close()
	same(t, o.snap, want)
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}

// A reader sees some prefix of what is being written, never an error.
func TestReadBesideAWriter(t *testing.T) {
	dir := t.TempDir()
	o := open(t, dir, Options{MaxSegment: 2000})
	done := make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		var last uint64
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			snap, err := Read(dir)
			if err == nil && snap.Seq < last {
				err = errors.New("state went back")
			}
			if err != nil {
				done <- err
				return
			}
			last = snap.Seq
		}
	}()
	for range 2000 {
		o.must(false, state.Record{Kind: state.KindEpoch, Epoch: 1})
		o.serve()
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
	o.close()
}

func TestReadOfNothing(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Join(dir, "missing")} {
		if _, err := Read(d); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Read(%s) gives %v", d, err)
		}
	}
}

func TestMemory(t *testing.T) {
	var log spy
	j := OpenMemory(state.New(), "no volume", Options{Log: log.log})
	o := &owner{t, j, state.New()}
	if err := o.do(true, sample()...); !errors.Is(err, ErrDegraded) || !strings.Contains(err.Error(), "no volume") {
		t.Errorf("append gives %v", err)
	}
	if _, ok := j.Due(); ok || j.Wants() || j.Durable() != 0 {
		t.Error("a journal without a volume wants something")
	}
	if err := j.Offer(o.snap.Clone()); err != nil {
		t.Error(err)
	}
	if err := j.Close(o.snap); err != nil {
		t.Error(err)
	}
	if len(log.all()) != 1 {
		t.Errorf("log is %q", log.all())
	}
}
