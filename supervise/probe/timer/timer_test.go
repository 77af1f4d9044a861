package timer

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var start = time.Unix(1_700_000_000, 0)

// line is as the client writes it.
func line(pid int, scope string, expires float64, signal int) string {
	return fmt.Sprintf(`{"version": 1, "pid": %d, "scope_id": %q, "expiration_time": %f, "signal": %d}`+"\n", pid, scope, expires, signal)
}

func after(s float64) float64 { return float64(start.Unix()) + s }

func TestTimers(t *testing.T) {
	var b Book
	bad := b.Feed([]byte(line(1, "a", after(10), 9)+line(1, "b", after(5), 0)+line(2, "a", after(20), 15)+line(3, "late", after(-5), 9)), start)
	if bad != 0 || len(b.timers) != 4 {
		t.Fatalf("%d bad, %v", bad, b.timers)
	}
	if e, ok := b.Take(start); !ok || e.PID != 3 {
		t.Errorf("already over: %+v, %v", e, ok)
	}
	if at := b.Next(); !at.Equal(start.Add(5 * time.Second)) {
		t.Errorf("next %v", at)
	}
	if e, ok := b.Take(start.Add(6 * time.Second)); ok {
		t.Errorf("one that asks for no signal: %+v", e)
	}
	b.Feed([]byte(line(1, "a", -1, 0)+line(2, "a", after(30), 15)), start)
	if e, ok := b.Take(start.Add(25 * time.Second)); ok {
		t.Errorf("released and renewed: %+v", e)
	}
	e, ok := b.Take(start.Add(31 * time.Second))
	if !ok || e.String() != `timer "a" of pid 2 expired` || e.Signal != 15 {
		t.Errorf("%+v, %v", e, ok)
	}
	if _, ok := b.Take(start.Add(time.Hour)); ok || !b.Next().IsZero() {
		t.Errorf("left: %v", b.timers)
	}
}

// TestFirstOfSeveral is the one that ran out first.
func TestFirstOfSeveral(t *testing.T) {
	for range 20 { // maps have no order
		var b Book
		b.Feed([]byte(line(1, "b", after(2), 9)+line(1, "a", after(1), 9)+line(1, "c", after(3), 9)), start)
		if e, _ := b.Take(start.Add(time.Minute)); e.Scope != "a" {
			t.Fatalf("%+v", e)
		}
	}
}

// TestPieces: lines in pieces, several in one, and rubbish between them.
func TestPieces(t *testing.T) {
	text := line(1, "a", after(1), 9) + "{\n" + line(2, "b", after(1), 9) + strings.Repeat("x", 3*maxLine) + "\n[]\n" +
		`{"version": 2, "pid": 1, "scope_id": "c", "expiration_time": 1}` + "\n" + `{"pid": 0, "expiration_time": 1}` + "\n" +
		`{"pid": 5, "scope_id": "no time"}` + "\n" + line(3, strings.Repeat("ü", maxLine/4), after(1e300), 9)
	for size := 1; size < 200; size++ {
		var b Book
		bad := 0
		for at := 0; at < len(text); at += size {
			bad += b.Feed([]byte(text[at:min(at+size, len(text))]), start)
		}
		if bad != 6 || len(b.timers) != 3 || cap(b.part) > 2*maxLine {
			t.Fatalf("pieces of %d: %d bad, %d timers, %d bytes kept", size, bad, len(b.timers), cap(b.part))
		}
		for key := range b.timers {
			if len(key.Scope) > maxScope {
				t.Errorf("a scope of %d bytes", len(key.Scope))
			}
		}
	}
}

func TestFlood(t *testing.T) {
	var b Book
	bad := 0
	for i := range 2 * maxTimers {
		bad += b.Feed([]byte(line(i+1, "s", after(1), 9)), start)
	}
	if len(b.timers) != maxTimers || bad != maxTimers {
		t.Errorf("%d timers, %d bad", len(b.timers), bad)
	}
}

func FuzzFeed(f *testing.F) {
	f.Add([]byte(line(1, "a", after(1), 9)))
	f.Add([]byte(`{"version":1,"pid":1,"expiration_time":1e999}` + "\n"))
	f.Add([]byte(`{"version":1,"pid":1,"expiration_time":-0.0}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var b Book
		if bad := b.Feed(data, start); bad > strings.Count(string(data), "\n") {
			t.Errorf("%d bad", bad)
		}
		if at := b.Next(); !at.IsZero() && at.After(start.Add(maxAhead)) {
			t.Errorf("next %v", at)
		}
		b.Take(start.Add(maxAhead))
		if len(b.timers) != 0 {
			t.Errorf("left %v", b.timers)
		}
	})
}

// TestFIFO: a client never waits and always finds a reader.
func TestFIFO(t *testing.T) {
	path := filepath.Join(t.TempDir(), "timer")
	for range 2 { // the second time in the place of the first
		fd, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if info, err := os.Stat(path); err != nil || info.Mode().Type() != fs.ModeNamedPipe || info.Mode().Perm() != 0o666 {
			t.Errorf("%v, %v", info, err)
		}
		for range 3 {
			w, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := unix.Write(w, []byte("x\n")); err != nil {
				t.Fatal(err)
			}
			_ = unix.Close(w)
		}
		buf := make([]byte, 64)
		if n, err := unix.Read(fd, buf); err != nil || string(buf[:n]) != "x\nx\nx\n" {
			t.Errorf("%q, %v", buf[:max(n, 0)], err)
		}
		if _, err := unix.Read(fd, buf); err != unix.EAGAIN {
			t.Errorf("an empty FIFO: %v", err)
		}
	}
}

// torchClient uses torch's own client.
const torchClient = `
import signal, sys, time
from torch.distributed.elastic.timer import FileTimerClient
c = FileTimerClient(sys.argv[1], signal.SIGUSR1)
c.acquire("step", time.time() + 60)
c.acquire("checkpoint", time.time() + 600)
c.release("checkpoint")
`

func TestTorchClient(t *testing.T) {
	python := ""
	for _, p := range []string{"python3", "/usr/bin/python3"} { // the distribution's torch is for its own
		if exec.Command(p, "-c", "import torch.distributed.elastic.timer").Run() == nil {
			python = p
		}
	}
	if python == "" {
		t.Skip("needs python3 with torch")
	}
	path := filepath.Join(t.TempDir(), "timer")
	fd, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if out, err := exec.Command(python, "-c", torchClient, path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	buf := make([]byte, 8192)
	n, err := unix.Read(fd, buf)
	if err != nil {
		t.Fatal(err)
	}
	var b Book
	now := time.Now()
	bad := b.Feed(buf[:n], now)
	if e, ok := b.Take(now.Add(61 * time.Second)); bad != 0 || !ok || e.Scope != "step" || e.Signal != int(unix.SIGUSR1) {
		t.Errorf("%q: %d bad, %+v, %v", buf[:n], bad, e, ok)
	}
	if !b.Next().IsZero() {
		t.Errorf("left %v", b.timers)
	}
}
