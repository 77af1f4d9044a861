package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// launch says how an init is started. The zero value runs it as PID 1.
type launch struct {
	flags  []string
	cmd    []string
	bare   []string // instead of the init with flags and cmd
	env    []string
	setup  setup
	guest  int      // 1: a child of our PID 1; 2: a grandchild, whose parent can be killed
	tty    *os.File // its standard files, and its controlling terminal
	stderr *os.File // instead of what is kept
	caught bool     // the command is the catcher: what it writes are records
}

// box is a PID namespace with an init in it.
type box struct {
	t      *trial
	proc   *os.Process
	pid    int // of the namespace's PID 1, as we see it
	in     *os.File
	lines  chan string
	execd  chan struct{} // closed when the init's own program has been executed
	news   chan string   // what the keeper says of an init that is not PID 1
	done   chan struct{} // closed when PID 1 is gone
	status syscall.WaitStatus

	mu    sync.Mutex
	errs  bytes.Buffer
	quiet chan struct{} // closed when nobody can write to standard error any more
}

// ends are our ends of the pipes, and the box's.
type ends struct{ out, err, exec, news [2]*os.File }

func (t *trial) start(l launch) *box {
	b := &box{t: t, lines: make(chan string, 4096), execd: make(chan struct{}), news: make(chan string, 64), done: make(chan struct{}), quiet: make(chan struct{})}
	var e ends
	in, w := t.pipe()
	b.in = w
	for _, p := range []*[2]*os.File{&e.out, &e.err, &e.exec, &e.news} {
		p[0], p[1] = t.pipe()
	}
	files := []*os.File{in, e.out[1], e.err[1], e.exec[1], e.news[1]}
	if l.tty != nil {
		files[0], files[1], files[2] = l.tty, l.tty, l.tty
	}
	if l.stderr != nil {
		files[2] = l.stderr
	}
	p, err := os.StartProcess(t.self, t.entry(l), &os.ProcAttr{Files: files, Env: l.environ(), Sys: l.attributes()})
	for _, f := range []*os.File{in, e.out[1], e.err[1], e.exec[1], e.news[1]} {
		f.Close()
	}
	t.need(err)
	b.proc, b.pid = p, p.Pid
	t.mu.Lock()
	t.boxes = append(t.boxes, b)
	t.mu.Unlock()
	if l.caught {
		go records(e.out[0], b.lines)
	} else {
		go scan(e.out[0], b.lines)
	}
	b.listen(e)
	return b
}

func (t *trial) pipe() (r, w *os.File) {
	r, w, err := os.Pipe()
	t.need(err)
	return r, w
}

// entry is the command line that makes the box ready and then becomes the init.
func (t *trial) entry(l launch) []string {
	argv := l.bare
	if argv == nil {
		argv = append([]string{t.init.copy}, l.flags...)
		argv = append(append(argv, "--"), l.cmd...)
	}
	role := "@box"
	if l.guest > 0 {
		role = "@keeper"
		l.setup.Depth = l.guest - 1
	}
	how, err := json.Marshal(l.setup)
	t.need(err)
	return append([]string{t.self, role, string(how)}, argv...)
}

func (l launch) environ() []string {
	if l.env != nil {
		return l.env
	}
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
}

func (l launch) attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS, Setsid: true, Setctty: l.tty != nil}
}

func (b *box) listen(e ends) {
	go scan(e.news[0], b.news)
	go func() {
		_, _ = io.Copy(b, e.err[0])
		e.err[0].Close()
		close(b.quiet)
	}()
	go func() {
		_, _ = e.exec[0].Read(make([]byte, 1)) // nothing is written: it ends when exec closes the other end
		e.exec[0].Close()
		close(b.execd)
	}()
	go func() {
		if s, err := b.proc.Wait(); err == nil {
			b.status = s.Sys().(syscall.WaitStatus)
		}
		close(b.done)
	}()
}

func scan(f *os.File, to chan<- string) {
	defer close(to)
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		to <- s.Text()
	}
}

// Write keeps what the init and its command print on standard error.
func (b *box) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.errs.Write(p)
}

func (b *box) stderr() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.errs.String()
}

// stderrAtEnd is for a box that has ended: it waits for the last of it.
func (b *box) stderrAtEnd() string {
	select {
	case <-b.quiet:
	case <-time.After(patience):
	}
	return b.stderr()
}

func (b *box) kill() {
	_ = b.proc.Kill()
	b.in.Close()
	go func() {
		for range b.lines { // the reader must not hang on a full channel
		}
	}()
	<-b.done
}

// line waits for the next line that starts with prefix, and returns the rest of it.
func (b *box) line(prefix string) (string, bool) { return b.lineWithin(prefix, patience) }

func (b *box) lineWithin(prefix string, d time.Duration) (string, bool) {
	return next(b.t, b.lines, prefix, d)
}

func next(t *trial, from <-chan string, prefix string, d time.Duration) (string, bool) {
	end := time.After(d)
	for {
		select {
		case l, ok := <-from:
			if !ok {
				return "", false
			}
			if rest, found := strings.CutPrefix(l, prefix); found {
				return strings.TrimSpace(rest), true
			}
		case <-end:
			return "", false
		case <-t.Done():
			return "", false
		}
	}
}

// must is line, or the end of the row.
func (b *box) must(prefix string) string {
	l, ok := b.line(prefix)
	if !ok {
		b.t.fail("%s", b.why("no \""+strings.TrimSpace(prefix)+"\" from the command"))
	}
	return l
}

// why says what is known about an init that did not do what was expected.
func (b *box) why(what string) string {
	if b.gone() {
		return b.outcome()
	}
	if text, ok := next(b.t, b.news, "ended ", tick); ok { // a guest
		n, _ := strconv.ParseUint(text, 10, 32)
		return codeText(codeOf(uint32(n)))
	}
	return what
}

// gone gives an end that is under way a moment.
func (b *box) gone() bool {
	select {
	case <-b.done:
		return true
	case <-time.After(50 * time.Millisecond):
		return false
	}
}

// outcome is the end of PID 1 in words.
func (b *box) outcome() string { return ending(b.status) }

func ending(s syscall.WaitStatus) string {
	if s.Signaled() {
		return "killed by " + signalName(s.Signal())
	}
	return "exit " + strconv.Itoa(s.ExitStatus())
}

// wait is the exit code of PID 1; 1000 if it does not end, and 1000 + n if signal n ended it.
func (b *box) wait() int { return b.waitWithin(patience) }

func (b *box) waitWithin(d time.Duration) int {
	select {
	case <-b.done:
	case <-time.After(d):
		return 1000
	case <-b.t.Done():
		return 1000
	}
	if b.status.Signaled() {
		return 1000 + int(b.status.Signal())
	}
	return b.status.ExitStatus()
}

func codeText(code int) string {
	switch {
	case code == 1000:
		return "does not end"
	case code > 1000:
		return "killed by " + signalName(syscall.Signal(code-1000))
	}
	return fmt.Sprintf("exit %d", code)
}

func signalName(s syscall.Signal) string {
	if n := unix.SignalName(s); n != "" {
		return strings.TrimPrefix(n, "SIG")
	}
	return strconv.Itoa(int(s))
}

func (b *box) say(text string) { _, _ = io.WriteString(b.in, text) }

// signal is from outside, as a container engine sends it.
func (b *box) signal(s syscall.Signal) { _ = syscall.Kill(b.pid, s) }
