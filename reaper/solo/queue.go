package solo

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// lastSignal is the highest number the kernel knows.
const lastSignal = syscall.Signal(64)

// record is what goes through the queue: the head of the kernel's siginfo_t, as the
// handler got it, or one of our own, whose signo is 0.
type record struct {
	signo, errno, code, _ int32
	pid                   int32 // of the sender; of ours: the process
	uid                   uint32
	value                 uint64 // of sigqueue(3); of ours: a wait status
}

// Codes of our own records.
const (
	recEnded     = iota + 1 // the command
	recStopped              // the command; value is the signal
	recContinued            // the command
	recReaped               // an orphan
	recHooked               // the pre-stop command
	recEmpty                // no children are left
)

// Codes of the kernel's, from <asm-generic/siginfo.h>.
const (
	siUser  = 0
	siQueue = -1
)

// queue is a pipe. Writes of this size are atomic, also from a signal handler.
type queue struct {
	r, w int
	buf  [128]record
}

// queueSize is as much as an unprivileged process may have by default; in it find room
// 32,768 signals that came while we were busy.
const queueSize = 1 << 20

func newQueue() (*queue, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	// The handler must not block: it may have interrupted the one who reads.
	if err := unix.SetNonblock(p[1], true); err != nil {
		return nil, err
	}
	_, _ = unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, queueSize) // else 64 KiB, 2,048 signals
	return &queue{r: p[0], w: p[1]}, nil
}

// post adds a record of our own. It waits for room; it is not for the one who reads.
func (q *queue) post(rec record) {
	b := unsafe.Slice((*byte)(unsafe.Pointer(&rec)), unsafe.Sizeof(rec))
	for {
		_, err := unix.Write(q.w, b)
		switch err {
		case unix.EINTR:
		case unix.EAGAIN:
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(q.w), Events: unix.POLLOUT}}, -1)
		default:
			return
		}
	}
}

// take waits for records until the deadline (zero: none) and returns what is there, also
// nothing. The slice is valid until the next call.
func (q *queue) take(deadline time.Time) []record {
	if !deadline.IsZero() && !q.wait(time.Until(deadline)) {
		return nil
	}
	b := unsafe.Slice((*byte)(unsafe.Pointer(&q.buf)), unsafe.Sizeof(q.buf))
	n, err := unix.Read(q.r, b)
	if err != nil {
		return nil // EINTR: the caller comes back
	}
	return q.buf[:n/int(unsafe.Sizeof(record{}))]
}

func (q *queue) wait(d time.Duration) bool {
	ts := unix.NsecToTimespec(max(0, d).Nanoseconds())
	n, _ := unix.Ppoll([]unix.PollFd{{Fd: int32(q.r), Events: unix.POLLIN}}, &ts, nil)
	return n > 0
}
