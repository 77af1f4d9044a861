package evidence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/state/journal/incident"
)

// readFile reads up to limit bytes with bare system calls: nothing that hangs
// holds more than its own thread, and no descriptor goes to the poller.
func readFile(path string, limit int) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	buf := make([]byte, 0, min(limit, 4096))
	for len(buf) < limit {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, min(len(buf), limit-len(buf)))
		}
		n, err := unix.Read(fd, buf[len(buf):min(cap(buf), limit)])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return buf, err
		}
		buf = buf[:len(buf)+n]
	}
	return buf, nil
}

func (c *Collector) proc(pid int, name string) string {
	return c.root + "/proc/" + strconv.Itoa(pid) + "/" + name
}

// plain keeps a file as it is.
func (c *Collector) plain(pid int, name string) (p part) {
	data, err := readFile(c.proc(pid, name), 16<<10)
	if err != nil {
		p.missing = append(p.missing, name+": "+err.Error())
		return p
	}
	p.file(name, data)
	return p
}

func (c *Collector) status(pid int) part {
	p := c.plain(pid, "status")
	if len(p.files) == 0 {
		return p
	}
	rss := field(p.files[0].Data, "VmRSS:")
	p.process = func(out *incident.Process) { out.RSSBytes = rss << 10 }
	return p
}

// field is the number after a name at the start of a line, 0 if there is none.
func field(data []byte, name string) int64 {
	for line := range bytes.Lines(data) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			if f := strings.Fields(string(rest)); len(f) > 0 {
				n, _ := strconv.ParseInt(f[0], 10, 64)
				return n
			}
		}
	}
	return 0
}

// stat is what we use of /proc/PID/stat or that of a thread.
type stat struct {
	pid     int
	comm    string
	state   string
	ppid    int
	ticks   uint64 // of CPU, in 1/100 s
	threads int
}

func parseStat(b []byte) (s stat, ok bool) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 1 || end < open {
		return s, false
	}
	f := strings.Fields(string(b[end+1:]))
	if len(f) < 18 {
		return s, false
	}
	s.pid, _ = strconv.Atoi(strings.TrimSpace(string(b[:open])))
	s.comm, s.state = string(b[open+1:end]), f[0]
	s.ppid, _ = strconv.Atoi(f[1])
	user, _ := strconv.ParseUint(f[11], 10, 64)
	system, _ := strconv.ParseUint(f[12], 10, 64)
	s.ticks = user + system
	s.threads, _ = strconv.Atoi(f[17])
	return s, true
}

func (c *Collector) stat(path string) (stat, bool) {
	b, err := readFile(path, 4096)
	if err != nil {
		return stat{}, false
	}
	return parseStat(b)
}

// numbersIn lists a directory of /proc whose entries are numbers, at most limit.
func numbersIn(dir string, limit int) ([]int, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var out []int
	buf := make([]byte, 32<<10)
	for len(out) < limit {
		n, err := unix.ReadDirent(fd, buf)
		if err != nil || n <= 0 {
			return out, err
		}
		_, _, names := unix.ParseDirent(buf[:n], -1, nil)
		for _, name := range names {
			if v, err := strconv.Atoi(name); err == nil && len(out) < limit {
				out = append(out, v)
			}
		}
	}
	return out, nil
}

// tree lists the worker's processes with what each does. Names come from stat:
// a command line could hang.
func (c *Collector) tree(ctx context.Context, s Subject) (p part) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%8s %8s %s %7s %7s  %-20s %s\n", "PID", "PPID", "S", "CPU s", "THREADS", "NAME", "WCHAN")
	all := c.descendants(ctx, s)
	for i, t := range all {
		if i == maxProcesses {
			fmt.Fprintf(&b, "... and %d more\n", len(all)-i)
			break
		}
		fmt.Fprintf(&b, "%8d %8d %s %7.1f %7d  %-20s %s\n", t.pid, t.ppid, t.state, float64(t.ticks)/100, t.threads, t.comm, c.wchan(c.proc(t.pid, "wchan")))
	}
	p.file("tree", b.Bytes())
	p.process = func(out *incident.Process) { out.Processes = len(all) }
	return p
}

// descendants are the worker's processes, itself first, parents before children.
func (c *Collector) descendants(ctx context.Context, s Subject) []stat {
	pids, _ := numbersIn(c.root+"/proc", 1<<16)
	children, known := map[int][]int{}, map[int]stat{}
	for _, pid := range pids {
		if ctx.Err() != nil {
			break
		}
		if t, ok := c.stat(c.proc(pid, "stat")); ok {
			known[pid] = t
			children[t.ppid] = append(children[t.ppid], pid)
		}
	}
	var out []stat
	seen := map[int]bool{}
	for queue := append([]int{s.PID}, s.Extra...); len(queue) > 0; queue = queue[1:] {
		pid := queue[0]
		if t, ok := known[pid]; ok && !seen[pid] {
			seen[pid] = true
			out = append(out, t)
			queue = append(queue, children[pid]...)
		}
	}
	return out
}

// wchan is where a thread sleeps in the kernel, "" if it runs or may not be seen.
func (c *Collector) wchan(path string) string {
	b, err := readFile(path, 256)
	if err != nil || string(b) == "0" {
		return ""
	}
	return strings.TrimSpace(string(b))
}
