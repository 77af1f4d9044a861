package solo

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/catch"
)

// A signal that finds the child between fork and exec, when it still shares our memory and our
// handler, must not leave the command with what our own threads block. A lease on the
// command's file holds the exec up.
func TestSignalBeforeExec(t *testing.T) {
	g, release := startHeldUp(t)
	var children []int
	for end := time.Now().Add(20 * time.Second); len(children) == 0; time.Sleep(time.Millisecond) {
		if children = below(g.cmd.Process.Pid); time.Now().After(end) {
			t.Fatal("no child")
		}
	}
	await(t, "the child is held up", func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", children[0]))
		return strings.Contains(string(b), ") S ")
	})
	_ = unix.Kill(children[0], unix.SIGCONT)
	await(t, "the child has taken the signal", func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", children[0]))
		return strings.Contains(string(b), "ShdPnd:\t0000000000000000")
	})
	release()
	g.ends(0)
	if got := strings.TrimSpace(g.out.text()); got != "SigBlk:\t0000000000000000" {
		t.Errorf("the command has %q", got)
	}
}

func startHeldUp(t *testing.T) (*rig, func()) {
	grep, err := exec.LookPath("grep")
	if err != nil {
		t.Skip("needs grep:", err)
	}
	b, _ := os.ReadFile(grep)
	file := filepath.Join(t.TempDir(), "grep")
	if err := os.WriteFile(file, b, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, unix.SIGIO)
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skip("no leases here:", err)
	}
	g := start(t, Options{}, nil, file, "-h", "SigBlk", "/proc/self/status")
	select {
	case <-broken:
	case <-time.After(20 * time.Second):
		t.Fatalf("nobody executes the command; the init said %q", g.err.text())
	}
	return g, func() { f.Close() }
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("in vain: ", what)
		}
	}
}

// The child has the terminal before it is found that it cannot be executed.
func TestFailedExecGivesTheTerminalBack(t *testing.T) {
	master, slave := openTerminal(t)
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("#!/no/such/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	exe, _ := os.Executable()
	cmd := exec.Command("sh", "-c", `"$0"; echo $? after; read x`, exe)
	cmd.Env = append(os.Environ(), "SOLO_TEST_ROLE=init", pass(Options{Argv: []string{bad}}))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	text := ""
	for b := make([]byte, 1024); !strings.Contains(text, "after"); {
		n, err := master.Read(b)
		if err != nil {
			t.Fatalf("%v after %q", err, text)
		}
		text += string(b[:n])
	}
	holder, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPGRP)
	if err != nil || holder != cmd.Process.Pid || !strings.Contains(text, "125 after") {
		t.Errorf("group %d, %v has the terminal of %d; it said %q", holder, err, cmd.Process.Pid, text)
	}
}

func openTerminal(t *testing.T) (master, slave *os.File) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no terminals here:", err)
	}
	t.Cleanup(func() { master.Close() })
	_ = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// The pre-stop command starts where the command did, although we went to / meanwhile.
func TestPreStopDirectory(t *testing.T) {
	o := Options{Dir: "testdata", Grace: 20 * time.Second, PreStop: []string{"pwd"}}
	g := start(t, o, nil, "sh", "-c", "echo ready; while :; do sleep 0.01; done")
	g.out.until("ready")
	g.signal(unix.SIGTERM)
	g.ends(128 + 15)
	here, _ := os.Getwd()
	if got := g.out.text(); got != "ready\n"+here+"/testdata\n" {
		t.Errorf("%q, and %q", got, g.err.text())
	}
}

// A pre-stop command that cannot be started is no reason to keep the TERM.
func TestPreStopMissing(t *testing.T) {
	g := start(t, Options{PreStop: []string{"/no/such"}}, nil, "sh", "-c", "echo ready; while :; do sleep 0.01; done")
	g.out.until("ready")
	g.signal(unix.SIGTERM)
	g.ends(128 + 15)
}

// Children may have died before we took over: whoever executed us left them.
func TestNothingToRunReapsOldZombies(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "SOLO_TEST_ROLE=parent", pass(Options{Pause: true, Verbose: 2}))
	said, _ := cmd.StderrPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = said.Read(make([]byte, 100)) // that it is ready, or the end
	await(t, "the zombie is gone", func() bool { return len(below(cmd.Process.Pid)) == 0 })
	_ = cmd.Process.Signal(unix.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// What came for the command while the listener had its place has its effect.
func TestListenerPassesSignalsOn(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "SOLO_TEST_ROLE=release")
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if st, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || st.Signal() != unix.SIGTERM {
		t.Errorf("not ended by SIGTERM: %v", err)
	}
}

func beReleased() int {
	if catch.Begin() != 0 {
		return 1
	}
	_ = unix.Kill(os.Getpid(), unix.SIGTERM)
	release()
	return 2
}

// beParent becomes an init that has a zombie.
func beParent() int {
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"child"}, &syscall.ProcAttr{Env: []string{"SOLO_TEST_ROLE=none"}})
	if err != nil {
		return 1
	}
	_ = unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
	os.Setenv("SOLO_TEST_ROLE", "init")
	panic(syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
}
