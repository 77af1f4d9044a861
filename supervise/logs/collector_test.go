package logs

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestOutputGoesEverywhere(t *testing.T) {
	var out, errs safeBuffer
	dir := t.TempDir()
	c := newCollector(t, Options{Stdout: &out, Stderr: &errs})
	var mu sync.Mutex
	var seen []string
	before := time.Now()
	w := open(t, c, StreamSpec{Worker: "w", Attempt: 2, Dir: dir, OnLine: func(s Stream, line []byte) bool {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, s.String()+":"+string(line))
		return string(line) != "two"
	}})
	finish(t, start(t, w, `echo one; sleep 0.05; printf 'err\n' >&2; sleep 0.05; echo two; echo three; printf 'no end'`), w)
	if got := string(w.Tail(Stdout, 0)); got != "one\ntwo\nthree\nno end\n" {
		t.Errorf("tail: %q", got)
	}
	if got := string(w.Tail(Stdout, 14)); got != "three\nno end\n" {
		t.Errorf("short tail: %q", got)
	}
	a := w.Activity(Stdout)
	if a.Bytes != 20 || a.Last.Before(before) || a.Last.After(time.Now()) {
		t.Errorf("activity: %+v", a)
	}
	closeNow(t, c)
	if got := out.String(); got != "[w] one\n[w] two\n[w] three\n[w] no end\n" {
		t.Errorf("stdout: %q", got)
	}
	if got := errs.String(); got != "[w] err\n" {
		t.Errorf("stderr: %q", got)
	}
	if got := readFile(t, Path(dir, 2, "w", Stdout)); got != "one\ntwo\nthree\nno end" {
		t.Errorf("stdout.log: %q", got)
	}
	if got := readFile(t, Path(dir, 2, "w", Stderr)); got != "err\n" {
		t.Errorf("stderr.log: %q", got)
	}
	slices.Sort(seen) // between the two streams no order is promised
	if got := strings.Join(seen, " "); got != "stderr:err stdout:one stdout:two" {
		t.Errorf("OnLine, which had enough at stdout's second line: %q", got)
	}
	if st := c.Stats(); st.Read != 24 || st.Streams != 0 || st.FileLostBytes+st.ConsoleLostBytes != 0 {
		t.Errorf("stats: %+v", st)
	}
}

func TestJSONEverywhere(t *testing.T) {
	var out safeBuffer
	dir := t.TempDir()
	c := newCollector(t, Options{Stdout: &out, Stderr: &out, Format: JSON, FileFormat: JSON})
	w := open(t, c, StreamSpec{Worker: "w", Attempt: 1, Dir: dir})
	finish(t, start(t, w, `printf 'a"\001\377\n\r10%%\r20%%\r\n'; echo no >&2`), w)
	closeNow(t, c)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("lines: %q", lines)
	}
	got := ""
	for _, l := range lines {
		v := parseJSON(t, l)
		if v.Stream == "stdout" {
			got += *v.Line + "|"
		}
	}
	if got != "a\"\x01\ufffd|20%|" {
		t.Errorf("%q", got)
	}
	file := readFile(t, Path(dir, 1, "w", Stdout))
	if v := parseJSON(t, strings.Split(file, "\n")[1]); *v.Line != "20%" || v.Attempt != 1 {
		t.Errorf("file: %q", file)
	}
}

// A worker that says nothing leaves no file and no folder.
func TestFilesBeginWithTheFirstByte(t *testing.T) {
	dir := t.TempDir()
	c := newCollector(t, Options{})
	w := open(t, c, StreamSpec{Worker: "w", Dir: dir})
	finish(t, start(t, w, `true`), w)
	closeNow(t, c)
	if left := must(os.ReadDir(dir)); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// Binary output, far more than any buffer, arrives in the files byte by byte.
func TestFilesAreExact(t *testing.T) {
	dir := t.TempDir()
	c := newCollector(t, Options{RotateBytes: 3 << 20, RotateKeep: 20, FileQueue: 64 << 20})
	w := open(t, c, StreamSpec{Worker: "w", Dir: dir})
	finish(t, start(t, w, `head -c 20000000 /dev/urandom | tee "$1"; sha256sum < "$1" >&2`, filepath.Join(t.TempDir(), "copy")), w)
	closeNow(t, c)
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(logsOf(t, Path(dir, 0, "w", Stdout)))))
	if got := readFile(t, Path(dir, 0, "w", Stderr)); !strings.HasPrefix(got, sum) {
		t.Errorf("files have %s, the worker wrote %s; %+v", sum, got, c.Stats())
	}
}

func TestOneLineOfTenMegabytes(t *testing.T) {
	const size = 10 << 20
	var out safeBuffer
	c := newCollector(t, Options{Stdout: &out, ConsoleQueue: 64 << 20})
	w := open(t, c, StreamSpec{Worker: "w"})
	finish(t, start(t, w, `head -c 10485760 /dev/zero | tr '\0' x; echo; echo after`), w)
	closeNow(t, c)
	lines := strings.Split(out.String(), "\n")
	n := 0
	for i, l := range lines[:len(lines)-2] {
		prefix := "[w+] "
		if i == 0 {
			prefix = "[w] "
		}
		rest, ok := strings.CutPrefix(l, prefix)
		if !ok || strings.Trim(rest, "x") != "" || len(rest) > maxLine {
			t.Fatalf("piece %d: %.30q… of %d", i, l, len(l))
		}
		n += len(rest)
	}
	if n != size || lines[len(lines)-2] != "[w] after" {
		t.Errorf("%d bytes in pieces, last line %.50q", n, lines[len(lines)-2])
	}
	if got := w.Tail(Stdout, 0); len(got) > 16<<10 || !bytes.HasSuffix(got, []byte("after\n")) {
		t.Errorf("tail of %d bytes ends with %.20q", len(got), got[len(got)-20:])
	}
}

// Lines of many workers, written in pieces, come out whole and in each worker's order.
func TestLinesAreNotInterleaved(t *testing.T) {
	var out safeBuffer
	c := newCollector(t, Options{Stdout: &out, ConsoleQueue: 64 << 20})
	var wg sync.WaitGroup
	for i := range 8 {
		w := open(t, c, StreamSpec{Worker: fmt.Sprint("w", i)})
		wg.Go(func() {
			for n := range 300 {
				fmt.Fprintf(w.Stdout, "%d ", i)
				fmt.Fprintf(w.Stdout, "%s %d\n", strings.Repeat("x", n), n)
			}
			<-w.Finish()
		})
	}
	wg.Wait()
	closeNow(t, c)
	next := map[int]int{}
	for _, l := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var i, j, n int
		var xs string
		if _, err := fmt.Sscanf(strings.Replace(l, "  ", " - ", 1), "[w%d] %d %s %d", &i, &j, &xs, &n); err != nil || i != j || n != next[i] {
			t.Fatalf("%q: %v; worker %d is at %d", l, err, i, next[i])
		}
		next[i]++
	}
	if len(next) != 8 || next[7] != 300 {
		t.Errorf("lines: %v", next)
	}
}

func TestPromptIsShown(t *testing.T) {
	var out safeBuffer
	c := newCollector(t, Options{Stdout: &out, PartialDelay: 10 * time.Millisecond, ProgressInterval: 20 * time.Millisecond})
	got := make(chan string, 10)
	w := open(t, c, StreamSpec{Worker: "w", OnLine: func(_ Stream, line []byte) bool {
		got <- string(line)
		return true
	}})
	fmt.Fprint(w.Stdout, "Password: ")
	within(t, "the prompt is shown", func() bool { return out.String() == "[w] Password: \n" })
	if line := <-got; line != "Password: " {
		t.Errorf("OnLine got %q", line)
	}
	if tail := string(w.Tail(Stdout, 0)); tail != "Password: " {
		t.Errorf("tail: %q", tail)
	}
	fmt.Fprint(w.Stdout, "secret\nnext\n")
	within(t, "the rest follows", func() bool { return out.String() == "[w] Password: \n[w+] secret\n[w] next\n" })
	if line := <-got; line != "Password: secret" {
		t.Errorf("OnLine got %q", line)
	}
	fmt.Fprint(w.Stdout, "again")
	within(t, "a second prompt", func() bool { return strings.HasSuffix(out.String(), "[w] again\n") })
	fmt.Fprint(w.Stdout, "\n") // all of the line is out: no empty line for its end
	done(t, w)
	if s := out.String(); !strings.HasSuffix(s, "[w] next\n[w] again\n") {
		t.Errorf("%q", s)
	}
}

// A progress bar shows some of its states, the last one among them, each on a line.
func TestProgressBar(t *testing.T) {
	var out safeBuffer
	dir := t.TempDir()
	c := newCollector(t, Options{Stdout: &out, PartialDelay: 5 * time.Millisecond, ProgressInterval: 50 * time.Millisecond})
	w := open(t, c, StreamSpec{Worker: "w", Dir: dir})
	begin := time.Now()
	for n := range 101 {
		fmt.Fprintf(w.Stdout, "\r%d%%", n)
		time.Sleep(time.Millisecond)
	}
	fmt.Fprint(w.Stdout, "\n")
	done(t, w)
	most := int(time.Since(begin)/(50*time.Millisecond)) + 2
	closeNow(t, c)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if lines[len(lines)-1] != "[w] 100%" || len(lines) < 2 || len(lines) > most {
		t.Errorf("shown: %q", lines)
	}
	for _, l := range lines {
		if !strings.HasPrefix(l, "[w] ") || strings.Count(l, "%") != 1 {
			t.Errorf("not a state: %q", l)
		}
	}
	if tail := string(w.Tail(Stdout, 0)); tail != "100%\n" {
		t.Errorf("tail: %q", tail)
	}
	if file := readFile(t, Path(dir, 0, "w", Stdout)); strings.Count(file, "\r") != 101 {
		t.Errorf("the file has not all states: %q", file)
	}
}

// A worker that closes its outputs must not keep the reader busy.
func TestWorkerClosesItsOutput(t *testing.T) {
	c := newCollector(t, Options{})
	w := open(t, c, StreamSpec{Worker: "w"})
	cmd := start(t, w, `echo last words; exec >&- 2>&-; sleep 0.3`)
	within(t, "the line", func() bool { return string(w.Tail(Stdout, 0)) == "last words\n" })
	finish(t, cmd, w)
	if n := c.Stats().Wakeups; n > 50 {
		t.Errorf("%d wake-ups for a closed pipe", n)
	}
}

// A grandchild that floods the pipe it inherited must not hold Finish up.
func TestGrandchildHoldsThePipe(t *testing.T) {
	c := newCollector(t, Options{})
	w := open(t, c, StreamSpec{Worker: "w"})
	cmd := start(t, w, `yes from the grandchild & echo $! >&2; wait`)
	within(t, "the grandchild writes", func() bool { return w.Activity(Stdout).Bytes > 1<<20 && w.Activity(Stderr).Bytes > 0 })
	var grandchild int
	if _, err := fmt.Sscan(string(w.Tail(Stderr, 0)), &grandchild); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = must(os.FindProcess(grandchild)).Kill() }()
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	done(t, w)
	if n := c.Stats().Streams; n != 0 {
		t.Errorf("%d streams left", n)
	}
	if got := w.Tail(Stdout, 100); !bytes.HasSuffix(got, []byte("grandchild\n")) && len(got) == 0 {
		t.Errorf("tail: %q", got)
	}
}

// A spawn that failed: nobody ever held the child's ends.
func TestFinishWithoutAProcess(t *testing.T) {
	c := newCollector(t, Options{})
	before := countFDs(t)
	for range 50 {
		w := open(t, c, StreamSpec{Worker: "w"})
		done(t, w)
		done(t, w)
	}
	if after := countFDs(t); after > before {
		t.Errorf("descriptors: %d, then %d", before, after)
	}
}

func TestClose(t *testing.T) {
	out := must(os.OpenFile(t.TempDir()+"/console", os.O_CREATE|os.O_WRONLY, 0o600))
	defer out.Close()
	before := countFDs(t)
	c := newCollector(t, Options{Stdout: out, Stderr: os.Stdin})
	w := open(t, c, StreamSpec{Worker: "w"})
	fmt.Fprint(w.Stdout, "unfinished")
	closeNow(t, c)
	<-w.Finish() // must not block, nor touch a descriptor that is closed
	if got := string(w.Tail(Stdout, 0)); got != "unfinished\n" {
		t.Errorf("tail: %q", got)
	}
	if _, err := c.Open(StreamSpec{Worker: "w"}); !errors.Is(err, ErrClosed) {
		t.Errorf("Open: %v", err)
	}
	if err := c.Close(0); !errors.Is(err, ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
	if after := countFDs(t); after != before {
		t.Errorf("descriptors: %d, then %d", before, after)
	}
}

func TestOpenWithoutDescriptors(t *testing.T) {
	c := newCollector(t, Options{})
	before := countFDs(t)
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	lowerFDLimit(t, before+6)
	for {
		f, err := os.Open("/dev/null")
		if err != nil {
			break
		}
		files = append(files, f)
	}
	files[0].Close()
	files[1].Close()
	files[2].Close()
	if _, err := c.Open(StreamSpec{Worker: "w"}); err == nil || !strings.Contains(err.Error(), "too many open files") {
		t.Errorf("Open: %v", err)
	}
	files[0], files[1], files[2] = must(os.Open("/dev/null")), must(os.Open("/dev/null")), must(os.Open("/dev/null"))
	if f, err := os.Open("/dev/null"); err == nil {
		f.Close()
		t.Error("Open left fewer descriptors in use than before?")
	}
}
