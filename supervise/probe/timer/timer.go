package timer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxLine  = 4096 // PIPE_BUF
	maxScope = 128  // bytes of a scope's name that are kept
	// maxTimers is of one worker. A program has a few per process.
	maxTimers = 1024
	// maxAhead is what expiry is cut to: more is no watchdog.
	maxAhead = 30 * 24 * time.Hour
)

// Key is whose timer and which.
type Key struct {
	PID   int
	Scope string
}

// Expired is a timer that has run out.
type Expired struct {
	Key
	At     time.Time
	Signal int // what the client asks for; not positive: nothing
}

// Book holds the timers of one worker. It is not safe for concurrent use.
type Book struct {
	timers map[Key]Expired
	part   []byte // a line whose end has not come
	skip   bool   // it was too long: up to the next end of line nothing counts
}

// Listen makes the FIFO, in the place of whatever is there, and opens it so that
// neither we nor the client ever wait and there is never an end of file.
func Listen(path string) (fd int, err error) {
	if err := unix.Unlink(path); err != nil && err != unix.ENOENT {
		return -1, &os.PathError{Op: "unlink", Path: path, Err: err}
	}
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return -1, &os.PathError{Op: "mkfifo", Path: path, Err: err}
	}
	if err := unix.Chmod(path, 0o666); err != nil { // a worker may be any user; the umask would cut this
		return -1, &os.PathError{Op: "chmod", Path: path, Err: err}
	}
	fd, err = unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// Feed takes bytes as they were read. bad counts lines that are no timer, and timers
// for which there was no room.
func (b *Book) Feed(data []byte, now time.Time) (bad int) {
	for _, c := range data {
		switch {
		case c != '\n' && len(b.part) >= maxLine:
			b.skip = true
		case c != '\n':
			b.part = append(b.part, c)
		default:
			if b.skip || !b.line(b.part, now) {
				bad++
			}
			b.part, b.skip = b.part[:0], false
		}
	}
	return bad
}

type request struct {
	Version *int     `json:"version"`
	PID     int      `json:"pid"`
	Scope   string   `json:"scope_id"`
	Expires *float64 `json:"expiration_time"`
	Signal  int      `json:"signal"`
}

var errRequest = errors.New("not a timer of version 1")

func parse(line []byte) (r request, err error) {
	if err := json.Unmarshal(line, &r); err != nil {
		return r, err
	}
	if r.Version != nil && *r.Version != 1 || r.PID <= 0 || r.Expires == nil {
		return r, errRequest
	}
	r.Scope = strings.ToValidUTF8(r.Scope, "\uFFFD")
	if len(r.Scope) > maxScope {
		r.Scope = strings.ToValidUTF8(r.Scope[:maxScope], "")
	}
	return r, nil
}

func (b *Book) line(line []byte, now time.Time) bool {
	r, err := parse(line)
	if err != nil {
		return false
	}
	key := Key{r.PID, r.Scope}
	if *r.Expires < 0 {
		delete(b.timers, key)
		return true
	}
	if b.timers == nil {
		b.timers = map[Key]Expired{}
	}
	if _, ok := b.timers[key]; !ok && len(b.timers) >= maxTimers {
		return false
	}
	b.timers[key] = Expired{Key: key, At: now.Add(ahead(*r.Expires, now)), Signal: r.Signal}
	return true
}

// ahead is from now to a time in seconds since the epoch.
func ahead(unix float64, now time.Time) time.Duration {
	d := unix - float64(now.UnixNano())/1e9
	return time.Duration(math.Max(-maxAhead.Seconds(), math.Min(d, maxAhead.Seconds())) * float64(time.Second))
}

// Next is when the first timer runs out; zero: there is none.
func (b *Book) Next() (at time.Time) {
	for _, t := range b.timers {
		if at.IsZero() || t.At.Before(at) {
			at = t.At
		}
	}
	return at
}

// Take removes the timers that have run out and returns the first of them that asks
// for a signal.
func (b *Book) Take(now time.Time) (first Expired, ok bool) {
	for key, t := range b.timers {
		if t.At.After(now) {
			continue
		}
		delete(b.timers, key)
		if t.Signal > 0 && (!ok || t.At.Before(first.At)) {
			first, ok = t, true
		}
	}
	return first, ok
}

// String is "timer step of pid 42 expired".
func (t *Expired) String() string { return fmt.Sprintf("timer %q of pid %d expired", t.Scope, t.PID) }
