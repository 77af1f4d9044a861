package reaper

import (
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/proc"
)

// dead says whether our child pid is a zombie now.
func dead(pid int) bool {
	p, err := proc.Peek(unix.P_PID, pid, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT)
	return err == nil && p.PID == pid
}

// forkAndExit makes a child that exits at once, to wake a thread blocked in
// waitid. Nothing else does: the runtime's handlers restart it (SA_RESTART), and a
// failed exec's child may be reaped by syscall.ForkExec before waitid looks.
//
// It must not be split: the child has one thread and no scheduler, so it may not
// enter a function prologue that would yield. It is a plain fork, on its own copy of
// the stack, and calls nothing but exit_group.
//
//go:norace
//go:nosplit
//go:noinline
func forkAndExit() (int, error) {
	pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	if pid == 0 {
		for {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	return int(pid), nil
}

// sigaction mirrors the kernel's struct: the handler comes first.
type sigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

const sigIgn = 1

// ignores says whether this process ignores s, so that an exec would keep that.
func ignores(s int) bool {
	var old sigaction
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(s), 0, uintptr(unsafe.Pointer(&old)), 8, 0, 0)
	return errno == 0 && old.handler == sigIgn
}

// unhandled are the signals for which the Go runtime installs no handler, or leaves an
// inherited "ignore" in place: only these can reach a child as ignored.
var unhandled = [...]int{
	int(unix.SIGHUP), int(unix.SIGINT), int(unix.SIGTSTP), int(unix.SIGTTIN),
	int(unix.SIGTTOU), int(unix.SIGCONT), 32, 33, 34,
}

func ignoresAny() bool {
	for _, s := range unhandled {
		if ignores(s) {
			return true
		}
	}
	return false
}

// closeOnExec marks every descriptor above 2; those of Go are marked already, so
// it is about what we inherited.
func closeOnExec(haveProc bool) {
	if unix.CloseRange(3, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC) == nil || !haveProc {
		return
	}
	ents, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range ents {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}
