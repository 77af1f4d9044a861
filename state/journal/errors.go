package journal

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/procguard/procguard/state"
)

// ErrDegraded is what errors.Is finds in the error of an Append whose records
// are, as yet, only in memory.
var ErrDegraded = errors.New("state is not durable")

// ErrClosed is returned after Close.
var ErrClosed = errors.New("journal is closed")

// DegradedError says that records were taken over but are not on the disk.
// Supervision can go on; what must be durable first has to wait for Durable.
type DegradedError struct {
	Why   string
	Since time.Time
}

func (e *DegradedError) Error() string { return "state is kept in memory only: " + e.Why }

// Is makes errors.Is(err, ErrDegraded) true.
func (e *DegradedError) Is(target error) bool { return target == ErrDegraded }

// LockedError says that another ProcGuard has the directory.
type LockedError struct {
	Dir    string
	PID    int    // in the PID namespace of its owner; 0 if not known
	Host   string // "" if not known
	BootID string // of the machine it runs on; "" if not known
	Here   bool   // it runs on this boot of this machine
}

func (e *LockedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "state directory %s is in use by procguard", e.Dir)
	if e.PID != 0 {
		fmt.Fprintf(&b, " pid %d", e.PID)
	}
	if e.Host != "" {
		fmt.Fprintf(&b, " on %s", e.Host)
	}
	return b.String()
}

// NotWritableError says that the directory cannot be used for writing at all:
// no permission, a read-only file system, not a directory. Snapshot is what
// could be read from it, or nil.
type NotWritableError struct {
	Dir      string
	Err      error
	Snapshot *state.Snapshot
}

func (e *NotWritableError) Error() string {
	return fmt.Sprintf("state directory %s is not writable: %v", e.Dir, e.Err)
}

func (e *NotWritableError) Unwrap() error { return e.Err }

// VersionError says that a newer ProcGuard wrote the state, or something that
// is not ProcGuard.
type VersionError struct {
	Path  string
	Found string // as in the file
	Known int    // the newest that this program can read
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%s has state version %s, this procguard knows up to %d", e.Path, e.Found, e.Known)
}

// Hint says how to go on.
func (e *VersionError) Hint() string {
	return "run the procguard that wrote it, or use another state.dir"
}

// CorruptError says that the state is damaged in a way that no intact copy
// makes up for. Nothing was changed on the disk.
type CorruptError struct {
	Path   string
	Line   int   // from 1; 0 where it is about the whole file
	Offset int64 // of that line, in bytes
	Why    error
	hint   string
}

func (e *CorruptError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s is damaged: %v", e.Path, e.Why)
	}
	return fmt.Sprintf("%s is damaged in line %d (byte %d): %v, and good lines follow", e.Path, e.Line, e.Offset, e.Why)
}

func (e *CorruptError) Unwrap() error { return e.Why }

// Hint says how to go on.
func (e *CorruptError) Hint() string { return e.hint }

// SequenceError says that the caller's records do not follow each other. It is
// a mistake in the caller.
type SequenceError struct{ Got, Want uint64 }

func (e *SequenceError) Error() string {
	return fmt.Sprintf("record %d given where %d was due", e.Got, e.Want)
}
