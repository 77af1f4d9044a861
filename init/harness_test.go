package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// TestMain puts a `procguard` into PATH that is this test binary running main, so
// that the race detector watches the program under test as well.
func TestMain(m *testing.M) {
	testscript.Main(host{m}, map[string]func(){"procguard": main})
}

// host is what an init system is to a procguard that is not PID 1: it inherits
// and reaps what a killed one leaves.
type host struct{ m *testing.M }

func (h host) Run() int {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "needs PR_SET_CHILD_SUBREAPER:", err)
		return 1
	}
	go func() {
		for ; ; time.Sleep(20 * time.Millisecond) {
			reapOrphans()
		}
	}()
	return h.m.Run()
}

// reapOrphans reaps dead children that this process did not start: those lead, or
// live in, a session of their own. Everything else is os/exec's to wait for.
func reapOrphans() {
	own, _ := unix.Getsid(0)
	for _, p := range processes() {
		if p.ppid == os.Getpid() && p.state == 'Z' && p.session != own {
			_, _ = syscall.Wait4(p.pid, nil, syscall.WNOHANG, nil) // it may be gone
		}
	}
}

// patience bounds every wait; the machine may be busy, so it is generous.
const patience = 60 * time.Second

// eventually polls until cond holds.
func eventually(cond func() bool) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if cond() {
			return true
		}
	}
	return cond()
}

// process is a line of /proc, read independently of the code under test.
type process struct {
	pid, ppid, session int
	state              byte
}

func processes() []process {
	names, _ := filepath.Glob("/proc/[0-9]*")
	all := make([]process, 0, len(names))
	for _, n := range names {
		pid, _ := strconv.Atoi(filepath.Base(n))
		if p, ok := look(pid); ok {
			all = append(all, p)
		}
	}
	return all
}

func look(pid int) (process, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	i := bytes.LastIndexByte(b, ')')
	if err != nil || i < 0 {
		return process{}, false
	}
	f := strings.Fields(string(b[i+1:]))
	ppid, _ := strconv.Atoi(f[1])
	session, _ := strconv.Atoi(f[3])
	return process{pid, ppid, session, f[0][0]}, true
}

// lives says whether pid is a process that is not a zombie.
func lives(pid int) bool {
	p, ok := look(pid)
	return ok && p.state != 'Z' && p.state != 'X'
}

// dirKey is set in the environment of every procguard under test, and so of all
// its descendants: it tells them from everything else on this machine.
const dirKey = "PG_TEST_DIR"

// started lists the living processes that a test in dir is responsible for.
func started(dir string) (pids []int) {
	mark := []byte(dirKey + "=" + dir + "\x00")
	for _, p := range processes() {
		env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.pid))
		if bytes.Contains(append(env, 0), mark) && p.state != 'Z' && p.pid != os.Getpid() {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

func killStarted(dir string) {
	for _, pid := range started(dir) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// guard is a running procguard with its output in files.
type guard struct {
	cmd      *exec.Cmd
	out, err string // paths
	done     chan struct{}
}

// launch starts `procguard ARGS…` in dir; env is added to the environment.
func launch(dir, name string, env []string, argv ...string) (*guard, error) {
	g := &guard{out: filepath.Join(dir, name+".out"), err: filepath.Join(dir, name+".err"), done: make(chan struct{})}
	stdout, err := os.OpenFile(g.out, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer stdout.Close()
	stderr, err := os.OpenFile(g.err, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	g.cmd = exec.Command(argv[0], argv[1:]...)
	g.cmd.Dir, g.cmd.Env, g.cmd.Stdout, g.cmd.Stderr = dir, append(os.Environ(), env...), stdout, stderr
	g.cmd.Env = append(g.cmd.Env, dirKey+"="+dir)
	if err := g.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = g.cmd.Wait() // the code is in ProcessState
		close(g.done)
	}()
	return g, nil
}

func (g *guard) signal(s syscall.Signal) { _ = g.cmd.Process.Signal(s) }

// wait returns the exit code, or -1 and an error if it does not end.
func (g *guard) wait() (int, error) {
	select {
	case <-g.done:
		ws := g.cmd.ProcessState.Sys().(syscall.WaitStatus)
		if ws.Signaled() {
			return 128 + int(ws.Signal()), nil
		}
		return ws.ExitStatus(), nil
	case <-time.After(patience):
		return -1, errors.New("procguard did not end")
	}
}

func (g *guard) running() bool {
	select {
	case <-g.done:
		return false
	default:
		return true
	}
}

// log is everything that it wrote to standard error.
func (g *guard) log() string {
	b, _ := os.ReadFile(g.err)
	return string(b)
}

// bench is a directory with a configuration, for tests in Go.
type bench struct {
	*testing.T
	dir string
	n   int
}

// newBench writes config, to which the places of the state and the socket are
// added, and sees to it that nothing is left running.
func newBench(t *testing.T, config string) *bench {
	t.Helper()
	t.Parallel() // they wait most of the time
	b := &bench{T: t, dir: t.TempDir()}
	b.file("procguard.yaml", config+"\nstate: {dir: \"${"+dirKey+"}/state\"}\ncontrol: {socket: \"${"+dirKey+"}/sock\"}\n")
	t.Cleanup(func() { killStarted(b.dir) })
	return b
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) file(name, content string) {
	b.Helper()
	if err := os.WriteFile(b.path(name), []byte(content), 0o755); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) read(name string) string {
	data, _ := os.ReadFile(b.path(name))
	return string(data)
}

// start runs the configuration.
func (b *bench) start(args ...string) *guard {
	b.Helper()
	b.n++
	g, err := launch(b.dir, fmt.Sprintf("run%d", b.n), nil, append([]string{"procguard"}, args...)...)
	if err != nil {
		b.Fatal(err)
	}
	return g
}

// ends waits for the exit code.
func (b *bench) ends(g *guard, code int) {
	b.Helper()
	if got, err := g.wait(); err != nil || got != code {
		b.Fatalf("exit code %d, %v; expected %d\n%s", got, err, code, g.log())
	}
}

// stop asks for the orderly stop and expects that nothing survives it.
func (b *bench) stop(g *guard) {
	b.Helper()
	g.signal(syscall.SIGTERM)
	b.ends(g, 0)
	if left := started(b.dir); len(left) > 0 {
		b.Fatalf("alive after the stop: %v\n%s", left, g.log())
	}
}

// await waits until cond holds, and shows what g said if it never does.
func (b *bench) await(g *guard, what string, cond func() bool) {
	b.Helper()
	if !eventually(cond) {
		b.Fatalf("never: %s\n%s", what, g.log())
	}
}

// awaitText waits for a regular expression in a file and returns the submatches.
func (b *bench) awaitText(g *guard, name, expr string) []string {
	b.Helper()
	re := regexp.MustCompile("(?m)" + expr)
	var m []string
	b.await(g, name+" has "+expr, func() bool { m = re.FindStringSubmatch(b.read(name)); return m != nil })
	return m
}

// awaitPID waits for a file with a pid in it.
func (b *bench) awaitPID(g *guard, name string) int {
	b.Helper()
	pid, _ := strconv.Atoi(b.awaitText(g, name, `^(\d+)$`)[1])
	return pid
}
