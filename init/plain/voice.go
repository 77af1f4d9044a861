package plain

import (
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a full pipe or terminal may take to make room for a
// message, once: PID 1 has signals to pass on.
const patience = 100 * time.Millisecond

// atOnce is what a pipe that has any room takes without waiting (PIPE_BUF, pipe(7)).
const atOnce = 4096

// voice writes messages to a file that the command shares, so it cannot be made
// non-blocking. When nobody reads, it falls silent for good.
type voice struct {
	fd     int
	silent bool
}

func (v *voice) say(text string) {
	for text != "" && !v.silent {
		part := text[:min(len(text), atOnce)]
		n, err := v.write([]byte(part))
		v.silent = err != nil
		text = text[max(n, 0):]
	}
}

func (v *voice) write(part []byte) (int, error) {
	if err := v.await(); err != nil {
		return 0, err
	}
	// The command may fill the pipe between poll and write; old kernels know
	// RWF_NOWAIT for files only.
	n, err := unix.Pwritev2(v.fd, [][]byte{part}, -1, unix.RWF_NOWAIT)
	if err == nil || err == unix.EAGAIN && v.isPipe() {
		return n, err
	}
	for {
		if n, err = unix.Write(v.fd, part); err != unix.EINTR {
			return n, err
		}
	}
}

// await returns nil when there is room.
func (v *voice) await() error {
	end := time.Now().Add(patience)
	for {
		fds := []unix.PollFd{{Fd: int32(v.fd), Events: unix.POLLOUT}}
		left := max(time.Until(end), 0)
		n, err := unix.Poll(fds, int(left.Milliseconds()))
		switch {
		case err == unix.EINTR && left > 0:
		case err != nil:
			return err
		case n == 0:
			return unix.EAGAIN
		case fds[0].Revents&unix.POLLOUT == 0:
			return unix.EPIPE
		default:
			return nil
		}
	}
}

func (v *voice) isPipe() bool {
	var st unix.Stat_t
	return unix.Fstat(v.fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO
}
