package solo

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What has lost its first thread is found and killed as well.
func TestKillOrphansWithoutFirstThread(t *testing.T) {
	exe, _ := os.Executable()
	g := start(t, Options{KillOrphans: true}, nil, "sh", "-c", `SOLO_TEST_ROLE=headless setsid "$0" & echo $!; while ! grep -q "State:.Z" /proc/$!/status; do sleep 0.01; done; exit 7`, exe)
	g.ends(7)
	pid, err := strconv.Atoi(strings.TrimSpace(g.out.text()))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, 0); err != unix.ESRCH {
		_ = unix.Kill(pid, unix.SIGKILL)
		t.Errorf("it survived: %v", err)
	}
}

// beHeadless ends the first thread only.
func beHeadless() int {
	runtime.LockOSThread() // main, and so the first thread
	_, _, _ = unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
	return 1
}
