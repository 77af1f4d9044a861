package plain

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fill writes to a pipe until it takes no more, and leaves it blocking.
func fill(t *testing.T, w *os.File) {
	t.Helper()
	fd := int(w.Fd())
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for size := 4096; size > 0; {
		if _, err := unix.Write(fd, make([]byte, size)); err == unix.EAGAIN {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// TestVoiceGivesUp: a full pipe costs the patience once, and nothing after that.
func TestVoiceGivesUp(t *testing.T) {
	r, w := pipe(t)
	fill(t, w)
	v := &voice{fd: int(w.Fd())}
	start := time.Now()
	v.say("lost\n")
	if took := time.Since(start); took < patience-time.Millisecond || !v.silent {
		t.Errorf("gave up after %v: %v", took, v.silent)
	}
	if _, err := r.Read(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	v.say("late\n") // there is room again, but it fell silent for good
	w.Close()
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("read %q, %v", rest, err)
	}
}

// TestVoiceNeverBlocks: a message longer than the room that is left goes out as far
// as the pipe goes.
func TestVoiceNeverBlocks(t *testing.T) {
	_, w := pipe(t)
	v := &voice{fd: int(w.Fd())}
	done := make(chan struct{})
	go func() {
		v.say(strings.Repeat("x", 1<<20))
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("a long message to nobody blocks")
	}
	if !v.silent {
		t.Error("it does not know that nobody reads")
	}
	if flags, err := unix.FcntlInt(w.Fd(), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
		t.Errorf("flags %o, %v: it is shared with the command", flags, err)
	}
}

func TestVoiceIsHeard(t *testing.T) {
	r, w := pipe(t)
	v := &voice{fd: int(w.Fd())}
	text := strings.Repeat("a line\n", 3000)
	go func() {
		v.say(text)
		w.Close()
	}()
	got := new(strings.Builder)
	if _, err := r.WriteTo(got); err != nil || got.String() != text {
		t.Errorf("%d bytes of %d, %v", got.Len(), len(text), err)
	}
}

// TestVoiceToNobody: no reader, a closed descriptor, a file, the void.
func TestVoiceToNobody(t *testing.T) {
	r, w := pipe(t)
	r.Close()
	v := &voice{fd: int(w.Fd())}
	if v.say("x"); !v.silent {
		t.Error("a pipe without a reader takes messages")
	}
	v = &voice{fd: 1 << 20}
	if v.say("x"); !v.silent {
		t.Error("a closed descriptor takes messages")
	}
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v = &voice{fd: int(f.Fd())}
	v.say("one\n")
	v.say("two\n")
	if got, err := os.ReadFile(f.Name()); err != nil || string(got) != "one\ntwo\n" {
		t.Errorf("%q, %v", got, err)
	}
}
