package main

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// codeOf puts a wait status into one number: the exit code, or 1000 + signal.
func codeOf(status uint32) int {
	w := syscall.WaitStatus(status)
	if w.Signaled() {
		return 1000 + int(w.Signal())
	}
	return w.ExitStatus()
}

// siginfo is the part of the kernel's siginfo_t that rt_sigqueueinfo needs, on 64-bit machines.
type siginfo struct {
	signo, errno, code, _ int32
	pid, uid              int32
	value                 uint64
	_                     [96]byte
}

const siQueue = -1

// queue sends a signal with a value, as sigqueue(3) does. EAGAIN means that the receiver's queue is full.
func queue(pid int, s syscall.Signal, value uint64) error {
	info := siginfo{signo: int32(s), code: siQueue, pid: int32(syscall.Getpid()), value: value}
	_, _, errno := unix.Syscall(unix.SYS_RT_SIGQUEUEINFO, uintptr(pid), uintptr(s), uintptr(unsafe.Pointer(&info)))
	if errno != 0 {
		return errno
	}
	return nil
}
