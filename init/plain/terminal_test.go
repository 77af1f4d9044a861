package plain

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// In the background, on a terminal that takes output from the foreground only (stty tostop), a
// message before the command's start must not be tried for ever: our handler of TTOU does not
// stop us, so the kernel would try again and again.
func TestMessageInTheBackground(t *testing.T) {
	master, slave := openTerminal(t)
	cmd := exec.Command("sh", "-c", `set -m; stty tostop; "$0" --user no-such-user true & wait $!; echo $? after`, binary(t, "procguard"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	_ = master.SetReadDeadline(time.Now().Add(20 * time.Second))
	text := ""
	for b := make([]byte, 1024); !strings.Contains(text, "after"); {
		n, err := master.Read(b)
		if err != nil {
			t.Fatalf("%v after %q", err, text)
		}
		text += string(b[:n])
	}
	if !strings.Contains(text, "is not known here") || !strings.Contains(text, "125 after") {
		t.Errorf("%q", text)
	}
}

func openTerminal(t *testing.T) (master, slave *os.File) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skip("no terminals here:", err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx") // non-blocking: with deadlines
	t.Cleanup(func() { master.Close() })
	_ = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}
