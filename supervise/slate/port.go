package slate

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Port is a rendezvous port.
type Port struct {
	Number int
	Fresh  bool // another one may be chosen if it stays held
}

// cleanPort returns the port to use.
func cleanPort(ctx context.Context, p Port, r *Report) int {
	began := time.Now()
	var err error
	if until(ctx, func() bool { err = bind(p.Number); return err != unix.EADDRINUSE }) && err == nil {
		if waited := time.Since(began); waited > pause {
			r.cleaned("port %d is free, after %d ms", p.Number, waited.Milliseconds())
		}
		return p.Number
	}
	why := fmt.Sprintf("cannot be bound: %v", err)
	if err == unix.EADDRINUSE {
		why = "is held by " + holder(p.Number)
	}
	if p.Fresh {
		if n, err := freePort(); err == nil {
			r.cleaned("port %d %s; port %d was chosen instead", p.Number, why, n)
			return n
		}
	}
	r.unclean("port %d %s", p.Number, why)
	return p.Number
}

// bind does what the store of a rendezvous does: every address of both families, and
// SO_REUSEADDR, so that connections in TIME_WAIT do not count.
func bind(port int) error {
	_, err := listen(port)
	return err
}

// freePort lets the kernel choose.
func freePort() (int, error) { return listen(0) }

// listen returns the port it listened on, and does not any more.
func listen(port int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	var addr unix.Sockaddr = &unix.SockaddrInet6{Port: port}
	if err == nil {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
	} else {
		addr = &unix.SockaddrInet4{Port: port}
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return 0, err
		}
	}
	defer unix.Close(fd)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err := unix.Bind(fd, addr); err != nil {
		return 0, err
	}
	if err := unix.Listen(fd, 1); err != nil {
		return 0, err
	}
	at, err := unix.Getsockname(fd)
	switch a := at.(type) {
	case *unix.SockaddrInet6:
		return a.Port, err
	case *unix.SockaddrInet4:
		return a.Port, err
	}
	return 0, err
}

// socket is a line of /proc/net/tcp, see proc_pid_net(5).
type socket struct{ inode, uid string }

const timeWait = "06" // in the state column; it does not keep anybody from binding

func sockets(port int) (found []socket) {
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			at := strings.Fields(lines.Text())
			if len(at) < 10 || at[3] == timeWait {
				continue
			}
			_, hex, _ := strings.Cut(at[1], ":")
			if n, err := strconv.ParseUint(hex, 16, 16); err == nil && int(n) == port {
				found = append(found, socket{inode: at[9], uid: at[7]})
			}
		}
		_ = f.Close()
	}
	return found
}

// holder says who has sockets with that local port.
func holder(port int) string {
	found := sockets(port)
	if len(found) == 0 {
		return "a process of another network namespace, or one that has let go of it just now"
	}
	want := map[string]bool{}
	for _, s := range found {
		want["socket:["+s.inode+"]"] = true
	}
	var who []string
	for _, p := range processes() {
		links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.pid))
		for _, l := range links {
			if to, err := os.Readlink(l); err == nil && want[to] {
				who = append(who, p.String())
				break
			}
		}
	}
	if len(who) == 0 {
		return fmt.Sprintf("a process of uid %s that we cannot see", found[0].uid)
	}
	return strings.Join(who, "; ")
}
