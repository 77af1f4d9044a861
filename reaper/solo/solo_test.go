package solo

import (
	"encoding/gob"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/catch"
)

// Run owns its process, so the tests run this binary again in a role of its own.
func TestMain(m *testing.M) {
	switch os.Getenv("SOLO_TEST_ROLE") {
	case "":
		os.Exit(m.Run())
	case "init":
		os.Exit(beInit())
	case "headless":
		os.Exit(beHeadless())
	case "parent":
		os.Exit(beParent())
	case "release":
		os.Exit(beReleased())
	case "count":
		blockAndBecome("counter")
	case "counter":
		os.Exit(beCounter())
	}
	os.Exit(99)
}

func beInit() int {
	var o Options
	if err := gob.NewDecoder(hex.NewDecoder(strings.NewReader(os.Getenv("SOLO_TEST_OPTIONS")))).Decode(&o); err != nil {
		panic(err)
	}
	o.Log = func(level int, text string) { fmt.Fprintf(os.Stderr, "solo: %d %s\n", level, text) }
	r := Run(o)
	switch {
	case r.Err != nil:
		fmt.Fprintln(os.Stderr, r.Err)
		return 125
	case r.Status.Signaled():
		return 128 + int(r.Status.Signal())
	}
	return r.Status.ExitStatus()
}

// blockAndBecome blocks the storm's signal in all threads: those of a Go program get the
// mask that it was executed with.
func blockAndBecome(role string) {
	runtime.LockOSThread()
	catch.SetMask(1 << (stormSignal - 1))
	exe, _ := os.Executable()
	os.Setenv("SOLO_TEST_ROLE", role)
	panic(syscall.Exec(exe, os.Args, os.Environ()))
}

// beCounter takes 10,000 queued signals in the order of their values, then says so.
func beCounter() int {
	set := unix.Sigset_t{}
	set.Val[0] = 1 << (stormSignal - 1)
	fd, err := unix.Signalfd(-1, &set, 0)
	if err != nil {
		return 2
	}
	fmt.Println("ready")
	var next uint64
	var si unix.SignalfdSiginfo
	for next < storm {
		b := (*[unsafe.Sizeof(si)]byte)(unsafe.Pointer(&si))[:]
		if _, err := unix.Read(fd, b); err != nil {
			continue
		}
		if si.Ptr != next {
			fmt.Printf("got %d, wanted %d\n", si.Ptr, next)
			return 3
		}
		next++
	}
	return 0
}

const (
	storm       = 10000
	stormSignal = 40
)

// rig is one init under test.
type rig struct {
	*testing.T
	cmd      *exec.Cmd
	out, err *lines
}

// lines collects output that can be waited for.
type lines struct {
	t    *testing.T
	name string
}

func (l *lines) text() string {
	b, _ := os.ReadFile(l.name)
	return string(b)
}

// until waits for a word; it fails after a time that no slow machine needs.
func (l *lines) until(word string) {
	l.t.Helper()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(l.text(), word); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("never said %q, but %q", word, l.text())
		}
	}
}

// pass is how options get to the role; gob leaves functions out.
func pass(o Options) string {
	var b strings.Builder
	if err := gob.NewEncoder(hex.NewEncoder(&b)).Encode(o); err != nil {
		panic(err)
	}
	return "SOLO_TEST_OPTIONS=" + b.String()
}

// start runs argv under an init with o; attr may be nil.
func start(t *testing.T, o Options, attr *syscall.SysProcAttr, argv ...string) *rig {
	t.Helper()
	o.Argv = argv
	dir := t.TempDir()
	file := func(name string) (*os.File, *lines) {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return f, &lines{t, f.Name()}
	}
	g := &rig{T: t}
	g.cmd = exec.Command("/proc/self/exe")
	g.cmd.Env = append(os.Environ(), "SOLO_TEST_ROLE=init", pass(o))
	g.cmd.SysProcAttr = attr
	var out, errs *os.File
	out, g.out = file("out")
	errs, g.err = file("err")
	defer out.Close()
	defer errs.Close()
	g.cmd.Stdout, g.cmd.Stderr = out, errs
	if err := startWith(g.cmd, likeTheProgram); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, d := range below(g.cmd.Process.Pid) {
			_ = unix.Kill(d, unix.SIGKILL)
		}
		_ = g.cmd.Process.Kill()
	})
	return g
}

// likeTheProgram is the mask that the threads of the released program have, but for the main
// one: see init/early.
const likeTheProgram = ^uint64(1 << (unix.SIGTTOU - 1))

// startWith starts a command with blocked signals, less those that Go cannot do without.
func startWith(cmd *exec.Cmd, mask uint64) error {
	runtime.LockOSThread() // a child has the mask of the thread that forked it
	defer runtime.UnlockOSThread()
	catch.SetMask(mask &^ (1<<(unix.SIGURG-1) | 1<<(unix.SIGPROF-1) | 1<<(unix.SIGSEGV-1)))
	defer catch.SetMask(0)
	return cmd.Start()
}

// below lists the children of a process, which would outlive it.
func below(pid int) (pids []int) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, f := range strings.Fields(string(b)) {
		child, _ := strconv.Atoi(f)
		pids = append(pids, child)
	}
	return pids
}

func (g *rig) ends(code int) {
	g.Helper()
	done := make(chan error, 1)
	go func() { done <- g.cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		g.Fatalf("does not end; it said %s%s", g.out.text(), g.err.text())
	}
	if got := g.cmd.ProcessState.ExitCode(); got != code {
		g.Errorf("exit code %d, wanted %d; it said %s%s", got, code, g.out.text(), g.err.text())
	}
}

func (g *rig) signal(s syscall.Signal) {
	g.Helper()
	if err := g.cmd.Process.Signal(s); err != nil {
		g.Fatal(err)
	}
}

// child is how a test runs this binary in another role below the init.
func child(role string) []string {
	exe, _ := os.Executable()
	return []string{"env", "SOLO_TEST_ROLE=" + role, exe}
}

func TestExitCodes(t *testing.T) {
	start(t, Options{}, nil, "true").ends(0)
	start(t, Options{}, nil, "sh", "-c", "exit 42").ends(42)
	start(t, Options{}, nil, "sh", "-c", "kill -SEGV $$").ends(128 + 11)
	g := start(t, Options{}, nil, "/no/such/file")
	g.ends(125)
	g.err.until("/no/such/file: no such file")
}

// Ten thousand queued signals arrive, each once, in their order, with their values.
func TestNoSignalIsMerged(t *testing.T) {
	g := start(t, Options{}, nil, child("count")...)
	g.out.until("ready")
	for i := range uint64(storm) {
		for sigqueue(g.cmd.Process.Pid, stormSignal, i) == unix.EAGAIN { // as many are pending as are allowed
			time.Sleep(time.Millisecond)
		}
	}
	g.ends(0)
}

func TestEverySignal(t *testing.T) {
	script := `for s in $(seq 1 64); do case $s in 9|17|19) ;; *) trap "echo [$s]" $s 2>/dev/null;; esac; done; echo ready; while :; do sleep 0.01; done`
	g := start(t, Options{}, nil, "bash", "-c", script)
	g.out.until("ready")
	for s := syscall.Signal(1); s <= 64; s++ {
		switch s {
		case unix.SIGKILL, unix.SIGCHLD, unix.SIGSTOP, 32, 33: // a shell cannot trap the last two
			continue
		case unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
		}
		g.signal(s)
		g.out.until(fmt.Sprintf("[%d]", s))
	}
}

// What we inherited, ignored or blocked, is not handed on.
func TestDispositionsAreReset(t *testing.T) {
	script := `trap '' HUP INT QUIT PIPE TERM USR1 TTOU RTMIN+3 CHLD; exec "$@"`
	for _, mask := range []uint64{0, ^uint64(0)} {
		g := startMasked(t, mask, "bash", "-c", script, "x")
		g.ends(0)
		for _, field := range []string{"SigIgn", "SigBlk", "SigCgt"} {
			if !strings.Contains(g.out.text(), field+":\t0000000000000000") {
				t.Errorf("mask %x: no empty %s in %s", mask, field, g.out.text())
			}
		}
	}
}

// startMasked starts the init through a shell that ignores signals, with a mask.
func startMasked(t *testing.T, mask uint64, shell ...string) *rig {
	o := Options{Argv: []string{"cat", "/proc/self/status"}}
	g := &rig{T: t}
	dir := t.TempDir()
	g.out, g.err = &lines{t, dir + "/out"}, &lines{t, dir + "/err"}
	g.cmd = exec.Command(shell[0], append(shell[1:], "/proc/"+strconv.Itoa(os.Getpid())+"/exe")...)
	g.cmd.Env = append(os.Environ(), "SOLO_TEST_ROLE=init", pass(o))
	out, _ := os.Create(dir + "/out")
	defer out.Close()
	g.cmd.Stdout, g.cmd.Stderr = out, out
	if err := startWith(g.cmd, mask); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGrace(t *testing.T) {
	g := start(t, Options{Grace: 300 * time.Millisecond, Verbose: 1}, nil, "sh", "-c", "trap '' TERM; setsid sleep 1000 & echo $! ready; while :; do sleep 0.01; done")
	g.out.until("ready")
	pid, _ := strconv.Atoi(strings.Fields(g.out.text())[0])
	g.signal(unix.SIGTERM)
	g.ends(128 + 9)
	g.err.until("did not end within 300ms")
	if err := unix.Kill(pid, 0); err != unix.ESRCH {
		t.Errorf("the child that left its session lives: %v", err)
	}
}

func TestPreStop(t *testing.T) {
	o := Options{Grace: 20 * time.Second, PreStop: []string{"sh", "-c", "echo saving; sleep 0.2; echo saved"}}
	g := start(t, o, nil, "sh", "-c", "trap 'echo TERM; exit 5' TERM; echo ready; while :; do sleep 0.01; done")
	g.out.until("ready")
	g.signal(unix.SIGTERM)
	g.ends(5)
	if got := g.out.text(); got != "ready\nsaving\nsaved\nTERM\n" {
		t.Errorf("order: %q", got)
	}
}

func TestKillOrphans(t *testing.T) {
	g := start(t, Options{KillOrphans: true}, nil, "sh", "-c", "(trap '' TERM HUP; setsid sleep 1000 & echo $! >&3) 3>&1; exit 7")
	g.ends(7)
	pid, err := strconv.Atoi(strings.TrimSpace(g.out.text()))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, 0); err != unix.ESRCH {
		t.Errorf("an orphan survived: %v", err)
	}
}

// An orphan's end is never taken for the command's, and no zombie is left.
func TestOrphans(t *testing.T) {
	g := start(t, Options{Subreaper: true}, nil, "sh", "-c", `i=0; while [ $i -lt 300 ]; do (sh -c "exit 9" &); i=$((i+1)); done; echo spawned; sleep 0.3; exit 3`)
	g.ends(3)
}

func TestNothingToRun(t *testing.T) {
	g := start(t, Options{Pause: true, Verbose: 2}, nil)
	g.err.until("nothing to run")
	g.signal(unix.SIGTERM)
	g.ends(0)
}

// The command stops, we stop; CONT wakes both.
func TestStopsWithTheCommand(t *testing.T) {
	g := start(t, Options{}, nil, "sh", "-c", "echo $$ ready; while :; do sleep 0.01; done")
	g.out.until("ready")
	pid, _ := strconv.Atoi(strings.Fields(g.out.text())[0])
	g.signal(unix.SIGTSTP)
	stateOf(t, g.cmd.Process.Pid, "T")
	stateOf(t, pid, "T")
	g.signal(unix.SIGCONT)
	stateOf(t, g.cmd.Process.Pid, "SR")
	stateOf(t, pid, "SRD")
	g.signal(unix.SIGTERM)
	g.ends(128 + 15)
}

func stateOf(t *testing.T, pid int, want string) {
	t.Helper()
	got := ""
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if _, rest, ok := strings.Cut(string(b), ") "); ok {
			if got = rest[:1]; strings.Contains(want, got) {
				return
			}
		}
	}
	t.Fatalf("process %d is in state %s, not %s", pid, got, want)
}

// The command reads what we never touched.
func TestStandardInputIsTheCommands(t *testing.T) {
	r, w, _ := os.Pipe()
	o := Options{Argv: []string{"cat"}}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "SOLO_TEST_ROLE=init", pass(o))
	cmd.Stdin = r
	text := strings.Repeat("0123456789abcdef", 1<<12)
	go func() {
		_, _ = io.WriteString(w, text)
		w.Close()
	}()
	out, err := cmd.Output()
	if err != nil || string(out) != text {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}
