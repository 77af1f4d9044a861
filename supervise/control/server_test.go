package control

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// known is a backend that always knows.
type known struct{}

func (known) Status(context.Context) (*Status, error) {
	return &Status{Verdict: Healthy, StateDir: "here"}, nil
}
func (known) Incidents(context.Context) (any, error) { return []int{1}, nil }
func (known) Incident(_ context.Context, n uint64) (any, error) {
	if n != 1 {
		return nil, fs.ErrNotExist
	}
	return n, nil
}

func serve(t *testing.T, paths ...string) *Server {
	t.Helper()
	s := New(known{})
	t.Cleanup(s.Close)
	for _, path := range paths {
		if err := s.Listen(path); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func answers(t *testing.T, path string) {
	t.Helper()
	if s, err := Dial(path).Status(t.Context()); err != nil || s.StateDir != "here" {
		t.Fatalf("%s answers %+v, %v", path, s, err)
	}
}

func TestControlAnswersOnEverySocket(t *testing.T) {
	dir := t.TempDir()
	paths := []string{filepath.Join(dir, "a"), filepath.Join(dir, "new", "b")}
	s := serve(t, paths...)
	for _, path := range paths {
		answers(t, path)
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode of %s: %v, %v", path, info.Mode(), err)
		}
	}
	if err := Dial(paths[0]).Incident(t.Context(), 2, new(int)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("incident 2: %v", err)
	}
	s.Close()
	for _, path := range paths {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", path, err)
		}
		if _, err := Dial(path).Status(t.Context()); !errors.Is(err, ErrNobody) {
			t.Errorf("after Close: %v", err)
		}
	}
}

func TestControlReplacesAStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	serve(t, path)
	answers(t, path)
}

func TestControlRefusesWhatIsInUse(t *testing.T) {
	dir := t.TempDir()
	live, file := filepath.Join(dir, "live"), filepath.Join(dir, "file")
	serve(t, live)
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{live: "in use by another", file: "not a socket", file + "/sock": "not a directory"} {
		if err := New(known{}).Listen(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	answers(t, live)
	if b, err := os.ReadFile(file); err != nil || string(b) != "mine" {
		t.Errorf("the file is %q, %v", b, err)
	}
}

// A live procguard that does not keep up refuses connections with EAGAIN.
func TestControlLeavesASocketWithAFullBacklog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "busy")
	fd := stream(t)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for err := error(nil); !errors.Is(err, unix.EAGAIN); {
		err = unix.Connect(stream(t), &unix.SockaddrUnix{Name: path})
		if err != nil && !errors.Is(err, unix.EAGAIN) {
			t.Fatal(err)
		}
	}
	if err := New(known{}).Listen(path); !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("Listen: %v, want EAGAIN", err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the socket of the busy one: %v", err)
	}
	if _, err := Dial(path).Status(t.Context()); err == nil || errors.Is(err, ErrNobody) {
		t.Errorf("a client says %v, but somebody is there", err)
	}
}

func stream(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// The path was taken over while the first one ran: its end must not cut off the
// second.
func TestControlCloseLeavesTheSocketOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	first := serve(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	serve(t, path)
	first.Close()
	answers(t, path)
}

// counted is a listener that counts what it accepted.
type counted struct {
	net.Listener
	n *atomic.Int32
}

func (c counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.n.Add(1)
	}
	return conn, err
}

func TestControlConnectionsAreLimited(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	inner, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	var n atomic.Int32
	l := limited{counted{inner, &n}, make(chan struct{}, 2), nil}
	crowd(t, path, 5)
	accept := func() net.Conn {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
		}
		return c
	}
	a, _ := accept(), accept()
	third := make(chan net.Conn)
	go func() { third <- accept() }()
	time.Sleep(50 * time.Millisecond)
	if n.Load() != 2 {
		t.Errorf("%d accepted, with 2 slots", n.Load())
	}
	_ = a.Close()
	c := <-third
	if _ = a.Close(); len(l.slots) != 2 { // the second Close of one gives nothing back
		t.Errorf("%d slots are taken by 2 connections", len(l.slots))
	}
	_ = c.Close()
}

// crowd connects n clients that say nothing.
func crowd(t *testing.T, path string, n int) (conns []net.Conn) {
	t.Helper()
	for range n {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		conns = append(conns, c)
	}
	return conns
}

// A hundred idle clients take few descriptors, go by themselves, and do not keep
// one that asks from its answer.
func TestControlIdleClientsGo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	s := New(known{})
	s.http.ReadHeaderTimeout = 200 * time.Millisecond
	t.Cleanup(s.Close)
	if err := s.Listen(path); err != nil {
		t.Fatal(err)
	}
	idle := crowd(t, path, 100)
	answers(t, path)
	_ = idle[0].SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.Copy(io.Discard, idle[0]); err != nil {
		t.Errorf("the first idle client is still connected: %v", err)
	}
}

// Close must not wait for idle clients, with every slot taken.
func TestControlCloseWithAllSlotsTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	s := New(known{})
	s.http.ReadHeaderTimeout, s.http.ReadTimeout = time.Hour, time.Hour
	t.Cleanup(s.Close)
	if err := s.Listen(path); err != nil {
		t.Fatal(err)
	}
	crowd(t, path, 3*maxConns)
	for end := time.Now().Add(30 * time.Second); len(s.slots) < maxConns && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	done := make(chan struct{})
	go func() { s.Close(); close(done) }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("Close hangs")
	}
}
