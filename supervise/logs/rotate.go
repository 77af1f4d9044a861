package logs

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// logFile is a file that grows up to a size and is then put aside as path.1.
// It exists from its first byte on, and may be closed at any time between two writes:
// the next write opens it again. It belongs to the writer goroutine.
type logFile struct {
	path string
	max  int64 // bytes; negative: no limit
	keep int

	f       *os.File
	size    int64
	midLine bool // the last byte was no "\n"
}

// open appends to what is there: an adopted worker goes on in its file.
func (l *logFile) open() error {
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(l.path), 0o755); err == nil {
			f, err = os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		}
	}
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return err
	}
	l.f, l.size = f, st.Size()
	l.midLine = l.midLine && l.size > 0
	return nil
}

func (l *logFile) close() {
	if l.f != nil {
		_ = l.f.Close()
		l.f = nil
	}
}

// write tells how much of b reached the file.
func (l *logFile) write(b []byte) (written int, err error) {
	for len(b) > 0 {
		if l.f == nil {
			if err := l.open(); err != nil {
				return written, err
			}
		}
		n := l.room(b)
		if n == 0 {
			if err := l.rotate(); err != nil {
				return written, err
			}
			continue
		}
		n, err = l.f.Write(b[:n])
		l.size += int64(n)
		written += n
		if n > 0 {
			l.midLine = b[n-1] != '\n'
		}
		if err != nil {
			return written, err
		}
		b = b[n:]
	}
	return written, nil
}

// room is how much of b belongs into this file; 0: rotate first. Files are cut at
// a line's end if b has one in time.
func (l *logFile) room(b []byte) int {
	left := l.max - l.size
	if l.max < 0 || int64(len(b)) <= left {
		return len(b)
	}
	left = max(left, 0)
	if i := bytes.LastIndexByte(b[:left], '\n'); i >= 0 {
		return i + 1
	}
	if l.size > 0 {
		return 0
	}
	return max(int(left), 1)
}

// rotate renames from the oldest on, so that a crash in the middle loses no file and
// is put right by the next rotation.
func (l *logFile) rotate() error {
	l.close()
	if l.keep < 0 {
		return os.Truncate(l.path, 0)
	}
	for n := l.keep; n > 0; n-- {
		err := os.Rename(l.numbered(n-1), l.numbered(n))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (l *logFile) numbered(n int) string {
	if n == 0 {
		return l.path
	}
	return l.path + "." + strconv.Itoa(n)
}
