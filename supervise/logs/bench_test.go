package logs

import (
	"fmt"
	"os"
	"testing"
)

// BenchmarkFlood is MB/s from a worker's write to the sinks, on the tmpfs at
// /dev/shm. lost/op is what had to be dropped of each block of 53,000 bytes.
func BenchmarkFlood(b *testing.B) {
	for _, c := range []struct {
		name    string
		console bool
		files   bool
		o       Options
	}{
		{"files", false, true, Options{}},
		{"console", true, false, Options{}},
		{"both", true, true, Options{}},
		{"json", true, true, Options{Format: JSON, FileFormat: JSON}},
	} {
		b.Run(c.name, func(b *testing.B) {
			if c.console {
				c.o.Stdout = must(os.OpenFile("/dev/null", os.O_WRONLY, 0))
			}
			dir := ""
			if c.files {
				dir = must(os.MkdirTemp("/dev/shm", "procguard-bench"))
				defer os.RemoveAll(dir)
			}
			col := newCollector(b, c.o)
			w := open(b, col, StreamSpec{Worker: "worker_0", Dir: dir})
			b.SetBytes(53000)
			b.ResetTimer()
			flood(b, w, b.N*53000)
			done(b, w)
			closeNow(b, col)
			st := col.Stats()
			b.ReportMetric(float64(st.FileLostBytes)/float64(b.N), "filelost/op")
			b.ReportMetric(float64(st.ConsoleLostBytes)/float64(b.N), "consolelost/op")
		})
	}
}

// BenchmarkLines is 64 workers with one short line each per operation.
func BenchmarkLines(b *testing.B) {
	col := newCollector(b, Options{Stdout: must(os.OpenFile("/dev/null", os.O_WRONLY, 0))})
	var ws []*Worker
	for i := range 64 {
		ws = append(ws, open(b, col, StreamSpec{Worker: fmt.Sprint("w", i)}))
	}
	line := []byte("step 1234 loss 0.1234 lr 0.0001\n")
	b.ResetTimer()
	for range b.N {
		for _, w := range ws {
			if _, err := w.Stdout.Write(line); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, w := range ws {
		done(b, w)
	}
}

// BenchmarkFormat is what one line costs the reader, without any queue or pipe.
func BenchmarkFormat(b *testing.B) {
	line := []byte("0123456789 0123456789 0123456789 0123456789 01234567")
	for _, f := range []Format{Text, JSON} {
		sh := newShape(f, StreamSpec{Worker: "worker_0"}, Stdout, false)
		b.Run(map[Format]string{Text: "text", JSON: "json"}[f], func(b *testing.B) {
			var out []byte
			b.SetBytes(int64(len(line)))
			for range b.N {
				out = sh.line(out[:0], line, false, true, []byte("2026-01-02T03:04:05.000678Z"))
			}
		})
	}
}
