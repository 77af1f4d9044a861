package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// MaxPath is the longest path, in bytes, that a unix socket can have: sun_path of
// unix(7) less the terminating zero.
const MaxPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// door is a socket in the file system.
type door struct {
	listener *net.UnixListener
	path     string
	made     os.FileInfo // the socket file as bound here
}

func openDoor(path string) (*door, error) {
	if err := clearWay(path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // by then the path may be another's
	d := &door{listener: l, path: path}
	if err = os.Chmod(path, 0o600); err == nil {
		d.made, err = os.Lstat(path)
	}
	if err != nil {
		_ = os.Remove(path)
		_ = l.Close()
		return nil, err
	}
	return d, nil
}

// clearWay makes path free to bind. Only a refused connection says that nobody
// listens: a full backlog, a missing permission or a time-out may well be a live
// procguard, whose socket must stay.
func clearWay(path string) error {
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		_ = c.Close()
		return fmt.Errorf("control socket %s is in use by another procguard", path)
	case errors.Is(err, fs.ErrNotExist):
		// A symbolic link to nowhere ends here too; to bind over it fails.
		return os.MkdirAll(filepath.Dir(path), 0o755)
	case !errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("control socket %s may be in use: %w", path, err)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("control socket %s: a file that is not a socket is in the way", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// remove unlinks the socket unless the path is another's by now. It must come
// before the listener's Close: as long as that is open the kernel keeps the
// inode, so that no other file can have got the same number.
func (d *door) remove() {
	if now, err := os.Lstat(d.path); err == nil && os.SameFile(d.made, now) {
		_ = os.Remove(d.path) // one that is left is replaced by the next procguard
	}
}

// limited accepts a connection only when there is a slot for it.
type limited struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{} // ends a wait for a slot
}

// Accept implements net.Listener.
func (l limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &slotConn{Conn: c, free: func() { <-l.slots }}, nil
}

// slotConn gives its slot back at the first Close; net/http may close twice.
type slotConn struct {
	net.Conn
	once sync.Once
	free func()
}

// Close implements net.Conn.
func (c *slotConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.free)
	return err
}
