package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const lockName = "lock"

// errNoLocks means that the file system has no flock(2).
var errNoLocks = errors.New("the file system has no locks")

// acquire takes the lock of dir and writes our name into it. The kernel drops
// the lock with the process, however it dies, so there are no stale ones; the
// text only serves the error message of the next one.
func acquire(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	switch err := flock(f); {
	case errors.Is(err, unix.EWOULDBLOCK):
		defer f.Close()
		return nil, lockedBy(dir, f)
	case errors.Is(err, unix.ENOLCK), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOSYS):
		return f, errNoLocks
	case err != nil:
		_ = f.Close()
		return nil, os.NewSyscallError("flock "+path, err)
	}
	host, _ := os.Hostname()
	text := fmt.Sprintf("pid=%d\nboot_id=%s\nhost=%s\n", os.Getpid(), bootID(), host)
	if f.Truncate(0) == nil { // on a full disk it may stay empty
		_, _ = f.WriteAt([]byte(text), 0)
	}
	return f, nil
}

func flock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EINTR {
			return err
		}
	}
}

// lockedBy reads who has the lock. The owner may not have written its name
// yet, so every part may be missing.
func lockedBy(dir string, f *os.File) *LockedError {
	e := &LockedError{Dir: dir}
	text, _ := io.ReadAll(io.LimitReader(f, 4096))
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "pid":
			e.PID, _ = strconv.Atoi(value)
		case "boot_id":
			e.BootID = value
		case "host":
			e.Host = value
		}
	}
	host, _ := os.Hostname()
	e.Here = e.BootID != "" && e.BootID == bootID() && e.Host == host
	return e
}

// bootID is the kernel's name for this boot of the machine, "" if it has none.
func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}
