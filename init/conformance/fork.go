package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// still makes this process fit for forks without exec: one thread matters, no
// garbage is collected, and no signal of the runtime's interferes.
func still() error {
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	return sigmask(unix.SIG_BLOCK, []int{int(unix.SIGURG)})
}

// orphanOf forks a process that forks another and exits: the second one, which
// exits with code after pause, is then the init's. Between fork and exit nothing
// of the Go runtime is used. It returns the errno of either fork.
//
//go:norace
//go:nosplit
func orphanOf(code uintptr, pause *unix.Timespec) syscall.Errno {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	if pid == 0 {
		pid, _, errno = unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if pid == 0 && errno == 0 {
			unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(pause)), 0, 0)
			unix.RawSyscall(unix.SYS_EXIT_GROUP, code, 0, 0)
		}
		unix.RawSyscall(unix.SYS_EXIT_GROUP, uintptr(errno), 0, 0)
	}
	var status uint32
	for {
		_, _, errno = unix.RawSyscall6(unix.SYS_WAIT4, pid, uintptr(unsafe.Pointer(&status)), 0, 0, 0, 0)
		if errno == 0 {
			return syscall.Errno(status >> 8 & 0xff)
		}
		if errno != unix.EINTR {
			return errno
		}
	}
}

// orphans N CODE [FILE] makes N orphans that exit with CODE, makes the file, and then
// asks for its own end: exit code 3.
func orphans(args []string) int {
	if err := still(); err != nil {
		return stuck(err)
	}
	pause := unix.Timespec{Nsec: 1000}
	made := 0
	for range number(args, 0) {
		if orphanOf(uintptr(number(args, 1)), &pause) == 0 {
			made++
		}
	}
	fmt.Println("made", made)
	if len(args) > 2 {
		_ = os.WriteFile(args[2], nil, 0o644)
	}
	return ask([]string{"3"})
}

// bomb MILLISECONDS forks whatever it is allowed to.
func bomb(args []string) int {
	if err := still(); err != nil {
		return stuck(err)
	}
	pause := unix.Timespec{Nsec: 100e6}
	made, refused := 0, 0
	for end := time.Now().Add(time.Duration(number(args, 0)) * time.Millisecond); time.Now().Before(end); {
		if orphanOf(7, &pause) == 0 {
			made++
		} else {
			refused++
			time.Sleep(time.Millisecond)
		}
	}
	fmt.Println("made", made, refused)
	return ask([]string{"3"})
}

// around N makes orphans whose numbers are those around its own and the init's other
// children's, again and again, as after a wrap-round of the counter.
func around(args []string) int {
	if err := still(); err != nil {
		return stuck(err)
	}
	pause := unix.Timespec{Nsec: 1000}
	for n := range number(args, 0) {
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(1+n%8)), 0); err != nil {
			return stuck(err)
		}
		if errno := orphanOf(7, &pause); errno != 0 {
			return stuck(errno)
		}
	}
	fmt.Println("made", number(args, 0))
	return ask([]string{"3"})
}
