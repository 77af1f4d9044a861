package solo

import (
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// siginfo is as much as the kernel reads.
type siginfo struct {
	record
	_ [128 - unsafe.Sizeof(record{})]byte
}

func queued(sig syscall.Signal, value uint64) *siginfo {
	return &siginfo{record: record{signo: int32(sig), code: siQueue, pid: int32(os.Getpid()), uid: uint32(os.Getuid()), value: value}}
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
		if tid, _ := strconv.Atoi(t.Name()); tid != int(reader) {
			_, _, _ = syscall.RawSyscall6(unix.SYS_RT_TGSIGQUEUEINFO, uintptr(self), uintptr(tid), uintptr(syscall.SIGCONT), uintptr(unsafe.Pointer(info)), 0, 0)
		}
	}
}
