package sim

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/procguard/procguard/state"
)

// TestSameSeedSameWorld: a failure can only be replayed if everything comes
// from the seed.
func TestSameSeedSameWorld(t *testing.T) {
	for seed := range uint64(30) {
		var first, second bytes.Buffer
		Run(seed, Options{Workers: 12, Trace: &first})
		r := Run(seed, Options{Workers: 12, Trace: &second})
		if !bytes.Equal(plain(first.Bytes()), plain(second.Bytes())) {
			t.Fatalf("seed %d played differently the second time", seed)
		}
		if r.Steps == 0 || first.Len() == 0 {
			t.Fatalf("seed %d: nothing happened", seed)
		}
	}
}

// plain takes the addresses of ranks out of a trace.
func plain(trace []byte) []byte {
	var out []byte
	for _, word := range bytes.Fields(trace) {
		if !bytes.HasPrefix(word, []byte("Rank:0x")) {
			out = append(append(out, word...), ' ')
		}
	}
	return out
}

func TestQueueIsInOrder(t *testing.T) {
	d := newDice(1, 1)
	var q queue
	var want []time.Duration
	for i := range 2000 {
		at := time.Duration(d.IntN(300))
		want = append(want, at)
		q.push(job{at: at, how: i})
		if i%3 == 0 {
			j, _ := q.pop()
			i := slices.Index(want, slices.Min(want))
			if j.at != want[i] {
				t.Fatalf("popped %v, the first was %v", j.at, want[i])
			}
			want = slices.Delete(want, i, i+1)
		}
	}
	slices.Sort(want)
	last := job{at: -1}
	for _, at := range want {
		j, ok := q.pop()
		if !ok || j.at != at || (j.at == last.at && j.order < last.order) {
			t.Fatalf("popped %v after %v, want %v", j.at, last.at, at)
		}
		last = j
	}
	if _, ok := q.pop(); ok {
		t.Fatal("something was left")
	}
}

func epochs(from, to uint64) (recs []state.Record) {
	for n := from; n <= to; n++ {
		recs = append(recs, state.Record{Seq: n, Kind: state.KindEpoch, Epoch: n})
	}
	return recs
}

func TestDiskKeepsWhatIsDurable(t *testing.T) {
	for keep := range 11 {
		d := disk{base: state.New(), wire: keep%2 == 0}
		for _, part := range [][]state.Record{epochs(1, 3), epochs(4, 4), epochs(5, 10)} {
			if err := d.write(part); err != nil {
				t.Fatal(err)
			}
		}
		seen := 0
		d.each(keep, func(r *state.Record) { seen++ })
		if err := d.cut(keep); err != nil {
			t.Fatal(err)
		}
		if d.base.Epoch != uint64(keep) || d.written() != uint64(keep) || d.safe() != uint64(keep) || seen != keep {
			t.Errorf("kept %d of 10, found epoch %d, %d written, %d safe, %d seen", keep, d.base.Epoch, d.written(), d.safe(), seen)
		}
	}
}

func TestDiskRefusesGaps(t *testing.T) {
	d := disk{base: state.New()}
	if err := d.write(epochs(2, 3)); err == nil {
		t.Error("record 2 was taken as the first")
	}
	if err := d.write(append(epochs(1, 1), epochs(3, 3)...)); err == nil {
		t.Error("record 3 was taken after record 1")
	}
}

// TestDiskFolds: a log that has become long moves into the snapshot unnoticed.
func TestDiskFolds(t *testing.T) {
	d := disk{base: state.New()}
	for n := uint64(1); n <= 3*keepLog; n++ {
		if err := d.write(epochs(n, n)); err != nil {
			t.Fatal(err)
		}
		d.durable = d.length
	}
	if d.length > 2*keepLog || d.written() != 3*keepLog {
		t.Errorf("%d records in the log, %d written", d.length, d.written())
	}
}

// TestEveryBoundary kills ProcGuard before each record and each action of small
// worlds, once with its container and once without.
func TestEveryBoundary(t *testing.T) {
	worlds, longest := max(1, number(t, "SEEDS", seedsByDefault)/20), 250
	var sum total
	for seed := uint64(0); sum.Exits < worlds; seed++ {
		o := Options{Workers: 2 + int(seed%5), CrashAt: 1 << 30}
		n := Run(seed, o).Crossed
		if n < 40 || n > longest {
			continue
		}
		sum.Exits++
		for o.CrashAt = 1; o.CrashAt <= n && !t.Failed(); o.CrashAt++ {
			for _, o.Host = range []bool{false, true} {
				r := Run(seed, o)
				sum.Steps += r.Steps
				sum.Crashes += r.Crashes
				if r.Err != nil {
					t.Errorf("seed %d, %+v: %v", seed, o, r.Err)
				}
			}
		}
	}
	t.Logf("%d worlds, %d crashes, %d steps", sum.Exits, sum.Crashes, sum.Steps)
}
