package notify

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

func TestParse(t *testing.T) {
	text, seven, eight := "loading", int64(7), int64(8)
	rows := map[string]struct {
		want Message
		bad  int
	}{
		"READY=1\n":                      {want: Message{Ready: true}},
		"READY=1\nSTATUS=loading":        {want: Message{Ready: true, Status: &text}},
		"READY=0":                        {bad: 1},
		"READY":                          {bad: 1},
		"=1":                             {bad: 1},
		"\n\n":                           {},
		"":                               {},
		"WATCHDOG=1":                     {want: Message{Watchdog: true}},
		"WATCHDOG=trigger":               {want: Message{Trigger: true}},
		"WATCHDOG=2":                     {bad: 1},
		"STOPPING=1\nRELOADING=1":        {want: Message{Stopping: true, Reloading: true}},
		"EXTEND_TIMEOUT_USEC=30000000":   {want: Message{Extend: 30 * time.Second}},
		"EXTEND_TIMEOUT_USEC=-1":         {bad: 1},
		"WATCHDOG_USEC=1500000":          {want: Message{Timeout: 1500 * time.Millisecond}},
		"MAINPID=42":                     {want: Message{MainPID: 42}},
		"MAINPID=0":                      {bad: 1},
		"MAINPID=99999999999":            {bad: 1},
		"ERRNO=5":                        {want: Message{Errno: 5}},
		"ERRNO=x\nREADY=1":               {want: Message{Ready: true}, bad: 1},
		"FDSTORE=1\nFDNAME=x\nX_OTHER=1": {},
		"BARRIER=1":                      {want: Message{Barrier: true}},
		"X_STEP=7":                       {want: Message{Step: &seven}},
		"X_STEP=-7":                      {bad: 1},
		"X_STEP=8\nX_STEP=7":             {want: Message{Step: &seven}},
		"X_PHASE=checkpoint":             {want: Message{Phase: &Phase{Name: "checkpoint"}}},
		"X_PHASE_USEC=2000000\nX_PHASE=": {want: Message{Phase: &Phase{For: 2 * time.Second}}},
		"X_PHASE_USEC=2000000":           {},
		"READY\x00=1":                    {bad: 1},
		"EXTEND_TIMEOUT_USEC=18446744073709551615": {want: Message{Extend: Forever}},
	}
	for in, row := range rows {
		got, bad := Parse([]byte(in))
		if bad != row.bad || !same(got, row.want) {
			t.Errorf("%q: got %+v, %d bad", in, got, bad)
		}
	}
	m, _ := Parse([]byte("STATUS=epoch 3, step=7\nX_STEP=8"))
	if m.Step == nil || *m.Step != eight || *m.Status != "epoch 3, step=7" {
		t.Errorf("X_STEP beside a status: %+v", m)
	}
}

// same compares what the pointers point to.
func same(a, b Message) bool {
	eq := func(x, y *int64) bool { return x == y || x != nil && y != nil && *x == *y }
	ok := eq(a.Step, b.Step) && (a.Status == b.Status || a.Status != nil && b.Status != nil && *a.Status == *b.Status) &&
		(a.Phase == b.Phase || a.Phase != nil && b.Phase != nil && *a.Phase == *b.Phase)
	a.Step, b.Step, a.Status, b.Status, a.Phase, b.Phase = nil, nil, nil, nil, nil, nil
	return ok && a == b
}

func TestStepIn(t *testing.T) {
	rows := map[string]int64{
		"step=123": 123, "epoch=1 step=5 loss=3": 5, "[step=9]": 9, "substep=4": -1, "substep=4 step=5": 5, "step=": -1,
		"step=x": -1, "step=-4": -1, "": -1, "step=99999999999999999999": -1, "a step=0": 0, "sub-step=3": -1, "step=step=3": 3,
	}
	for in, want := range rows {
		if got, ok := StepIn(in); ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %d, %v", in, got, ok)
		}
	}
}

func TestStatusCanBeShown(t *testing.T) {
	m, _ := Parse([]byte("STATUS=\x1b[31mred\ttab \xff " + strings.Repeat("ü", 400)))
	s := *m.Status
	if !utf8.ValidString(s) || strings.ContainsAny(s, "\x1b\t") || len(s) > maxStatus || len(s) < maxStatus-4 {
		t.Errorf("%d bytes: %q", len(s), s)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"READY=1\nSTATUS=step=4", "X_PHASE=x\nX_PHASE_USEC=9", "=\n=\x00", "MAINPID=-1", "STATUS=\xff\xfe", "EXTEND_TIMEOUT_USEC=18446744073709551615"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, bad := Parse(b)
		if bad < 0 || m.Extend < 0 || m.Extend > Forever || m.Timeout < 0 || m.Timeout > Forever || m.MainPID < 0 {
			t.Errorf("%q: %+v", b, m)
		}
		if m.Step != nil && *m.Step < 0 || m.Phase != nil && (len(m.Phase.Name) > maxPhase || m.Phase.For < 0) {
			t.Errorf("%q: %+v", b, m)
		}
		if m.Status != nil && (len(*m.Status) > maxStatus || !utf8.ValidString(*m.Status) || strings.ContainsAny(*m.Status, "\n\x00\x1b")) {
			t.Errorf("%q: status %q", b, *m.Status)
		}
	})
}

// listen is a socket for a test.
func listen(t *testing.T) (fd int, path string) {
	t.Helper()
	path, err := Path(t.TempDir(), "w")
	if err != nil {
		t.Fatal(err)
	}
	if fd, err = Listen(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd, path
}

func dial(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestSocket: who sent what, and that everybody may.
func TestSocket(t *testing.T) {
	fd, path := listen(t)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o666 || info.Mode().Type() != fs.ModeSocket {
		t.Errorf("%v, %v", info, err)
	}
	buf := make([]byte, MaxSize+1)
	if _, err := Receive(fd, buf); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("an empty queue: %v", err)
	}
	c := dial(t, path)
	for _, size := range []int{0, 7, MaxSize, MaxSize + 1, 3 * MaxSize} {
		if _, err := c.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		d, err := Receive(fd, buf)
		if err != nil || d.PID != os.Getpid() || int(d.UID) != os.Getuid() || d.Oversized != (size > MaxSize) || len(d.Data) != min(size, MaxSize+1) {
			t.Errorf("%d bytes: %d from %d/%d, oversized %v, %v", size, len(d.Data), d.PID, d.UID, d.Oversized, err)
		}
	}
}

// TestBarrier: the sender waits for the other end of a pipe to be closed, and
// descriptors that nobody asked for do not stay.
func TestBarrier(t *testing.T) {
	fd, path := listen(t)
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	many := make([]int, 200)
	for i := range many {
		many[i] = pipe[1]
	}
	c, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(c)
	if err := unix.Sendmsg(c, []byte("BARRIER=1"), unix.UnixRights(many...), &unix.SockaddrUnix{Name: path}, 0); err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(pipe[1])
	d, err := Receive(fd, make([]byte, MaxSize+1))
	if m, _ := Parse(d.Data); err != nil || !m.Barrier || d.PID != os.Getpid() {
		t.Errorf("%+v, %v", d, err)
	}
	// Hung up: nobody has the writing end any more.
	p := []unix.PollFd{{Fd: int32(pipe[0]), Events: unix.POLLIN}}
	if n, err := unix.Poll(p, 10000); n != 1 || p[0].Revents&unix.POLLHUP == 0 {
		t.Errorf("the writing end is still open: %d, %v", n, err)
	}
}

// TestListenAgain takes the place of a socket of an earlier ProcGuard, with what was
// left in its queue.
func TestListenAgain(t *testing.T) {
	old, path := listen(t)
	c := dial(t, path)
	if _, err := c.Write([]byte("READY=1")); err != nil {
		t.Fatal(err)
	}
	fd, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	buf := make([]byte, MaxSize+1)
	if _, err := Receive(fd, buf); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("the new socket got its predecessor's: %v", err)
	}
	if _, err := dial(t, path).Write([]byte("WATCHDOG=1")); err != nil {
		t.Fatal(err)
	}
	if d, err := Receive(fd, buf); err != nil || string(d.Data) != "WATCHDOG=1" {
		t.Errorf("%q, %v", d.Data, err)
	}
	if d, err := Receive(old, buf); err != nil || string(d.Data) != "READY=1" {
		t.Errorf("%q, %v", d.Data, err)
	}
	if _, err := Listen(filepath.Join(path, "below")); err == nil {
		t.Error("a socket below a socket")
	}
}

func TestPath(t *testing.T) {
	long := strings.Repeat("w", 200)
	a, err := Path("/dev/shm/procguard-x", long)
	if err != nil || len(a) > maxPath || filepath.Dir(a) != "/dev/shm/procguard-x" {
		t.Errorf("%q, %v", a, err)
	}
	if b, err := Path("/dev/shm/procguard-x", long+"2"); err != nil || a == b {
		t.Errorf("%q, %v", b, err)
	}
	if p, err := Path("/run", "rank_0"); err != nil || p != "/run/rank_0.notify" {
		t.Errorf("%q, %v", p, err)
	}
	if _, err := Path("/"+long, "w"); err == nil {
		t.Error("a directory that is too long is accepted")
	}
}
