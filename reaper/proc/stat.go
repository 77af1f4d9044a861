package proc

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Stat is what we use of /proc/PID/stat, see proc_pid_stat(5).
type Stat struct {
	Comm                 string
	State                byte
	PPID, Group, Session int
	Start                uint64 // field 22, USER_HZ ticks since boot
}

// ReadStat reads the stat of a process.
func ReadStat(pid int) (Stat, error) {
	b, err := Read(pid, "stat")
	if err != nil {
		return Stat{}, err
	}
	return parseStat(b)
}

// parseStat splits after the last parenthesis: a process may put anything, blanks
// and parentheses too, into its name.
func parseStat(b []byte) (Stat, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return Stat{}, fmt.Errorf("proc: malformed stat %q", b)
	}
	f := strings.Fields(string(b[end+1:]))
	if len(f) < 20 {
		return Stat{}, fmt.Errorf("proc: short stat %q", b)
	}
	st := Stat{Comm: string(b[open+1 : end]), State: f[0][0]}
	var err error
	for i, p := range []*int{&st.PPID, &st.Group, &st.Session} {
		if *p, err = strconv.Atoi(f[1+i]); err != nil {
			return Stat{}, err
		}
	}
	st.Start, err = strconv.ParseUint(f[19], 10, 64)
	return st, err
}

// Read reads a whole file of /proc/PID with bare system calls: an os.File would
// cost a registration with the poller.
func Read(pid int, name string) ([]byte, error) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	buf := make([]byte, 0, 4096)
	for {
		n, err := unix.Read(fd, buf[len(buf):cap(buf)])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return buf, err
		}
		buf = buf[:len(buf)+n]
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
	}
}
