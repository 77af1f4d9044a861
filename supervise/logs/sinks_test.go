package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func lowerFDLimit(t *testing.T, n int) {
	t.Helper()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(n), Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old) })
}

// flood writes size bytes of lines as fast as the worker's pipe takes them.
func flood(t testing.TB, w *Worker, size int) {
	t.Helper()
	block := []byte(strings.Repeat("0123456789 0123456789 0123456789 0123456789 01234567\n", 1000))
	for n := 0; n < size; n += len(block) {
		if _, err := w.Stdout.Write(block); err != nil {
			t.Error(err)
			return
		}
	}
}

// noticed collects notices.
type noticed struct {
	mu   sync.Mutex
	text []string
}

func (n *noticed) add(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.text = append(n.text, text)
}

func (n *noticed) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.text...)
}

// Nobody reads the console. The worker goes on, the files get everything, and when
// the console is read again a mark stands where the gap is.
func TestStuckConsole(t *testing.T) {
	r, stuck := must2(os.Pipe())
	defer r.Close()
	defer stuck.Close()
	dir := t.TempDir()
	c := newCollector(t, Options{Stdout: stuck, ConsoleQueue: 100 << 10, FileQueue: 64 << 20})
	w := open(t, c, StreamSpec{Worker: "w", Dir: dir})
	const size = 20 << 20
	flood(t, w, size)
	within(t, "all is read", func() bool { return w.Activity(Stdout).Bytes >= size })
	if st := c.Stats(); st.ConsoleLostBytes < size/2 || st.FileLostBytes != 0 {
		t.Errorf("stats: %+v", st)
	}
	got := make(chan string)
	go func() { // it heals
		b, _ := io.ReadAll(r)
		got <- string(b)
	}()
	fmt.Fprintln(w.Stdout, "still here")
	within(t, "the last line is out, or in the gap too", func() bool { return w.Activity(Stdout).Bytes > size })
	done(t, w)
	closeNow(t, c)
	stuck.Close()
	checkGaps(t, <-got, c.Stats())
	if n := len(readFile(t, Path(dir, 0, "w", Stdout))); n < size {
		t.Errorf("the file has %d of %d bytes", n, size)
	}
}

// checkGaps reads a console: every line whole, and the marks tell exactly what is missing.
func checkGaps(t *testing.T, console string, st Stats) {
	t.Helper()
	var marked uint64
	for _, l := range strings.Split(strings.TrimSuffix(console, "\n"), "\n") {
		var n uint64
		if _, err := fmt.Sscanf(l, "[procguard] %d lines", &n); err == nil {
			marked += n
			if !strings.HasSuffix(l, "of w dropped: console blocked") {
				t.Errorf("mark: %q", l)
			}
		} else if !strings.HasSuffix(l, " 01234567") && l != "[w] still here" || !strings.HasPrefix(l, "[w] ") {
			t.Fatalf("torn line: %q", l)
		}
	}
	if marked == 0 || marked != st.ConsoleLostLines {
		t.Errorf("marks tell of %d lines, lost %d", marked, st.ConsoleLostLines)
	}
}

func must2[T, U any](a T, b U, err error) (T, U) {
	if err != nil {
		panic(err)
	}
	return a, b
}

// One worker floods a slow console; the lines of a quiet one still come through.
func TestFloodLeavesRoomForOthers(t *testing.T) {
	r, slow := must2(os.Pipe())
	c := newCollector(t, Options{Stdout: slow, ConsoleQueue: 256 << 10})
	loud, quiet := open(t, c, StreamSpec{Worker: "w"}), open(t, c, StreamSpec{Worker: "quiet"})
	flood(t, loud, 2<<20)
	fmt.Fprintln(quiet.Stdout, "important")
	done(t, loud)
	done(t, quiet)
	got := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		got <- string(b)
	}()
	closeNow(t, c)
	slow.Close()
	if !strings.Contains(<-got, "[quiet] important\n") {
		t.Error("the quiet worker's line was lost")
	}
	r.Close()
}

// Close has its time and no more, and leaves no goroutine behind for a file.
func TestCloseWithStuckConsole(t *testing.T) {
	r, stuck := must2(os.Pipe())
	defer r.Close()
	defer stuck.Close()
	c := newCollector(t, Options{Stdout: stuck})
	w := open(t, c, StreamSpec{Worker: "w"})
	flood(t, w, 1<<20)
	begin := time.Now()
	if err := c.Close(50 * time.Millisecond); !errors.Is(err, ErrUnflushed) {
		t.Errorf("Close: %v", err)
	}
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("Close took %v", d)
	}
}

// A console whose reader is gone must not end the program, as a Go program's
// stdout would with SIGPIPE.
func TestBrokenConsole(t *testing.T) {
	r, broken := must2(os.Pipe())
	r.Close()
	defer broken.Close()
	var said noticed
	c := newCollector(t, Options{Stdout: broken, Notice: said.add})
	w := open(t, c, StreamSpec{Worker: "w"})
	for range 5 {
		fmt.Fprintln(w.Stdout, "hello")
		time.Sleep(5 * time.Millisecond)
	}
	done(t, w)
	closeNow(t, c)
	if got := said.all(); len(got) != 1 || !strings.Contains(got[0], "broken pipe") {
		t.Errorf("notices: %q", got)
	}
	if st := c.Stats(); st.ConsoleLostLines != 5 {
		t.Errorf("stats: %+v", st)
	}
}

func TestSameDestinationKeepsOrder(t *testing.T) {
	f := must(os.Create(t.TempDir() + "/console"))
	defer f.Close()
	again := must(os.OpenFile(f.Name(), os.O_WRONLY|os.O_APPEND, 0))
	defer again.Close()
	if !sameDestination(f, again) || sameDestination(f, os.Stdin) || sameDestination(nil, f) {
		t.Error("sameDestination")
	}
	c := newCollector(t, Options{Stdout: again, Stderr: f})
	if c.consoles[0] != c.consoles[1] {
		t.Error("two queues for one file")
	}
	if sameDestination(uncomparable{nil}, uncomparable{nil}) {
		t.Error("what cannot be compared is not the same")
	}
}

type uncomparable struct{ b []byte }

func (uncomparable) Write(p []byte) (int, error) { return len(p), nil }

func TestColorOnlyOnATerminal(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	master, tty := openTerminal(t)
	defer master.Close()
	defer tty.Close()
	if !wantColor(tty, Options{}) {
		t.Error("no colour on a terminal")
	}
	if wantColor(&safeBuffer{}, Options{}) || wantColor(must(os.Open("/dev/null")), Options{}) {
		t.Error("colour where there is no terminal")
	}
	if !wantColor(&safeBuffer{}, Options{Color: ColorAlways}) || wantColor(tty, Options{Color: ColorNever}) {
		t.Error("the option rules")
	}
	t.Setenv("NO_COLOR", "1")
	if wantColor(tty, Options{}) {
		t.Error("NO_COLOR was not heeded")
	}
}

func openTerminal(t *testing.T) (master, tty *os.File) {
	t.Helper()
	m, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("needs a pseudo terminal: ", err)
	}
	n, err := unix.IoctlGetInt(m, unix.TIOCGPTN)
	if err != nil {
		t.Skip("needs a pseudo terminal: ", err)
	}
	if err := unix.IoctlSetPointerInt(m, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	s, err := unix.Open(fmt.Sprintf("/dev/pts/%d", n), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(m), "ptmx"), os.NewFile(uintptr(s), "pts")
}

// smallDisk is a file system of 64 KiB under the test's folder.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("needs the right to mount: ", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// A full disk is said once; output is counted; when there is room again a mark
// stands where the gap is, and writing goes on.
func TestDiskFull(t *testing.T) {
	dir := smallDisk(t)
	ballast := dir + "/ballast"
	if err := os.WriteFile(ballast, make([]byte, 40<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	var said noticed
	c := newCollector(t, Options{Notice: said.add})
	w := open(t, c, StreamSpec{Worker: "w", Dir: dir})
	flood(t, w, 300<<10)
	within(t, "the disk is full", func() bool { return c.Stats().FileLostBytes > 200<<10 && c.Stats().FilesFailing == 1 })
	within(t, "all is read, and it was said", func() bool { return len(said.all()) == 1 && w.Activity(Stdout).Bytes >= 300<<10 })
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(w.Stdout, "and on")
	done(t, w)
	closeNow(t, c)
	st, file := c.Stats(), readFile(t, Path(dir, 0, "w", Stdout))
	mark := fmt.Sprintf("\n[procguard] %d lines (%s) of w dropped: no space left on device\nand on\n", st.FileLostLines, byteCount(st.FileLostBytes))
	if !strings.HasSuffix(file, mark) {
		t.Errorf("file ends %q\nwant     %q", file[max(0, len(file)-200):], mark)
	}
	if got := said.all(); len(got) != 2 || !strings.Contains(got[0], "no space left") || !strings.Contains(got[1], "written again") {
		t.Errorf("notices: %q", got)
	}
	if st.FilesFailing != 0 {
		t.Errorf("stats: %+v", st)
	}
}

// Without somebody to tell, trouble is told on the console.
func TestReadOnlyDisk(t *testing.T) {
	dir := smallDisk(t)
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	for _, format := range []Format{Text, JSON} {
		var errs safeBuffer
		c := newCollector(t, Options{Stderr: &errs, Format: format})
		w := open(t, c, StreamSpec{Worker: "w", Dir: dir})
		fmt.Fprintln(w.Stdout, "one")
		within(t, "it is said", func() bool { return strings.Contains(errs.String(), "read-only file system") })
		fmt.Fprintln(w.Stdout, "two")
		done(t, w)
		closeNow(t, c)
		if n := strings.Count(errs.String(), "\n"); n != 1 {
			t.Errorf("said %d times: %q", n, errs.String())
		}
		if st := c.Stats(); st.FileLostLines != 2 {
			t.Errorf("stats: %+v", st)
		}
	}
}

// A file queue that overflows marks the gap in the file.
func TestFileQueueOverflows(t *testing.T) {
	dir := t.TempDir()
	c := newCollector(t, Options{FileQueue: 256 << 10})
	w := open(t, c, StreamSpec{Worker: "w", Dir: dir})
	flood(t, w, 8<<20)
	done(t, w)
	closeNow(t, c)
	st, file := c.Stats(), readFile(t, Path(dir, 0, "w", Stdout))
	var marked, kept uint64
	for _, l := range strings.SplitAfter(file, "\n") {
		var n uint64
		if _, err := fmt.Sscanf(l, "[procguard] %d lines", &n); err == nil {
			marked += n
		} else {
			kept += uint64(strings.Count(l, "\n"))
		}
	}
	if marked != st.FileLostLines {
		t.Errorf("marks tell of %d lines, lost %d", marked, st.FileLostLines)
	}
	t.Logf("kept %d lines, lost %d", kept, st.FileLostLines)
}

// More streams than files may be open at a time: closed ones are opened again.
func TestManyFiles(t *testing.T) {
	dir := t.TempDir()
	c := newCollector(t, Options{})
	before := countFDs(t)
	var ws []*Worker
	for i := range maxOpenFiles + 50 {
		w := open(t, c, StreamSpec{Worker: fmt.Sprint("w", i), Dir: dir})
		w.Stderr.Close()
		ws = append(ws, w)
	}
	for round := range 3 {
		for i, w := range ws {
			fmt.Fprintln(w.Stdout, i, round)
		}
	}
	for _, w := range ws {
		done(t, w)
	}
	closeNow(t, c)
	for i := range ws {
		if got, want := readFile(t, Path(dir, 0, fmt.Sprint("w", i), Stdout)), fmt.Sprintf("%d 0\n%d 1\n%d 2\n", i, i, i); got != want {
			t.Fatalf("w%d: %q", i, got)
		}
	}
	if after := countFDs(t); after > before {
		t.Errorf("descriptors: %d, then %d", before, after)
	}
}

func TestOldAttemptsAreRemoved(t *testing.T) {
	dir := t.TempDir()
	c := newCollector(t, Options{KeepAttempts: 3})
	for n := range 6 {
		w := open(t, c, StreamSpec{Worker: "w", Attempt: n, Dir: dir})
		fmt.Fprintln(w.Stdout, "attempt", n)
		done(t, w)
	}
	closeNow(t, c)
	var names []string
	for _, e := range must(os.ReadDir(dir)) {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != "attempt_3 attempt_4 attempt_5" {
		t.Errorf("left: %s", got)
	}
}

// TestOneWorkersOwnSettings: a spec's settings hold for that worker alone.
func TestOneWorkersOwnSettings(t *testing.T) {
	var shown bytes.Buffer
	dir := t.TempDir()
	c := newCollector(t, Options{Stdout: &shown, Stderr: &shown})
	specs := []StreamSpec{{Worker: "plain", Dir: dir}, {Worker: "quiet", Dir: dir, Quiet: true}, {Worker: "json", Dir: dir, JSON: true},
		{Worker: "small", Dir: dir, Quiet: true, RotateBytes: 4, RotateKeep: 1}}
	for _, spec := range specs {
		w, err := c.Open(spec)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := w.Stdout.WriteString("hello\n"); err != nil {
				t.Fatal(err)
			}
		}
		<-w.Finish()
	}
	if err := c.Close(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	if s := shown.String(); !strings.Contains(s, "[plain] hello\n") || strings.Contains(s, "quiet") || !strings.Contains(s, `"worker":"json"`) {
		t.Errorf("console: %q", s)
	}
	for worker, want := range map[string]string{"plain": "hello\nhello\nhello\n", "quiet": "hello\nhello\nhello\n"} {
		if got, err := os.ReadFile(Path(dir, 0, worker, Stdout)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", worker, got, err)
		}
	}
	if got, err := os.ReadFile(Path(dir, 0, "json", Stdout)); err != nil || !bytes.HasPrefix(got, []byte("{")) {
		t.Errorf("json: %q, %v", got, err)
	}
	if old, err := filepath.Glob(Path(dir, 0, "small", Stdout) + ".*"); err != nil || len(old) != 1 {
		t.Errorf("rotated files of small: %v, %v; one was to be kept", old, err)
	}
}
