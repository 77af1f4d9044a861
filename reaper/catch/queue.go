package catch

import "unsafe"

// Record is what goes through the queue: the head of the kernel's siginfo_t, see
// sigaction(2), or one that somebody else has put there, whose Signo is 0.
type Record struct {
	Signo, Errno, Code, _ int32
	PID                   int32 // of the sender
	UID                   uint32
	Value                 uint64 // of sigqueue(3)
}

// Codes of a signal, from <asm-generic/siginfo.h>. What the kernel sends is above 0.
const (
	User   = 0
	Queued = -1
)

// Size of a record, in bytes. Writes of that size to the queue are atomic.
const Size = unsafe.Sizeof(Record{})

// BySelf says that we sent the signal.
func (r *Record) BySelf() bool { return r.Code <= 0 && r.PID == self }

// Files are the queue's read and write ends.
func Files() (r, w int) { return int(from), int(into) }

// Use has Begin queue signals in a pipe that somebody else has made, with a non-blocking
// write end, and may still write records to.
func Use(r, w int) { from, into = int32(r), int32(w) }
