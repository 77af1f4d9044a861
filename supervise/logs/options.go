package logs

import (
	"errors"
	"io"
	"time"
)

// Stream says which of a worker's two outputs is meant.
type Stream int

// The two outputs of a worker, in the order in which every pair here is kept.
const (
	Stdout Stream = iota
	Stderr
)

// String is the stream's name as used in file names and JSON lines.
func (s Stream) String() string {
	if s == Stderr {
		return "stderr"
	}
	return "stdout"
}

// Format is how lines are written to a sink.
type Format int

const (
	// Text is "[worker] line" on the console and the worker's own bytes in files.
	Text Format = iota
	// JSON is one object per line with time, worker, stream, attempt and line.
	// Bytes that are not UTF-8 become U+FFFD.
	JSON
)

// Color says whether a worker's prefix is coloured on a text console.
type Color int

const (
	// ColorAuto colours when the destination is a terminal and NO_COLOR is unset or empty.
	ColorAuto Color = iota
	// ColorNever writes no escape sequences.
	ColorNever
	// ColorAlways colours whatever the destination is.
	ColorAlways
)

// Options are a Collector's settings. Zero values choose the defaults given.
type Options struct {
	// Stdout and Stderr receive the workers' lines; nil shows nothing. When both
	// are the same file they share one queue, so that order is kept between
	// them. A *os.File is written without ever blocking for good; another
	// io.Writer may block its own goroutine, which Close then leaves behind.
	Stdout, Stderr io.Writer
	Format         Format // of the console
	FileFormat     Format // of the files
	Color          Color

	ConsoleQueue int // bytes kept for a slow console, each; default 1 MiB
	FileQueue    int // bytes kept for slow files, all together; default 8 MiB

	TailBytes int // newest bytes kept per stream; default 16 KiB
	TailLines int // lines that Tail gives at most; default 100

	RotateBytes  int64 // a file's size before it is rotated; default 100 MiB, negative: never
	RotateKeep   int   // rotated files kept per stream (name.1 is the newest); default 3, negative: none
	KeepAttempts int   // attempt_N folders kept per worker; default 10, negative: all

	PartialDelay     time.Duration // stillness before a line without end is shown; default 200 ms
	ProgressInterval time.Duration // between two states shown of one line; default 1 s

	// Notice is told, once per change, that files or the console cannot be
	// written and that they can be again. It runs on a writer's goroutine and
	// must not block. Nil writes the notice to the console.
	Notice func(text string)
}

// StreamSpec says whose output a Worker carries and where it goes.
type StreamSpec struct {
	Worker  string // the worker's id, as in file names (made safe) and JSON lines
	Label   string // shown on the text console instead of Worker, if set
	Attempt int    // the N of attempt_N
	Dir     string // root of the log files; empty: no files

	Quiet       bool  // not on the console
	JSON        bool  // JSON on the console and in the files, whatever Options say
	RotateBytes int64 // instead of the one in Options; 0: that one
	RotateKeep  int   // instead of the one in Options; 0: that one

	// OnLine sees each line without its end, or a line's piece of at most
	// 64 KiB; a line that was shown before it ended is given again when it ends.
	// The bytes are valid during the call only. False ends the calls for
	// this stream. It runs on the reader: it must be quick, and must not call
	// the Worker or the Collector.
	OnLine func(stream Stream, line []byte) (more bool)

	// Pipes, for Adopt, are the inode numbers that Worker.Pipes gave when the
	// worker was started. With them the pipe is found under any descriptor of
	// the process, and no other pipe is taken for it. Zero accepts
	// descriptor 1 or 2 if it is a pipe opened for reading and writing.
	Pipes [2]uint64
}

// Activity is what a stream has said so far.
type Activity struct {
	Last  time.Time // of the last byte, with a monotonic reading; zero: none yet
	Bytes uint64
}

// Stats are totals since New. Lost means: read from the worker, but not
// delivered to that sink.
type Stats struct {
	Streams          int // pipes being read now
	Read             uint64
	ConsoleLostLines uint64
	ConsoleLostBytes uint64
	FileLostLines    uint64
	FileLostBytes    uint64
	FilesFailing     int // files whose last write failed
	Wakeups          uint64
}

var (
	// ErrClosed is returned by Open and Adopt after Close.
	ErrClosed = errors.New("logs: collector is closed")
	// ErrNoPipe is returned by Adopt when neither output of the process is a
	// pipe of ours: it was redirected, or closed.
	ErrNoPipe = errors.New("logs: the process has no output pipe of ours")
	// ErrUnflushed is returned by Close when its time was not enough.
	ErrUnflushed = errors.New("logs: output left unwritten")
)

const (
	readSize = 64 << 10 // a pipe's default capacity; also the longest piece of a line
	maxLine  = readSize
)

func (o Options) withDefaults() Options {
	defaultTo(&o.ConsoleQueue, 1<<20)
	defaultTo(&o.FileQueue, 8<<20)
	defaultTo(&o.TailBytes, 16<<10)
	defaultTo(&o.TailLines, 100)
	defaultTo(&o.RotateBytes, 100<<20)
	defaultTo(&o.RotateKeep, 3)
	defaultTo(&o.KeepAttempts, 10)
	defaultTo(&o.PartialDelay, 200*time.Millisecond)
	defaultTo(&o.ProgressInterval, time.Second)
	return o
}

func defaultTo[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
