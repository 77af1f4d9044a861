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
