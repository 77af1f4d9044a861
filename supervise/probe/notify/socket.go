package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxPath is the length of sun_path less the NUL that some clients want, see unix(7).
const maxPath = 107

// Path is where the socket of a worker is: dir/name.notify, or a name made of its
// hash where that is too long. It is the same for every process of the worker, so that
// one that outlives ProcGuard finds the next one's socket.
func Path(dir, name string) (string, error) {
	if path := filepath.Join(dir, name+".notify"); len(path) <= maxPath {
		return path, nil
	}
	sum := sha256.Sum256([]byte(name))
	path := filepath.Join(dir, hex.EncodeToString(sum[:12])+".notify")
	if len(path) > maxPath {
		return "", fmt.Errorf("%s is too long for a socket: %d bytes, the kernel takes %d", path, len(path), maxPath)
	}
	return path, nil
}

// Listen makes a socket at path, in the place of one that was there before, and
// returns its descriptor, which does not block.
func Listen(path string) (fd int, err error) {
	if err := unix.Unlink(path); err != nil && err != unix.ENOENT {
		return -1, &os.PathError{Op: "unlink", Path: path, Err: err}
	}
	fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := open(fd, path); err != nil {
		_ = unix.Close(fd)
		return -1, &os.PathError{Op: "listen", Path: path, Err: err}
	}
	return fd, nil
}

func open(fd int, path string) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return err
	}
	return unix.Chmod(path, 0o666) // bind's mode is cut by the umask
}

// Datagram is one as it came.
type Datagram struct {
	Data []byte // in the buffer that Receive was given
	// PID of the sender at the time, 0: it is outside of our pid namespace.
	PID int
	UID uint32
	// Oversized: what did not fit is lost, and the rest says nothing safely.
	Oversized bool
}

// Receive takes one datagram; EAGAIN: there is none. buf is longer than MaxSize.
// Descriptors that came with it are closed, which is all that BARRIER=1 asks for.
func Receive(fd int, buf []byte) (Datagram, error) {
	// The kernel passes 253 descriptors at most (SCM_MAX_FD).
	var oob [1200]byte
	for {
		n, oobn, flags, _, err := unix.Recvmsg(fd, buf, oob[:], unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return Datagram{}, err
		}
		d := Datagram{Data: buf[:n], Oversized: n > MaxSize || flags&unix.MSG_TRUNC != 0}
		d.control(oob[:oobn])
		return d, nil
	}
}

func (d *Datagram) control(oob []byte) {
	list, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return
	}
	for i := range list {
		if fds, err := unix.ParseUnixRights(&list[i]); err == nil {
			for _, fd := range fds {
				_ = unix.Close(fd)
			}
		} else if c, err := unix.ParseUnixCredentials(&list[i]); err == nil {
			d.PID, d.UID = int(c.Pid), c.Uid
		}
	}
}
