package solo

import (
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/catch"
)

// siginfo is as much as the kernel reads.
type siginfo struct {
	catch.Record
	_ [128 - catch.Size]byte
}

func queued(sig syscall.Signal, value uint64) *siginfo {
	return &siginfo{Record: catch.Record{Signo: int32(sig), Code: catch.Queued, PID: int32(os.Getpid()), UID: uint32(os.Getuid()), Value: value}}
}

// sigqueue sends a signal with a value, see rt_sigqueueinfo(2).
func sigqueue(pid int, sig syscall.Signal, value uint64) error {
	info := queued(sig, value)
	_, _, e := syscall.RawSyscall(unix.SYS_RT_SIGQUEUEINFO, uintptr(pid), uintptr(sig), uintptr(unsafe.Pointer(info)))
	if e != 0 {
		return e
	}
	return nil
}

// hideThreads keeps signals off the threads that the runtime had made before us: two
// signals on two threads at once could change places. The handler hides a thread that a
// signal comes to, so each is sent one; it is from ourselves and so is dropped. Where
// there is no /proc the first signal from outside does it.
func hideThreads() {
	threads, _ := os.ReadDir("/proc/self/task")
	info := queued(syscall.SIGCONT, 0)
	for _, t := range threads {
		if tid, _ := strconv.Atoi(t.Name()); tid != unix.Gettid() {
			_, _, _ = syscall.RawSyscall6(unix.SYS_RT_TGSIGQUEUEINFO, uintptr(os.Getpid()), uintptr(tid), uintptr(syscall.SIGCONT), uintptr(unsafe.Pointer(info)), 0, 0)
		}
	}
}
