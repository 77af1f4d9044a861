package journal

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/state"
)

// volume mounts a tmpfs of the given size.
func volume(t *testing.T, size string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "volume")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("needs to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// fill writes until the volume is full.
func fill(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return path
}

func TestFullVolume(t *testing.T) {
	dir := volume(t, "1m")
	var log spy
	o := open(t, dir, Options{Log: log.log})
	o.epochs(5)
	o.until("state.json", func() bool { return exists(dir, MirrorName) })
	settle(o)
	ballast := fill(t, dir)
	// The segment's last page still has room; then it is full.
	degraded := 0
	for range 2000 {
		err := o.do(true, state.Record{Kind: state.KindEpoch, Epoch: o.snap.Seq + 1})
		if errors.Is(err, ErrDegraded) {
			degraded++
		} else if err != nil {
			t.Fatal(err)
		}
		o.serve()
	}
	if degraded == 0 || o.healthy() {
		t.Fatal("a full volume was not noticed")
	}
	if snap, err := Read(dir); err != nil || snap.Seq < 5 || snap.Epoch != snap.Seq {
		t.Errorf("on the full volume is %+v, %v", snap, err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	o.until("healing", o.healthy)
	o.epochs(3)
	want := o.snap.Clone()
	o.die()

	fill(t, dir) // and full again at the start
	o = open(t, dir, Options{})
	same(t, o.snap, want)
	_ = o.do(true, state.Record{Kind: state.KindEpoch, Epoch: o.snap.Seq + 1})
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	o.until("healing", o.healthy)
	want = o.snap.Clone()
	o.close()
	o = open(t, dir, Options{})
	same(t, o.snap, want)
	o.close()
}

func TestReadOnlyVolume(t *testing.T) {
	dir := volume(t, "1m")
	o := open(t, dir, Options{})
	o.must(true, sample()...)
	o.close()
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	_, _, err := Open(dir, Options{})
	var nw *NotWritableError
	if !errors.As(err, &nw) || nw.Snapshot == nil {
		t.Fatalf("open of a read-only volume gives %v", err)
	}
	same(t, nw.Snapshot, o.snap)
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	open(t, dir, Options{}).close()
}
