package solo

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/catch"
)

// queue is what the main thread waits for: signals, and what the waiter has seen. A record
// of ours has no signal number; its Code says what it is, Value and PID belong to it.
type queue struct {
	r, w int
	buf  [128]catch.Record
}

// Codes of our own records.
const (
	recEnded     = iota + 1 // the command
	recStopped              // the command; Value is the signal
	recContinued            // the command
	recReaped               // an orphan, PID; Value is its wait status
	recHooked               // the pre-stop command
	recEmpty                // no children are left
)

// openQueue takes over all signals. The calling thread is the one that they are for. Those
// that we inherited as blocked are let in, but for TTOU, which other threads take.
func openQueue(children bool) (*queue, error) {
	if errno := catch.Begin(); errno != 0 {
		return nil, fmt.Errorf("solo: catch signals: %w", syscall.Errno(errno))
	}
	catch.Children(children)
	catch.SetMask(ttou)
	q := &queue{}
	q.r, q.w = catch.Files()
	return q, nil
}

// post adds a record of our own. It waits for room; it is not for the one who reads.
func (q *queue) post(rec catch.Record) {
	b := unsafe.Slice((*byte)(unsafe.Pointer(&rec)), catch.Size)
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
func (q *queue) take(deadline time.Time) []catch.Record {
	if !deadline.IsZero() && !q.wait(time.Until(deadline)) {
		return nil
	}
	b := unsafe.Slice((*byte)(unsafe.Pointer(&q.buf)), unsafe.Sizeof(q.buf))
	n, err := unix.Read(q.r, b)
	if err != nil {
		return nil // EINTR: the caller comes back
	}
	return q.buf[:n/int(catch.Size)]
}

func (q *queue) wait(d time.Duration) bool {
	ts := unix.NsecToTimespec(max(0, d).Nanoseconds())
	n, _ := unix.Ppoll([]unix.PollFd{{Fd: int32(q.r), Events: unix.POLLIN}}, &ts, nil)
	return n > 0
}
