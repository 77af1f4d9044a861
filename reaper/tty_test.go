package reaper

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// openPty returns the terminal's side that a program uses, and keeps the other open.
func openPty(t *testing.T) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("needs pseudo terminals: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("needs /dev/pts: %v", err)
	}
	t.Cleanup(func() { tty.Close() })
	return tty
}

func init() { roles["shell"] = foregroundShell }

// foregroundShell has a controlling terminal and hands it to a child in a group of its own.
func foregroundShell() int {
	exits := make(chan Exit, 1)
	r, err := Start(Options{OnExit: func(e Exit) { exits <- e }})
	if err != nil {
		return failf("%v", err)
	}
	p, err := r.Spawn(Spec{
		Own: OwnGroup, Foreground: os.Stdin, Stdin: os.Stdin,
		Argv: []string{"/bin/sh", "-c", `test $(ps -o tpgid= -p $$) -eq $$ && test $(ps -o pgid= -p $$) -eq $$`},
	})
	if err != nil {
		return failf("%v", err)
	}
	if e := <-exits; e.PID != p.PID || e.Code() != 0 {
		return 3
	}
	return 0
}

func TestTerminal(t *testing.T) {
	g := newRig(t)
	tty := openPty(t)
	s := g.sh("ctty", `exec 3</dev/tty && test $(ps -o sid= -p $$) -eq $$`)
	s.Stdin, s.Ctty = tty, ptr(0)
	if e := g.exit(g.spawn(s)); e.Code() != 0 {
		t.Errorf("no controlling terminal: %v", e)
	}
	s = g.spec("shell", "/proc/self/exe")
	s.Stdin, s.Ctty = tty, ptr(0)
	s.Env = append(os.Environ(), "REAPER_TEST_ROLE=shell")
	if e := g.exit(g.spawn(s)); e.Code() != 0 {
		t.Errorf("terminal not handed over: %v", e)
	}
}
