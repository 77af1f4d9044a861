package journal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/procguard/procguard/state"
)

// history returns the snapshot after each record of sample, the first being
// the empty one.
func history(t *testing.T) []string {
	t.Helper()
	s := state.New()
	states := []string{text(t, s)}
	for _, r := range sample() {
		r.Seq = s.Seq + 1
		if err := state.Apply(s, &r); err != nil {
			t.Fatal(err)
		}
		states = append(states, text(t, s))
	}
	return states
}

// segmentOf returns the bytes of a segment that holds sample, and the length of
// its first line.
func segmentOf(t *testing.T) (data []byte, base int) {
	t.Helper()
	dir := t.TempDir()
	o := open(t, dir, Options{})
	o.must(true, sample()...)
	o.die()
	data, err := os.ReadFile(onlySegment(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	return data, bytes.IndexByte(data, '\n') + 1
}

// A kill in the middle of a write leaves any number of its bytes. Whatever the
// number, the state after some record is found, and the next process goes on.
func TestTruncationAtEveryByte(t *testing.T) {
	data, base := segmentOf(t)
	states := history(t)
	for n := base - 1; n <= len(data); n++ {
		dir := t.TempDir()
		write(t, dir, segmentName(1), string(data[:n]))
		whole := max(0, bytes.Count(data[:min(n+1, len(data))], []byte("\n"))-1) // a record counts without its newline too
		snap, err := Read(dir)
		if err != nil || text(t, snap) != states[whole] {
			t.Fatalf("%d bytes: %v; got %s, want %s", n, err, text(t, snap), states[whole])
		}
		if n%7 != 0 {
			continue // opening is slower than reading: a part will do
		}
		o := open(t, dir, Options{})
		o.must(false, state.Record{Kind: state.KindEpoch, Epoch: 77})
		o.die()
		if snap, err := Read(dir); err != nil || snap.Epoch != 77 || snap.Seq != uint64(whole)+1 {
			t.Fatalf("%d bytes: after another record: %v %+v", n, err, snap)
		}
	}
}

func TestTornTailIsKeptAside(t *testing.T) {
	data, _ := segmentOf(t)
	dir := t.TempDir()
	write(t, dir, segmentName(1), string(data)+`{"c":"0123`)
	var log spy
	o := open(t, dir, Options{Log: log.log})
	defer o.close()
	if got, _ := os.ReadFile(filepath.Join(dir, tornName)); string(got) != `{"c":"0123` {
		t.Errorf("%s has %q", tornName, got)
	}
	if msgs := log.all(); len(msgs) != 1 || !strings.Contains(msgs[0], "10 bytes cut off") {
		t.Errorf("log is %q", msgs)
	}
}

// Every single flipped bit is either made up for or an error; never a wrong
// state. The last record cannot be told from a torn one.
func TestBitFlips(t *testing.T) {
	data, _ := segmentOf(t)
	states := history(t)
	last, before := states[len(states)-1], states[len(states)-2]
	step := 7
	if os.Getenv("PROCGUARD_SOAK") != "" {
		step = 1
	}
	corrupt, torn := 0, 0
	dir := t.TempDir()
	for i := 0; i < len(data)*8; i += step {
		bad := bytes.Clone(data)
		bad[i/8] ^= 1 << (i % 8)
		write(t, dir, segmentName(1), string(bad))
		l, err := load(dir)
		var c *CorruptError
		switch {
		case errors.As(err, &c):
			corrupt++
		case err != nil:
			t.Fatalf("bit %d: %v", i, err)
		case text(t, l.snap) == before || (data[i/8] == '\n' && text(t, l.snap) == states[len(states)-3]):
			torn++ // without the newline between them the last two are one
		case text(t, l.snap) != last:
			t.Fatalf("bit %d gives another state: %s", i, text(t, l.snap))
		}
	}
	if corrupt == 0 || torn == 0 {
		t.Errorf("%d corrupt, %d torn: the test finds nothing", corrupt, torn)
	}
}

// With an intact state.json beside it, damage in a segment costs nothing.
func TestMirrorMakesUpForDamage(t *testing.T) {
	for _, part := range []string{"base", "record"} {
		dir := t.TempDir()
		o := open(t, dir, Options{})
		o.must(true, sample()...)
		want := o.snap.Clone()
		o.close()
		path := onlySegment(t, dir)
		data, _ := os.ReadFile(path)
		at := bytes.IndexByte(data, '\n') / 2
		if part == "record" {
			at = len(data) / 2
		}
		data[at] ^= 1
		write(t, dir, filepath.Base(path), string(data))
		o = open(t, dir, Options{})
		same(t, o.snap, want)
		o.close()
		if !exists(dir, filepath.Base(path)+".damaged") {
			t.Errorf("%s: the damaged segment was not kept", part)
		}
	}
}

func TestDamageInTheMiddle(t *testing.T) {
	data, base := segmentOf(t)
	data[base+40] ^= 1
	dir := t.TempDir()
	write(t, dir, segmentName(1), string(data))
	_, _, err := Open(dir, Options{})
	var c *CorruptError
	if !errors.As(err, &c) || c.Line != 2 || c.Offset != int64(base) || !strings.Contains(c.Hint(), "start afresh") {
		t.Fatalf("error is %v %+v", err, c)
	}
	if now, _ := os.ReadFile(filepath.Join(dir, segmentName(1))); !bytes.Equal(now, data) {
		t.Error("a refused segment was changed")
	}
	// With an older state.json, the hint says how to go on from it, and it works.
	old, err := (&encoder{}).encode(func() *state.Snapshot { s := state.New(); s.Epoch = 5; return s }())
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, MirrorName, string(old))
	_, _, err = Open(dir, Options{})
	if !errors.As(err, &c) || !strings.Contains(c.Hint(), "mv "+c.Path) {
		t.Fatalf("error is %v, hint %q", err, c.Hint())
	}
	if err := os.Rename(c.Path, c.Path+".damaged"); err != nil {
		t.Fatal(err)
	}
	o := open(t, dir, Options{})
	defer o.close()
	if o.snap.Epoch != 5 {
		t.Errorf("epoch is %d, want that of state.json", o.snap.Epoch)
	}
}

func TestDamagedMirrorIsRebuilt(t *testing.T) {
	for _, bad := range []string{"", "\n", "{", "null", `{"version":1,"workers":{"a":null}}`, "\x00\x00\x00"} {
		dir := t.TempDir()
		o := open(t, dir, Options{})
		o.must(true, sample()...)
		want := o.snap.Clone()
		o.close()
		write(t, dir, MirrorName, bad)
		o = open(t, dir, Options{})
		same(t, o.snap, want)
		o.close()
		got, err := os.ReadFile(filepath.Join(dir, MirrorName))
		if err != nil || !strings.Contains(string(got), `"w0"`) {
			t.Errorf("%q: state.json is %s, %v", bad, got, err)
		}
	}
}

func TestDamagedMirrorAlone(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, MirrorName, `{"workers": {"a`)
	_, _, err := Open(dir, Options{})
	var c *CorruptError
	if !errors.As(err, &c) || c.Hint() == "" {
		t.Errorf("error is %v", err)
	}
	write(t, dir, MirrorName, "")
	open(t, dir, Options{}).close() // nothing in it that could be lost
}

// Records that were never synced are gone after a power failure; state.json,
// which was, then leads.
func TestMirrorAheadOfTheJournal(t *testing.T) {
	dir := t.TempDir()
	o := open(t, dir, Options{})
	o.must(true, sample()...)
	want := o.snap.Clone()
	o.close()
	path := onlySegment(t, dir)
	data, _ := os.ReadFile(path)
	write(t, dir, filepath.Base(path), string(data[:len(data)-200]))
	o = open(t, dir, Options{})
	same(t, o.snap, want)
	o.epochs(1)
	o.die()
	if snap, err := Read(dir); err != nil || snap.Seq != want.Seq+1 {
		t.Errorf("read %v, %v", snap, err)
	}
}

// A crash between making a segment and removing the last one leaves both.
func TestTwoSegments(t *testing.T) {
	dir := t.TempDir()
	o := open(t, dir, Options{})
	o.must(true, sample()...)
	o.die()
	old := onlySegment(t, dir)
	data, _ := os.ReadFile(old)
	o = open(t, dir, Options{})
	o.epochs(2)
	want := o.snap.Clone()
	o.die()
	write(t, dir, filepath.Base(old), string(data))
	o = open(t, dir, Options{})
	same(t, o.snap, want)
	o.die()
	onlySegment(t, dir)

	// The newer one's base is damaged: the older one leads up to it.
	newer := onlySegment(t, dir)
	text, _ := os.ReadFile(newer)
	text[30] ^= 1
	write(t, dir, filepath.Base(newer), string(text)+"\n")
	write(t, dir, filepath.Base(old), string(data))
	if snap, err := Read(dir); err != nil || snap.Seq != uint64(len(sample())) {
		t.Errorf("read %+v, %v", snap, err)
	}
}

func FuzzLoad(f *testing.F) {
	dir := f.TempDir()
	o := &owner{t: f}
	j, snap, err := Open(dir, Options{})
	if err != nil {
		f.Fatal(err)
	}
	o.j, o.snap = j, snap
	o.must(true, sample()...)
	if err := j.Close(o.snap.Clone()); err != nil {
		f.Fatal(err)
	}
	seg, _ := os.ReadFile(filepath.Join(dir, segmentName(1)))
	mirror, _ := os.ReadFile(filepath.Join(dir, MirrorName))
	f.Add(seg, mirror)
	f.Add(seg[:len(seg)/2], []byte(original))
	f.Add([]byte("\n\n{}"), []byte(`{"version":99}`))
	f.Add([]byte(nil), []byte(`{"task_queue":[1,null,{"task_id":"a"},"a"],"workers":{"w":3}}`))
	f.Fuzz(func(t *testing.T, seg, mirror []byte) {
		l := &loaded{}
		if l.takeMirror(MirrorName, mirror) != nil {
			return
		}
		s, err := scanSegment(segmentName(1), seg)
		if err != nil {
			return
		}
		l.segments = append(l.segments, s)
		if err := l.choose(); err != nil {
			if text := err.Error(); text == "" || err.(*CorruptError).Hint() == "" {
				t.Fatalf("error %#v says nothing", err)
			}
			return
		}
		if err := l.snap.Validate(); err != nil {
			t.Fatalf("loaded state is invalid: %v", err)
		}
		_ = l.snap.Clone()
	})
}
