package journal

import (
	"fmt"
	"os"
	"testing"

	"github.com/procguard/procguard/state"
)

// BenchmarkAppend is what a record costs the loop, on a tmpfs: the way to the
// writer and back, without a disk's own time.
func BenchmarkAppend(b *testing.B) {
	for _, sync := range []bool{true, false} {
		for _, n := range []int{1, 64} {
			b.Run(fmt.Sprintf("sync=%v/records=%d", sync, n), func(b *testing.B) { benchmarkAppend(b, sync, n) })
		}
	}
}

func benchmarkAppend(b *testing.B, sync bool, n int) {
	dir, err := os.MkdirTemp("/dev/shm", "journal")
	if err != nil {
		b.Skipf("needs /dev/shm: %v", err)
	}
	defer os.RemoveAll(dir)
	j, snap, err := Open(dir, Options{})
	if err != nil {
		b.Fatal(err)
	}
	recs := make([]state.Record, n)
	b.ReportAllocs()
	for b.Loop() {
		for i := range recs {
			recs[i] = state.Record{Seq: snap.Seq + 1, Time: 1700000000000, Kind: state.KindStarted, Worker: "worker_0", Gen: 3, PID: 4711, Ticks: 123456}
			snap.Seq++
		}
		if err := j.Append(recs, sync); err != nil {
			b.Fatal(err)
		}
	}
	if err := j.Close(nil); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSnapshot is what an Offer costs: the loop pays for Clone, the
// background for the rest.
func BenchmarkSnapshot(b *testing.B) {
	for _, n := range []int{8, 500, 5000} {
		snap := state.New()
		for i := range n {
			id := fmt.Sprintf("worker_%d", i)
			r := state.Record{Seq: snap.Seq + 1, Kind: state.KindWorker, Worker: id, Group: "default"}
			if err := state.Apply(snap, &r); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(fmt.Sprintf("clone/workers=%d", n), func(b *testing.B) {
			for b.Loop() {
				_ = snap.Clone()
			}
		})
		b.Run(fmt.Sprintf("write/workers=%d", n), func(b *testing.B) {
			j := newJournal(b.TempDir(), Options{}.withDefaults(), 0)
			for b.Loop() {
				if err := j.writeMirror(snap); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
