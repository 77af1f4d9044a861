package tree

import (
	"bytes"
	"encoding/binary"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Source is what is asked of the kernel; a fake one in tests.
type Source interface {
	// List appends the pids of all processes.
	List(pids []int) ([]int, error)
	Stat(pid int, s *Stat) error
	// IO is what was read from and written to storage, in bytes, its reaped children included.
	IO(pid int) (read, written uint64, err error)
}

// Kernel is /proc.
type Kernel struct{ scratch []byte }

// List reads the names of /proc with getdents64(2) itself: os.ReadDir would make a
// string and an entry of each.
func (k *Kernel) List(pids []int) ([]int, error) {
	fd, err := unix.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return pids, &os.PathError{Op: "open", Path: "/proc", Err: err}
	}
	defer unix.Close(fd)
	if k.scratch == nil {
		k.scratch = make([]byte, 32<<10)
	}
	for {
		n, err := unix.Getdents(fd, k.scratch)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			return pids, os.NewSyscallError("getdents64", err)
		}
		pids = appendPIDs(pids, k.scratch[:n])
	}
}

// appendPIDs takes records of getdents64(2) apart: inode and offset of 8 bytes each,
// the record's length in 2, the type in 1, and the name up to a NUL.
func appendPIDs(pids []int, b []byte) []int {
	for len(b) > 19 {
		size := int(binary.NativeEndian.Uint16(b[16:]))
		if size < 19 || size > len(b) {
			return pids
		}
		name, _, _ := bytes.Cut(b[19:size], []byte{0})
		if pid := Number(name); pid > 0 {
			pids = append(pids, int(pid))
		}
		b = b[size:]
	}
	return pids
}

// Stat reads one process.
func (*Kernel) Stat(pid int, s *Stat) error {
	var buf [1024]byte
	n, err := readInto(pid, "/stat", buf[:])
	if err != nil {
		return err
	}
	return s.Parse(buf[:n])
}

// IO reads /proc/PID/io, for which the kernel wants what ptrace(2) wants.
func (*Kernel) IO(pid int) (read, written uint64, err error) {
	var buf [512]byte
	n, err := readInto(pid, "/io", buf[:])
	if err != nil {
		return 0, 0, err
	}
	return field(buf[:n], "\nread_bytes: "), field(buf[:n], "\nwrite_bytes: "), nil
}

func field(b []byte, name string) uint64 {
	at := bytes.Index(b, []byte(name))
	if at < 0 {
		return 0
	}
	line, _, _ := bytes.Cut(b[at+len(name):], []byte{'\n'})
	return Number(line)
}

// readInto reads the beginning of /proc/PID/name with bare system calls: an os.File
// would be registered with the poller.
func readInto(pid int, name string, buf []byte) (int, error) {
	var path [32]byte
	p := append(strconv.AppendInt(append(path[:0], "/proc/"...), int64(pid), 10), name...)
	fd, err := unix.Open(string(p), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Read(fd, buf)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}
