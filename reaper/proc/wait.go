package proc

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Child is what waitid(2) tells about a child without reaping it.
type Child struct {
	PID    int
	Code   int // CLD_EXITED, CLD_KILLED, CLD_DUMPED, CLD_STOPPED, ...
	Signal int // of a stop: the signal; of an exit: its code
}

// si_code values of SIGCHLD, from <asm-generic/siginfo.h>.
const (
	Trapped   = 4
	Stopped   = 5
	Continued = 6
)

// siginfo mirrors the head of siginfo_t: the union is aligned as a pointer is.
type siginfo struct {
	signo, errno, code int32
	_                  [0]uintptr
	pid                int32
	uid                uint32
	status             int32
	_                  [128 - 24]byte
}

// Peek asks for the first child that matches, see waitid(2); PID 0 means none (with
// WNOHANG). It reaps unless options hold WNOWAIT.
func Peek(kind, id, options int) (Child, error) {
	for {
		var si siginfo
		err := unix.Waitid(kind, id, (*unix.Siginfo)(unsafe.Pointer(&si)), options, nil)
		if err != unix.EINTR {
			return Child{int(si.pid), int(si.code), int(si.status)}, err
		}
	}
}

// Reap reaps a child known to be dead or about to die.
func Reap(pid int, ru *syscall.Rusage) (syscall.WaitStatus, error) {
	for {
		var ws syscall.WaitStatus
		_, err := syscall.Wait4(pid, &ws, 0, ru)
		if err != syscall.EINTR {
			return ws, err
		}
	}
}

// PeekNow is Peek with WNOHANG, and ReapNow reaps a zombie. Neither blocks, so the scheduler
// is not told of them: under a storm of orphans that is half of the cost.
func PeekNow(kind, id, options int) (Child, error) {
	var si siginfo
	_, _, e := syscall.RawSyscall6(unix.SYS_WAITID, uintptr(kind), uintptr(id), uintptr(unsafe.Pointer(&si)), uintptr(options|unix.WNOHANG), 0, 0)
	if e != 0 {
		return Child{}, e
	}
	return Child{int(si.pid), int(si.code), int(si.status)}, nil
}

// ReapNow gives 0 if pid is no zombie of ours.
func ReapNow(pid int) syscall.WaitStatus {
	var ws uint32
	_, _, _ = syscall.RawSyscall6(unix.SYS_WAIT4, uintptr(pid), uintptr(unsafe.Pointer(&ws)), unix.WNOHANG, 0, 0, 0)
	return syscall.WaitStatus(ws)
}
