package logs

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const helperEnv = "PROCGUARD_LOGS_TEST_HELPER"

// TestMain also plays the programs that the tests start.
func TestMain(m *testing.M) {
	switch os.Getenv(helperEnv) {
	case "":
		goleak.VerifyTestMain(m)
	case "supervisor":
		playSupervisor(os.Args[1], os.Args[2])
	}
}

// playSupervisor starts a shell worker with files under dir, says its pid and pipes,
// and waits to be killed.
func playSupervisor(dir, script string) {
	c, err := New(Options{})
	if err != nil {
		panic(err)
	}
	w, err := c.Open(StreamSpec{Worker: "w", Dir: dir})
	if err != nil {
		panic(err)
	}
	cmd := exec.Command("sh", "-c", script)
	cmd.Stdout, cmd.Stderr = w.Stdout, w.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	w.CloseChildEnds()
	p := w.Pipes()
	fmt.Println(cmd.Process.Pid, p[0], p[1])
	time.Sleep(time.Minute)
}

// safeBuffer is a console that can be read while it is written.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newCollector(t testing.TB, o Options) *Collector {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(10 * time.Second) })
	return c
}

func open(t testing.TB, c *Collector, spec StreamSpec) *Worker {
	t.Helper()
	w, err := c.Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.CloseChildEnds)
	return w
}

// start runs a shell script as a worker.
func start(t testing.TB, w *Worker, script string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", script, "sh"}, args...)...)
	cmd.Stdout, cmd.Stderr = w.Stdout, w.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.CloseChildEnds()
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

// finish ends a worker as the supervisor does: wait first, then Finish.
func finish(t testing.TB, cmd *exec.Cmd, w *Worker) {
	t.Helper()
	if err := cmd.Wait(); err != nil {
		t.Errorf("worker: %v", err)
	}
	done(t, w)
}

func done(t testing.TB, w *Worker) {
	t.Helper()
	select {
	case <-w.Finish():
	case <-time.After(20 * time.Second):
		t.Fatal("Finish did not end")
	}
}

func closeNow(t testing.TB, c *Collector) {
	t.Helper()
	if err := c.Close(20 * time.Second); err != nil {
		t.Fatal(err)
	}
}

// within waits for something that takes no known time.
func within(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// logsOf reads a stream's files, the oldest first.
func logsOf(t testing.TB, path string) string {
	t.Helper()
	var all strings.Builder
	old, _ := filepath.Glob(path + ".*")
	for n := len(old); n > 0; n-- {
		all.WriteString(readFile(t, path+"."+strconv.Itoa(n)))
	}
	all.WriteString(readFile(t, path))
	return all.String()
}

func countFDs(t testing.TB) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

func fdLimit(t testing.TB) int {
	t.Helper()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	return int(l.Cur)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
