package logs

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// A thousand silent workers cost no goroutine, no wake-up, and little memory.
func TestThousandSilentWorkers(t *testing.T) {
	const workers = 1000
	if limit := fdLimit(t); limit < 4*workers+100 {
		t.Skipf("needs %d descriptors, may have %d", 4*workers+100, limit)
	}
	c := newCollector(t, Options{Stdout: &safeBuffer{}})
	goroutines, heap := runtime.NumGoroutine(), heapNow()
	dir := t.TempDir()
	ws := make([]*Worker, workers)
	for i := range ws {
		ws[i] = open(t, c, StreamSpec{Worker: fmt.Sprint("w", i), Dir: dir})
	}
	time.Sleep(20 * time.Millisecond)
	before := c.Stats().Wakeups
	time.Sleep(300 * time.Millisecond)
	if woken := c.Stats().Wakeups - before; woken != 0 {
		t.Errorf("%d wake-ups in silence", woken)
	}
	if more := runtime.NumGoroutine() - goroutines; more > 0 {
		t.Errorf("%d goroutines more", more)
	}
	each := (heapNow() - heap) / workers
	t.Logf("%d bytes of heap per worker", each)
	if each > 6<<10 {
		t.Errorf("%d bytes of heap per worker", each)
	}
	fmt.Fprintln(ws[700].Stderr, "not dead")
	within(t, "one of them speaks", func() bool { return string(ws[700].Tail(Stderr, 0)) == "not dead\n" })
	for _, w := range ws {
		w.Finish()
	}
	for _, w := range ws {
		done(t, w)
	}
	if st := c.Stats(); st.Streams != 0 {
		t.Errorf("stats: %+v", st)
	}
}

func heapNow() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
