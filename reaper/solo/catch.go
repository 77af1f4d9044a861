//go:build amd64 || arm64

package solo

import (
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Why not os/signal: it remembers one bit per signal, so queued real-time signals become
// one, it hands them out in the order of their numbers, and each signal asked for costs
// a hand-over between two threads, 25 us, 1.6 ms for all. A handler of our own, installed
// by one system call, has none of that. It is 30 lines of assembler, because the
// kernel calls it on any thread, where no Go code may run.

func handlerPC() uintptr
func restorerPC() uintptr

// What the handler reads, and missed, which it writes.
var (
	pipe   int32       // write end of the queue, non-blocking
	self   int32       // our pid
	reader int32       // the thread that signals are for
	faults uint64      // signals that are about us if the kernel sends them
	strays uint64      // what other threads block once a signal went to them
	old    [65]uintptr // the runtime's handlers, by number
	missed uint64      // signals for which the queue had no room: each is delivered once
)

// sigaction is the kernel's, see rt_sigaction(2).
type sigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

const (
	saSiginfo  = 0x4
	saRestorer = 0x04000000
	saOnStack  = 0x08000000
	saRestart  = 0x10000000
)

func setOf(sigs ...syscall.Signal) (set uint64) {
	for _, s := range sigs {
		set |= 1 << (s - 1)
	}
	return set
}

// catch takes over all signals that can be caught, but for SIGCHLD, which gets its
// default: it is discarded without waking anybody. The calling thread becomes the
// reader; it must be locked. Signals that we inherited as blocked are let in.
func catch(queue int, also ...syscall.Signal) error {
	pipe, self, reader = int32(queue), int32(os.Getpid()), int32(unix.Gettid())
	faults = setOf(syscall.SIGILL, syscall.SIGTRAP, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGSEGV, syscall.SIGSYS)
	strays = ^(faults | setOf(syscall.SIGURG, syscall.SIGPROF, syscall.SIGTTOU))
	for n := syscall.Signal(1); n <= lastSignal; n++ {
		if n == syscall.SIGKILL || n == syscall.SIGSTOP || n == syscall.SIGCHLD {
			continue
		}
		if err := install(n); err != nil {
			return err
		}
	}
	for _, n := range also {
		if err := install(n); err != nil {
			return err
		}
	}
	if len(also) == 0 {
		if err := setAction(syscall.SIGCHLD, &sigaction{}, nil); err != nil {
			return err
		}
	}
	return setMask(0)
}

func install(n syscall.Signal) error {
	act := sigaction{handler: handlerPC(), flags: saSiginfo | saOnStack | saRestart, restorer: restorerPC(), mask: ^uint64(0)}
	if act.restorer != 0 {
		act.flags |= saRestorer
	}
	var was sigaction
	// Twice: the handler may be called, and look for the old one, before a single call
	// that sets and gets has returned.
	if err := setAction(n, nil, &was); err != nil {
		return err
	}
	old[n] = was.handler
	return setAction(n, &act, nil)
}

func setAction(n syscall.Signal, act, was *sigaction) error {
	_, _, e := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(n), uintptr(unsafe.Pointer(act)), uintptr(unsafe.Pointer(was)), 8, 0, 0)
	if e != 0 {
		return os.NewSyscallError("rt_sigaction", e)
	}
	return nil
}

// setMask sets what the calling thread blocks.
func setMask(set uint64) error {
	const setmask = 2
	_, _, e := syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setmask, uintptr(unsafe.Pointer(&set)), 0, 8, 0, 0)
	if e != 0 {
		return os.NewSyscallError("rt_sigprocmask", e)
	}
	return nil
}

// takeMissed empties the set of signals that found no room.
func takeMissed() uint64 { return atomic.SwapUint64(&missed, 0) }
