//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal is a person at `docker run -it`.
type terminal struct {
	*box
	keys *os.File // the pseudo-terminal's other end
	mu   sync.Mutex
	seen strings.Builder
	from int // how much of seen was awaited
}

// newTerminal runs args under the binary in a new container.
func newTerminal(t *testing.T, b *box, args ...string) *terminal {
	t.Helper()
	keys, screen := openTerminal(t)
	c := exec.Command("docker", b.runArgs([]string{"-it", "--entrypoint", "procguard"}, image, args...)...)
	c.Stdin, c.Stdout, c.Stderr = screen, screen, screen
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	_ = screen.Close()
	x := &terminal{box: b, keys: keys}
	done := make(chan struct{})
	go func() { x.watch(); _ = c.Wait(); close(done) }()
	t.Cleanup(func() {
		_, _ = docker("kill", b.name) // docker run ends with it
		<-done
		if t.Failed() {
			t.Logf("on the screen:\n%q", x.screen())
		}
	})
	return x
}

// openTerminal gives both ends of a new pseudo-terminal; the first one is closed at
// the end of the test.
func openTerminal(t *testing.T) (keys, screen *os.File) {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close() })
	n, err := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keys.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return keys, screen
}

// watch ends when nobody has the screen any more.
func (x *terminal) watch() {
	buf := make([]byte, 4096)
	for {
		n, err := x.keys.Read(buf)
		x.mu.Lock()
		x.seen.Write(buf[:n])
		x.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (x *terminal) screen() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.seen.String()
}

// await waits for text, after what was awaited before.
func (x *terminal) await(text string) {
	x.Helper()
	x.eventually(fmt.Sprintf("%q on the screen", text), func() bool {
		at := strings.Index(x.screen()[x.from:], text)
		if at >= 0 {
			x.from += at + len(text)
		}
		return at >= 0
	})
}

func (x *terminal) press(keys string) {
	x.Helper()
	if _, err := x.keys.WriteString(keys); err != nil {
		x.Fatal(err)
	}
}

const (
	ctrlC = "\x03"
	ctrlZ = "\x1a"
)

// TestTerminalShell: an interactive shell has job control, all of it.
func TestTerminalShell(t *testing.T) {
	x := newTerminal(t, newBox(t, nil, "-e", "PS1=prompt> "), "--", "bash", "--norc", "--noediting", "-i")
	x.await("prompt> ")
	x.press("sh -c 'echo on; exec sleep 1000'\n")
	x.await("\non")
	x.press(ctrlC)
	x.await("prompt> ")
	x.press("echo code $?\n")
	x.await("\ncode 130\r\nprompt> ")

	x.press("sh -c 'echo again; exec sleep 1000'\n")
	x.await("\nagain")
	x.press(ctrlZ)
	x.await("Stopped")
	x.press("bg\n")
	x.await("&\r\nprompt> ")
	x.press("jobs\n")
	x.await("Running")
	x.press("fg\n")
	x.await("sleep 1000'\r\n")
	x.press(ctrlC)
	x.await("prompt> ")

	x.press("cat &\n")
	x.await("prompt> ")
	x.press("wait\n")
	x.await("Stopped") // it wanted to read
	x.await("prompt> ")
	x.press("exit 3\n")
	x.await("There are stopped jobs") // it is told, and asks
	x.press("exit 3\n")
	x.ends(3)
	if strings.Contains(x.screen(), "no job control") {
		t.Error("the shell has no job control")
	}
}

// TestTerminalKeys: what is typed reaches a child that is no shell.
func TestTerminalKeys(t *testing.T) {
	const child = `trap 'echo int; exit 4' INT; trap 'echo size $(stty size)' WINCH; echo ready
i=0; while :; do sleep 0.05; i=$((i+1)); test -e /job/count && echo $i >/job/count; done`
	b := newBox(t, nil)
	x := newTerminal(t, b, "--", "sh", "-c", child)
	x.await("ready")
	if err := unix.IoctlSetWinsize(int(x.keys.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 50, Col: 132}); err != nil {
		t.Fatal(err)
	}
	x.await("size 50 132")

	// Nobody is there to continue what this stops.
	x.press(ctrlZ)
	x.await("^Z")
	b.file("count", "")
	b.eventually("it goes on", func() bool { return b.read("count") != "" })
	x.press(ctrlC)
	x.await("int")
	b.ends(4)
}

// TestTerminalStop: a stopped child is continued by whoever continues the container,
// and a request to end reaches it afterwards.
func TestTerminalStop(t *testing.T) {
	b := newBox(t, nil)
	x := newTerminal(t, b, "--", "sh", "-c", `trap 'exit 5' TERM; kill -STOP $$; echo going on; while :; do sleep 0.05; done`)
	pid := b.startedPID()
	b.eventually("stopped", func() bool { c := children(pid); return len(c) == 1 && c[0].state == "T" })
	b.docker("kill", "-s", "CONT", b.name)
	x.await("going on")
	b.docker("stop", "-t", "30", b.name)
	b.ends(5)
}

// startedPID waits for a container that somebody else starts.
func (b *box) startedPID() int {
	b.Helper()
	b.eventually("it runs", func() bool {
		out, err := b.try("inspect", "-f", "{{.State.Running}}", b.name)
		return err == nil && out == "true"
	})
	return b.pid()
}

// TestTerminalBackground: a shell that is no interactive one may have jobs as well,
// and one of them that wants the terminal waits until it gets it.
func TestTerminalBackground(t *testing.T) {
	const child = `set -m; sh -c 'read line; echo read $line' & wait; echo asleep; fg; echo over; exit 6`
	x := newTerminal(t, newBox(t, nil), "--", "bash", "-c", child)
	x.await("asleep")
	x.press("hello\n")
	x.await("read hello")
	x.await("over")
	x.ends(6)
}
