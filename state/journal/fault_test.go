package journal

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/state/journal/disk/disktest"
)

// Each way in which a write can fail, as a disk does it for good.
var failures = []struct {
	name string
	fail func(*disktest.Faulty)
}{
	{"write", func(f *disktest.Faulty) { f.Fail(disktest.Write, "", unix.ENOSPC) }},
	{"short write", func(f *disktest.Faulty) { f.Fail(disktest.Write, "", unix.ENOSPC); f.Short(25) }},
	{"short write, no truncate", func(f *disktest.Faulty) {
		f.Fail(disktest.Write, "", unix.EIO)
		f.Fail(disktest.Truncate, "", unix.EIO)
		f.Short(25)
	}},
	{"sync", func(f *disktest.Faulty) { f.Fail(disktest.Datasync, "", unix.EIO) }},
	{"sync of the segment only", func(f *disktest.Faulty) { f.Fail(disktest.Datasync, "jsonl", unix.EIO) }},
	{"read-only", func(f *disktest.Faulty) {
		for _, op := range []disktest.Op{disktest.Write, disktest.Create, disktest.Rename, disktest.Remove} {
			f.Fail(op, "", unix.EROFS)
		}
	}},
	{"append and rename", func(f *disktest.Faulty) {
		f.Fail(disktest.Write, segmentName(1), unix.EIO)
		f.Fail(disktest.Rename, "jsonl", unix.EIO)
	}},
	{"append and sync of the directory", func(f *disktest.Faulty) {
		f.Fail(disktest.Write, segmentName(1), unix.EIO)
		f.Fail(disktest.SyncDir, "", unix.EIO)
	}},
}

func TestDiskFailsAndHeals(t *testing.T) {
	for _, row := range failures {
		t.Run(row.name, func(t *testing.T) {
			var disk disktest.Faulty
			var log spy
			dir := t.TempDir()
			o := open(t, dir, Options{FS: &disk, Log: log.log})
			o.epochs(3)
			row.fail(&disk)
			for range 20 {
				_ = o.do(true, state.Record{Kind: state.KindEpoch, Epoch: o.snap.Seq + 1})
				o.serve()
				time.Sleep(time.Millisecond)
			}
			if err := o.do(true, state.Record{Kind: state.KindEpoch, Epoch: o.snap.Seq + 1}); !errors.Is(err, ErrDegraded) {
				t.Fatalf("append gives %v", err)
			}
			ok, why, since := o.j.Health()
			if ok || !strings.Contains(why, dir) || since.IsZero() {
				t.Errorf("health is %v %q %v", ok, why, since)
			}
			if snap, err := Read(dir); err != nil || snap.Seq < 3 || snap.Epoch != snap.Seq {
				t.Errorf("on the disk is %+v, %v", snap, err)
			}
			disk.Heal()
			o.until("healing", o.healthy)
			o.epochs(2)
			want := o.snap.Clone()
			o.die()
			o = open(t, dir, Options{})
			defer o.close()
			same(t, o.snap, want)
			if n := len(log.all()); n != 2 {
				t.Errorf("said %q", log.all())
			}
		})
	}
}

// A failed sync is never asked for again on the same file: the second answer
// would be a lie.
func TestFailedSyncPoisonsTheSegment(t *testing.T) {
	var disk disktest.Faulty
	o := open(t, t.TempDir(), Options{FS: &disk})
	first := onlySegment(t, o.j.dir)
	disk.Fail(disktest.Datasync, filepath.Base(first), unix.EIO)
	if err := o.do(true, sample()...); !errors.Is(err, ErrDegraded) {
		t.Fatalf("append gives %v", err)
	}
	syncs := disk.Count(disktest.Datasync)
	disk.Heal()
	if err := o.do(true, state.Record{Kind: state.KindEpoch, Epoch: 1}); !errors.Is(err, ErrDegraded) || disk.Count(disktest.Datasync) != syncs {
		t.Errorf("append gives %v after %d syncs, then %d", err, syncs, disk.Count(disktest.Datasync))
	}
	o.until("healing", o.healthy)
	o.until("removal", func() bool { return onlyPath(t, o.j.dir) != first })
	o.close()
}

func onlyPath(t *testing.T, dir string) string {
	t.Helper()
	paths, err := segmentPaths(dir)
	if err != nil || len(paths) != 1 {
		return ""
	}
	return paths[0]
}

// Retries come at once, then ever more rarely: a dead disk costs no time.
func TestRetriesBackOff(t *testing.T) {
	var disk disktest.Faulty
	o := open(t, t.TempDir(), Options{FS: &disk})
	disk.Fail(disktest.Write, "", unix.EIO)
	_ = o.do(true, sample()...)
	if !o.j.Wants() {
		t.Error("no try at once")
	}
	start, tries := time.Now(), disk.Count(disktest.Create)
	for time.Since(start) < 800*time.Millisecond {
		o.serve()
		time.Sleep(time.Millisecond)
	}
	if n := disk.Count(disktest.Create) - tries; n < 2 || n > 6 {
		t.Errorf("%d tries in 0.8 s", n)
	}
	if at, ok := o.j.Due(); !ok || time.Until(at) > longTry {
		t.Errorf("next try at %v, %v", at, ok)
	}
	disk.Heal()
	o.close()
}

// Only state.json fails: records are durable all the same.
func TestMirrorFailsAlone(t *testing.T) {
	var disk disktest.Faulty
	o := open(t, t.TempDir(), Options{FS: &disk})
	disk.Fail(disktest.Create, MirrorName, unix.EACCES)
	o.until("degrading", func() bool { return !o.healthy() })
	o.epochs(3)
	if _, why, _ := o.j.Health(); !strings.Contains(why, "permission denied") {
		t.Errorf("why is %q", why)
	}
	disk.Heal()
	o.until("healing", o.healthy)
	o.close()
}

func TestStalledDisk(t *testing.T) {
	var disk disktest.Faulty
	var log spy
	dir := t.TempDir()
	o := open(t, dir, Options{FS: &disk, Log: log.log, SyncTimeout: 200 * time.Millisecond})
	o.epochs(2)
	disk.Stall()
	start := time.Now()
	for i := range 200 {
		if err := o.do(true, state.Record{Kind: state.KindEpoch, Epoch: o.snap.Seq + 1}); !errors.Is(err, ErrDegraded) {
			t.Fatalf("append %d gives %v", i, err)
		}
		o.serve()
	}
	// One wait of 200 ms for all of them; two hundred would be 40 s.
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("200 appends took %v", d)
	}
	if o.j.Durable() != 2 || o.healthy() {
		t.Errorf("durable %d, healthy %v", o.j.Durable(), o.healthy())
	}
	drainSignal(o.j)
	disk.Heal()
	select {
	case <-o.j.Notify():
	case <-time.After(20 * time.Second):
		t.Error("no notice of the healing")
	}
	o.until("catching up", func() bool { return o.healthy() && o.j.Durable() == o.snap.Seq })
	want := o.snap.Clone()
	o.die()
	o = open(t, dir, Options{})
	defer o.close()
	same(t, o.snap, want)
	if msgs := log.all(); len(msgs) != 2 {
		t.Errorf("said %q", msgs)
	}
}

func drainSignal(j *Journal) {
	select {
	case <-j.Notify():
	default:
	}
}

// A disk that stalls for long costs a bounded queue, then one snapshot.
func TestStallBeyondTheQueue(t *testing.T) {
	for _, late := range []bool{false, true} {
		var disk disktest.Faulty
		dir := t.TempDir()
		o := open(t, dir, Options{FS: &disk, SyncTimeout: 200 * time.Millisecond, MaxQueue: 2000, MaxSegment: 100})
		o.epochs(3)
		if late { // a new segment is under way when the stall begins
			settle(o)
		}
		disk.Stall()
		for range 200 {
			_ = o.do(true, state.Record{Kind: state.KindEpoch, Epoch: o.snap.Seq + 1})
			if late {
				o.serve()
			}
		}
		o.j.mu.Lock()
		queued := len(o.j.pending) + len(o.j.tail)
		o.j.mu.Unlock()
		if queued > 2*2000 {
			t.Errorf("%d bytes are queued", queued)
		}
		disk.Heal()
		o.until("healing", func() bool { return o.healthy() && o.j.Durable() == o.snap.Seq })
		_ = o.do(true, state.Record{Kind: state.KindEpoch, Epoch: 1})
		o.until("the last record", func() bool { return o.j.Durable() == o.snap.Seq })
		want := o.snap.Clone()
		o.die()
		o = open(t, dir, Options{})
		same(t, o.snap, want)
		o.close()
	}
}

// A disk that is slow without standing still holds up a recovery by
// SyncTimeout in all, not by each of its appends.
func TestSlowDiskIsWaitedForOnce(t *testing.T) {
	var c credit
	c.left = 500 * time.Millisecond
	now := time.Unix(1000, 0)
	var waited time.Duration
	for range 10 {
		wait := min(c.take(now, 500*time.Millisecond), 200*time.Millisecond)
		if wait <= 0 {
			continue
		}
		waited += wait
		now = now.Add(wait)
		c.spend(now, wait, 500*time.Millisecond)
	}
	if waited > 700*time.Millisecond {
		t.Errorf("waited %v", waited)
	}
	if got := c.take(now.Add(10*time.Second), 500*time.Millisecond); got != 500*time.Millisecond {
		t.Errorf("after 10 s the credit is %v", got)
	}
	for range 1000 { // a sound disk costs no credit, however busy it is
		now = now.Add(5 * time.Millisecond)
		c.spend(now, 5*time.Millisecond, 500*time.Millisecond)
	}
	if got := c.take(now, 500*time.Millisecond); got != 500*time.Millisecond {
		t.Errorf("after 1000 quick writes the credit is %v", got)
	}
}

func TestCloseOfAStalledDisk(t *testing.T) {
	var disk disktest.Faulty
	o := open(t, t.TempDir(), Options{FS: &disk, SyncTimeout: 20 * time.Millisecond})
	disk.Stall()
	_ = o.do(true, sample()...)
	start := time.Now()
	err := o.j.Close(o.snap.Clone())
	if !errors.Is(err, ErrDegraded) || time.Since(start) > 10*time.Second {
		t.Errorf("close gives %v after %v", err, time.Since(start))
	}
	disk.Heal()
	<-o.j.stopped
}

// A failing disk at Close is the last chance: the final snapshot alone saves all.
func TestCloseWhileDegraded(t *testing.T) {
	var disk disktest.Faulty
	dir := t.TempDir()
	o := open(t, dir, Options{FS: &disk})
	disk.Fail(disktest.Write, "jsonl", unix.EIO)
	_ = o.do(true, sample()...)
	o.close()
	if snap, err := Read(dir); err != nil || snap.Seq != o.snap.Seq {
		t.Errorf("read %+v, %v", snap, err)
	}
	o = open(t, dir, Options{FS: &disk}) // cannot begin a segment: degraded
	if o.healthy() || o.snap.Seq != uint64(len(sample())) {
		t.Errorf("healthy %v, state %d", o.healthy(), o.snap.Seq)
	}
	disk.Fail(disktest.Write, "", unix.EIO)
	_ = o.do(true, state.Record{Kind: state.KindEpoch, Epoch: 1})
	if err := o.j.Close(o.snap.Clone()); !errors.Is(err, ErrDegraded) {
		t.Errorf("close gives %v", err)
	}
}

func TestNotWritable(t *testing.T) {
	dir := t.TempDir()
	o := open(t, dir, Options{})
	o.must(true, sample()...)
	o.close()
	for _, op := range []disktest.Op{disktest.Mkdir, disktest.Create} {
		var disk disktest.Faulty
		disk.Fail(op, "", unix.EROFS)
		_, _, err := Open(dir, Options{FS: &disk})
		var nw *NotWritableError
		if !errors.As(err, &nw) || nw.Snapshot == nil || !errors.Is(err, unix.EROFS) {
			t.Fatalf("%s: error is %v", op, err)
		}
		same(t, nw.Snapshot, o.snap)
	}
	file := filepath.Join(dir, MirrorName)
	var nw *NotWritableError
	if _, _, err := Open(filepath.Join(file, "x"), Options{}); !errors.As(err, &nw) || nw.Snapshot != nil {
		t.Errorf("a path below a file gives %v", err)
	}
	open(t, dir, Options{}).close() // no lock was left behind
}
