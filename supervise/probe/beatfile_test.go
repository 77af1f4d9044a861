package probe

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func touch(tb testing.TB, path string) {
	tb.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		tb.Fatal(err)
	}
	f.Close()
}

// apart is longer than the time between two reports.
const apart = maxBeatRate + 20*time.Millisecond

// TestWaysToTouch: whatever a worker does to its file is a heartbeat.
func TestWaysToTouch(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "w.heartbeat")
	p, h := realProber(t, Options{BeatDir: dir})
	p.Watch(Subject{Worker: "w", Gen: 1, PID: 1, HeartbeatFile: path})
	ways := []struct {
		name string
		do   func() error
	}{
		{"create", func() error { touch(t, path); return nil }},
		{"open and close for writing", func() error { touch(t, path); return nil }},
		{"set times", func() error { return os.Chtimes(path, time.Now(), time.Now()) }},
		{"set times to long ago", func() error { return os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0)) }},
		{"write", func() error { return os.WriteFile(path, []byte("step 7\n"), 0o644) }},
		{"rename onto it", func() error {
			tmp := filepath.Join(dir, "tmp")
			touch(t, tmp)
			return os.Rename(tmp, path)
		}},
	}
	for _, way := range ways {
		time.Sleep(apart)
		before := h.beatsOf("w")
		if err := way.do(); err != nil {
			t.Fatal(err)
		}
		within(t, way.name, func() bool { return h.beatsOf("w") > before })
	}
	before := h.beatsOf("w")
	touch(t, filepath.Join(dir, "other.heartbeat"))
	time.Sleep(apart)
	if n := h.beatsOf("w"); n != before {
		t.Errorf("another's file gave %d heartbeats", n-before)
	}
}

// TestPolledFilesSeeTheSame, without inotify.
func TestPolledFilesSeeTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "beat")
	synctest.Test(t, func(t *testing.T) {
		p, h := startProber(t, Options{Interval: time.Second}, newFakeProcfs(), network{})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, HeartbeatFile: path})
		time.Sleep(time.Minute + 500*time.Millisecond) // between two polls
		if n := h.beatsOf("w"); n != 0 {
			t.Fatalf("%d heartbeats without a file", n)
		}
		for i := range 5 {
			touch(t, path)
			if err := os.Chtimes(path, time.Unix(int64(i), 0), time.Unix(int64(i), 0)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
			if n := h.beatsOf("w"); n != i+1 {
				t.Errorf("%d heartbeats after %d touches", n, i+1)
			}
		}
		p.Unwatch("w", 1)
		touch(t, path)
		time.Sleep(10 * time.Second)
		if n := h.beatsOf("w"); n != 5 {
			t.Errorf("%d heartbeats, the last after Unwatch", n)
		}
	})
}

// TestHeartbeatBeforeWatch: between the start of a process and Watch it may have
// given its only heartbeat.
func TestHeartbeatBeforeWatch(t *testing.T) {
	for _, restored := range []bool{false, true} {
		dir := t.TempDir()
		path := filepath.Join(dir, "w.heartbeat")
		p, h := realProber(t, Options{BeatDir: dir})
		touch(t, path)
		time.Sleep(5 * breather) // its events are read, and are nobody's
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 1, HeartbeatFile: path, ReadyHeartbeat: true, Restored: restored})
		if !restored {
			within(t, "ready", func() bool { return strings.Join(h.all(), ", ") == "ready w/1, beat w/1" })
			continue
		}
		time.Sleep(apart)
		if calls := h.all(); len(calls) != 0 {
			t.Errorf("the old file of a worker that was taken over: %v", calls)
		}
		touch(t, path)
		within(t, "a new heartbeat", func() bool { return strings.Join(h.all(), ", ") == "beat w/1" })
	}
}

// event is one as inotify gives it.
func event(mask uint32, name string) []byte {
	size := (len(name) + 16) / 16 * 16
	b := make([]byte, unix.SizeofInotifyEvent+size)
	binary.NativeEndian.PutUint32(b[4:], mask)
	binary.NativeEndian.PutUint32(b[12:], uint32(size))
	copy(b[unix.SizeofInotifyEvent:], name)
	return b
}

// TestEventOfThePredecessor that waited in the queue until the successor was watched.
func TestEventOfThePredecessor(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "w")
	p, h := realProber(t, Options{BeatDir: dir})
	p.Watch(Subject{Worker: "w", Gen: 2, PID: 1, HeartbeatFile: path, ReadyHeartbeat: true})
	if err := p.hear(event(unix.IN_ATTRIB, "w")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(apart)
	if calls := h.all(); len(calls) != 0 {
		t.Fatalf("a heartbeat without a file: %v", calls)
	}
	touch(t, path)
	within(t, "ready", func() bool { return len(h.all()) > 0 && h.all()[0] == "ready w/2" })
}

// TestLostEvents: after an overflow the files themselves are looked at.
func TestLostEvents(t *testing.T) {
	dir := t.TempDir()
	p, h := testProber(t, Options{BeatDir: dir}, newFakeProcfs(), network{})
	p.beats = &beatReader{} // as if it worked; nobody reads
	for _, w := range []string{"touched", "still", "absent"} {
		p.Watch(Subject{Worker: w, Gen: 1, PID: 7, HeartbeatFile: filepath.Join(dir, w)})
	}
	touch(t, filepath.Join(dir, "touched"))
	touch(t, filepath.Join(dir, "still"))
	p.turn()
	if len(h.all()) != 2 {
		t.Fatalf("calls %v", h.all())
	}
	time.Sleep(apart)
	touch(t, filepath.Join(dir, "touched"))
	if err := os.Chtimes(filepath.Join(dir, "touched"), time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := p.hear(event(unix.IN_Q_OVERFLOW, "")); err != nil {
		t.Fatal(err)
	}
	p.turn()
	if h.beatsOf("touched") != 2 || h.beatsOf("still") != 1 || h.beatsOf("absent") != 0 {
		t.Errorf("calls %v", h.all())
	}
}

func TestMalformedEvents(t *testing.T) {
	p, _ := testProber(t, Options{}, newFakeProcfs(), network{})
	good := event(unix.IN_ATTRIB, "somebody")
	if err := p.hear(append(good, good[:20]...)); err == nil {
		t.Error("an event that was cut off is accepted")
	}
	if err := p.hear(event(unix.IN_IGNORED, "")); !errors.Is(err, errDirGone) {
		t.Errorf("IN_IGNORED: %v", err)
	}
}

// TestManyHeartbeats of one worker: few reports, and the others are heard.
func TestManyHeartbeats(t *testing.T) {
	dir := t.TempDir()
	p, h := realProber(t, Options{BeatDir: dir})
	path := filepath.Join(dir, "flood")
	p.Watch(Subject{Worker: "flood", Gen: 1, PID: 1, HeartbeatFile: path})
	p.Watch(Subject{Worker: "other", Gen: 1, PID: 1, HeartbeatFile: filepath.Join(dir, "other")})
	start := time.Now()
	for n := 0; time.Since(start) < 500*time.Millisecond; n++ {
		touch(t, path)
		if n == 1000 {
			touch(t, filepath.Join(dir, "other"))
		}
	}
	within(t, "the other one", func() bool { return h.beatsOf("other") > 0 })
	most := int(time.Since(start)/maxBeatRate) + 1
	if n := h.beatsOf("flood"); n < 1 || n > most {
		t.Errorf("%d reports, want 1 to %d", n, most)
	}
}

// TestWithoutInotify: no directory to watch at first, or none any more. Files are
// polled, and that is logged once.
func TestWithoutInotify(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "run")
	path := filepath.Join(dir, "w")
	for _, before := range []bool{true, false} {
		if !before {
			if err := os.MkdirAll(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				t.Fatal(err)
			}
		}
		p, h := realProber(t, Options{BeatDir: dir, Interval: 10 * time.Millisecond})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 1, HeartbeatFile: path})
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		within(t, "polling", func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.polled == 1 && len(p.said) == 1
		})
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		touch(t, path)
		within(t, "heartbeat", func() bool { return h.beatsOf("w") > 0 })
		p.Close()
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}
