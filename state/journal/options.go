package journal

import (
	"time"

	"github.com/procguard/procguard/state/journal/disk"
)

// Level is how much a log message matters.
type Level string

// The levels used here.
const (
	Info  Level = "INFO"
	Warn  Level = "WARN"
	Error Level = "ERROR"
)

// Options are all optional.
type Options struct {
	// SyncTimeout is the longest that a stalled disk can hold up Append; 0.5 s
	// by default.
	SyncTimeout time.Duration
	// Log is told of repairs, and of the disk failing and healing, once each.
	// It is called from several goroutines and must not block or call the
	// Journal.
	Log func(level Level, msg string)
	// Now is the clock of Wants, Due and Health; time.Now by default.
	Now func() time.Time
	// FS is the file system written to; disk.OS by default.
	FS disk.FS
	// MaxQueue bounds the bytes kept for a disk that does not take them; 4 MiB
	// by default. What is beyond is left to the next snapshot.
	MaxQueue int
	// MaxSegment is the size in bytes beyond which a new segment is begun; the
	// larger of 1 MiB and four times the last snapshot by default.
	MaxSegment int64
}

func (o Options) withDefaults() Options {
	if o.SyncTimeout <= 0 {
		o.SyncTimeout = 500 * time.Millisecond
	}
	if o.Log == nil {
		o.Log = func(Level, string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.FS == nil {
		o.FS = disk.OS{}
	}
	if o.MaxQueue <= 0 {
		o.MaxQueue = 4 << 20
	}
	return o
}
