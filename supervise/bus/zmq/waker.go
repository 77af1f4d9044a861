//go:build cgo && zmq

package zmq

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// waker ends the sleep of the goroutine that owns sockets. A ZeroMQ socket must never be used by two threads, and an
// eventfd may be written by any number.
type waker struct{ fd int }

func newWaker() (*waker, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return &waker{fd}, nil
}

func pollIn(fd int) unix.PollFd { return unix.PollFd{Fd: int32(fd), Events: unix.POLLIN} }

// wake makes the owner look at its channels. The counter of an eventfd saturates far beyond any use and a full one
// still wakes, so the write cannot fail in a way that matters.
func (w *waker) wake() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(w.fd, one[:])
}

// sleep returns when a descriptor has news, wake was called or the time is up; negative is never. The counter is
// emptied before the owner looks at its channels: whoever queues something after that wakes it again.
func (w *waker) sleep(fds []unix.PollFd, most time.Duration) {
	ms := -1
	if most >= 0 {
		ms = int(min(most, time.Hour)/time.Millisecond) + 1
	}
	if _, err := unix.Poll(fds, ms); err != nil && !errors.Is(err, unix.EINTR) {
		panic(fmt.Sprintf("zmq bus: poll: %v", err)) // EFAULT, EINVAL, ENOMEM: none can be lived with
	}
	var counter [8]byte
	_, _ = unix.Read(w.fd, counter[:])
}

// close is called when nobody wakes any more.
func (w *waker) close() { _ = unix.Close(w.fd) }
