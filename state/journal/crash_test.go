package journal

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/procguard/procguard/state"
)

// appendForEver is the child of TestKilledAtRandom: it appends batches, says
// which record is safe, and replaces its segment all the time.
func appendForEver(dir string) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	j, snap, err := Open(dir, Options{MaxSegment: 3000, SyncTimeout: time.Minute})
	if err != nil {
		fail(err)
	}
	for i := 0; ; i++ {
		recs := make([]state.Record, 1+i%5)
		for k := range recs {
			recs[k] = state.Record{Seq: snap.Seq + 1, Kind: state.KindEpoch, Epoch: snap.Seq + 1}
			if err := state.Apply(snap, &recs[k]); err != nil {
				fail(err)
			}
		}
		if err := j.Append(recs, i%2 == 0); err != nil {
			fail(err)
		}
		fmt.Println(snap.Seq)
		if j.Wants() {
			if err := j.Offer(snap.Clone()); err != nil {
				fail(err)
			}
		}
	}
}

// A process killed at any moment loses nothing that it was told is written.
func TestKilledAtRandom(t *testing.T) {
	rounds := 25
	if os.Getenv("PROCGUARD_SOAK") != "" {
		rounds = 1000
	}
	dir := t.TempDir()
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	var last uint64
	for round := range rounds {
		acked := killedAppender(t, dir, time.Duration(random.IntN(12000))*time.Microsecond)
		snap, err := Read(dir)
		if err != nil {
			t.Fatalf("seed %d, round %d: %v", seed, round, err)
		}
		if snap.Seq < acked || snap.Seq < last || snap.Epoch != snap.Seq {
			t.Fatalf("seed %d, round %d: state is %d with epoch %d; %d was safe, %d was there before", seed, round, snap.Seq, snap.Epoch, acked, last)
		}
		last = snap.Seq
	}
	if last < uint64(rounds) {
		t.Errorf("only %d records in %d rounds", last, rounds)
	}
	onlyOneOrTwo(t, dir)
}

func onlyOneOrTwo(t *testing.T, dir string) {
	t.Helper()
	if paths, err := segmentPaths(dir); err != nil || len(paths) > 3 {
		t.Errorf("segments are %v, %v", paths, err)
	}
}

// killedAppender runs the child and kills it some time after its first record.
// It returns the last record that the child said is safe.
func killedAppender(t *testing.T, dir string, after time.Duration) (acked uint64) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "PROCGUARD_TEST_APPENDER="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		n, err := strconv.ParseUint(lines.Text(), 10, 64)
		if err != nil {
			break // the kill cut the line
		}
		if acked == 0 {
			time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		}
		acked = max(acked, n)
	}
	if err := cmd.Wait(); err == nil || acked == 0 {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return acked
}
