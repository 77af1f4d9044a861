//go:build linux && (amd64 || arm64)

package catch

import "unsafe"

func handlerPC() uintptr
func restorerPC() uintptr

// syscall6 is for what comes before package syscall is initialised. It gives -errno.
//
//go:noescape
func syscall6(number, a, b, c, d, e, f uintptr) uintptr

// What the handler reads, and missed, which it writes. Index and bit of a signal are its
// number, and its number less one.
var (
	into int32 // write end of the queue, non-blocking
	self int32 // our pid
	//lint:ignore U1000 the handler reads it
	reader int32       // the thread that signals are for
	faults uint64      // signals that are about us if the kernel sends them
	strays uint64      // what other threads block once a signal went to them
	old    [65]uintptr // the runtime's handlers
	missed uint64      // signals for which the queue had no room
)

var (
	from  int32 // read end of the queue
	begun bool
	was   [last + 1]action // what there was before
)

const last = 64 // the highest signal that the kernel knows

// action is the kernel's sigaction, see rt_sigaction(2).
type action struct {
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

	sigill, sigtrap, sigbus, sigfpe, sigkill, sigsegv  = 4, 5, 7, 8, 9, 11
	sigchld, sigstop, sigttou, sigurg, sigprof, sigsys = 17, 19, 22, 23, 27, 31
)

func setOf(sigs ...uint) (set uint64) {
	for _, s := range sigs {
		set |= 1 << (s - 1)
	}
	return set
}

// queueSize is as much as an unprivileged process may have by default. In it find room
// 32,768 signals that came while nobody read.
const queueSize = 1 << 20

// Begin takes over all signals that can be caught, but for SIGCHLD. It returns the
// number of the error of the system call that failed, or 0. A second call does nothing.
func Begin() (errno uintptr) {
	if begun {
		return 0
	}
	if into == 0 {
		errno = makeQueue()
	}
	if errno != 0 {
		return errno
	}
	const setsize = 1031
	syscall6(sysFcntl, uintptr(into), setsize, queueSize, 0, 0, 0) // else 64 KiB, 2,048 signals
	self, reader = int32(syscall6(sysGetpid, 0, 0, 0, 0, 0, 0)), int32(syscall6(sysGettid, 0, 0, 0, 0, 0, 0))
	faults = setOf(sigill, sigtrap, sigbus, sigfpe, sigsegv, sigsys)
	strays = ^(faults | setOf(sigurg, sigprof, sigttou))
	for n := uintptr(1); n <= last; n++ {
		if n == sigkill || n == sigstop || n == sigchld {
			continue
		}
		if errno = install(n); errno != 0 {
			return errno
		}
	}
	begun = true
	return 0
}

func makeQueue() uintptr {
	const cloexec, nonblock, setfl = 0x80000, 0x800, 4
	var p [2]int32
	if r := syscall6(sysPipe2, uintptr(unsafe.Pointer(&p)), cloexec, 0, 0, 0, 0); r != 0 {
		return -r
	}
	// The handler must not block: it may have interrupted the one who reads.
	if r := syscall6(sysFcntl, uintptr(p[1]), setfl, nonblock, 0, 0, 0); r != 0 {
		return -r
	}
	from, into = p[0], p[1]
	return 0
}

func install(n uintptr) uintptr {
	// Twice: the handler may be called, and look for the old one, before a single call
	// that sets and gets has returned.
	if r := sigaction(n, nil, &was[n]); r != 0 {
		return -r
	}
	old[n] = was[n].handler
	act := action{handler: handlerPC(), flags: saSiginfo | saOnStack | saRestart, restorer: restorerPC(), mask: ^uint64(0)}
	if act.restorer != 0 {
		act.flags |= saRestorer
	}
	return -sigaction(n, &act, nil)
}

func sigaction(n uintptr, act, was *action) uintptr {
	return syscall6(sysRtSigaction, n, uintptr(unsafe.Pointer(act)), uintptr(unsafe.Pointer(was)), 8, 0, 0)
}

// Children has SIGCHLD queued as well, or else gives it its default: it is discarded
// without waking anybody.
func Children(queued bool) {
	if queued {
		install(sigchld)
		return
	}
	sigaction(sigchld, &action{}, nil)
}

// End puts the runtime's handlers back. What is in the queue stays there.
func End() {
	for n := uintptr(1); begun && n <= last; n++ {
		if was[n].flags != 0 || was[n].handler != 0 {
			sigaction(n, &was[n], nil)
		}
	}
	begun = false
}

// TTOU is a mask for who writes to a terminal that may be somebody else's: the kernel would send
// TTOU and have the write tried again for ever, as our handler does not stop us.
const TTOU = 1 << (sigttou - 1)

// Default gives all signals their default dispositions, for who is about to execute another
// program. What is in the queue stays there.
func Default() {
	for n := uintptr(1); n <= last; n++ {
		sigaction(n, &action{}, nil)
	}
}

// SetMask sets what the calling thread blocks.
func SetMask(set uint64) {
	const setmask = 2
	syscall6(sysRtSigprocmask, setmask, uintptr(unsafe.Pointer(&set)), 0, 8, 0, 0)
}

// HideThread has the calling thread leave signals to the main thread: two signals on two
// threads at once could change places. TTOU is left open, as the main thread may block it.
func HideThread() { SetMask(strays) }
