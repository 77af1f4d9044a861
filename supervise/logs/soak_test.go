package logs

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// Four workers together print 100 MB/s for some seconds, to a console and to files.
// What matters is that none of them waits; how much had to be dropped is told.
func TestPacedFlood(t *testing.T) {
	if os.Getenv("PROCGUARD_SOAK") == "" {
		t.Skip("needs PROCGUARD_SOAK=1 and a quiet machine")
	}
	const workers, block, rate = 4, 50_000, 100_000_000
	null := must(os.OpenFile("/dev/null", os.O_WRONLY, 0))
	defer null.Close()
	for _, format := range []Format{Text, JSON} {
		dir := must(os.MkdirTemp("/dev/shm", "procguard-soak"))
		defer os.RemoveAll(dir)
		c := newCollector(t, Options{Stdout: null, Format: format, FileFormat: format, RotateBytes: 50 << 20})
		data := []byte(strings.Repeat("epoch 12 step 34567 loss 0.12345 lr 0.00010000 it\n", block/50))
		var ws []*Worker
		for i := range workers {
			ws = append(ws, open(t, c, StreamSpec{Worker: fmt.Sprint("w", i), Dir: dir}))
		}
		begin, longest := time.Now(), time.Duration(0)
		for n := 0; n < 5*rate; n += block {
			time.Sleep(time.Until(begin.Add(time.Duration(n) * time.Second / rate)))
			before := time.Now()
			if _, err := ws[n/block%workers].Stdout.Write(data); err != nil {
				t.Fatal(err)
			}
			longest = max(longest, time.Since(before))
		}
		rated := 5 * float64(rate) / time.Since(begin).Seconds() / 1e6
		for _, w := range ws {
			done(t, w)
		}
		closeNow(t, c)
		st := c.Stats()
		t.Logf("format %d: %.0f MB/s, longest write %v; dropped: files %s, console %s", format, rated, longest,
			byteCount(st.FileLostBytes), byteCount(st.ConsoleLostBytes))
		if st.Read != 5*rate {
			t.Errorf("read %d of %d", st.Read, 5*rate)
		}
	}
}
