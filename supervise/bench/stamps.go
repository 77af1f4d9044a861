package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// stamps receives the times at which workers executed their first instruction.
// Workers write them to a named pipe: each is a timespec of CLOCK_MONOTONIC,
// taken before anything else, so that what the pipe costs is not in it.
type stamps struct {
	pipe *os.File
	c    chan time.Duration
}

const stampSize = 16

// patience is how long anything may take before it is called broken. It is no
// measure of speed: a loaded machine stalls for seconds.
const patience = 60 * time.Second

var errSilence = errors.New("nothing came within a minute")

func openStamps(path string) (*stamps, error) {
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return nil, fmt.Errorf("mkfifo %s: %w", path, err)
	}
	// Read and write: workers that open it never wait for a reader, and it never ends.
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	s := &stamps{pipe: f, c: make(chan time.Duration, 1<<14)}
	go s.read()
	return s, nil
}

func (s *stamps) read() {
	defer close(s.c)
	buf := make([]byte, stampSize)
	for {
		// Writes of this size are atomic (PIPE_BUF), so records never mix.
		if _, err := io.ReadFull(s.pipe, buf); err != nil {
			return
		}
		sec, nsec := binary.NativeEndian.Uint64(buf), binary.NativeEndian.Uint64(buf[8:])
		s.c <- time.Duration(sec)*time.Second + time.Duration(nsec)
	}
}

func (s *stamps) close() { _ = s.pipe.Close() }

// await returns the latest of the next n stamps. It gives up when over, which
// may be nil, is closed: whoever was to start the workers has ended.
func (s *stamps) await(n int, over <-chan struct{}) (last time.Duration, err error) {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for i := range n {
		select {
		case t, ok := <-s.c:
			if !ok {
				return 0, os.ErrClosed
			}
			last = max(last, t)
		case <-over:
			return 0, fmt.Errorf("%d of %d workers had started when procguard ended", i, n)
		case <-limit.C:
			return 0, fmt.Errorf("%d of %d workers have started: %w", i, n, errSilence)
		}
	}
	return last, nil
}

// extra is how many stamps came that nobody waited for.
func (s *stamps) extra() int { return len(s.c) }

// now is the time on the workers' clock.
func now() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // cannot fail: the clock exists everywhere
	return time.Duration(t.Nano())
}
