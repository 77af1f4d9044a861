package evidence

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/state/journal/incident"
)

// look is how long the CPU of threads is watched. A tick of the kernel's
// accounting is 10 ms, so that a busy thread shows to a tenth.
const look = 100 * time.Millisecond

// thread is one thread at one moment.
type thread struct {
	stat
	tid     int
	cpu     float64 // percent of a core
	wchan   string
	syscall string
	fd      string
}

// threads looks twice, for the CPU, then asks where each thread is.
func (c *Collector) threads(ctx context.Context, pid int) (p part) {
	tids, err := numbersIn(c.proc(pid, "task"), 1<<16)
	if err != nil {
		p.missing = append(p.missing, "threads: "+err.Error())
		return p
	}
	before, began := c.ticks(ctx, pid, tids), time.Now()
	select {
	case <-time.After(look):
	case <-ctx.Done():
	}
	list := c.now(ctx, pid, tids, before, began)
	if len(list) == 0 {
		p.missing = append(p.missing, "threads: it ended meanwhile")
		return p
	}
	p.file("threads", threadTable(list, len(tids)))
	p.stacks(ctx, c, pid, list)
	main := list[0]
	busy := slices.MaxFunc(list, func(a, b thread) int { return cmp.Compare(a.cpu, b.cpu) })
	total := 0.0
	for i := range list {
		total += list[i].cpu
	}
	p.process = func(out *incident.Process) {
		out.State, out.Wchan, out.Syscall, out.SyscallFD = main.state, main.wchan, main.syscall, main.fd
		out.CPU, out.Threads = total, len(tids)
		if busy.cpu > 0 {
			out.Busy = fmt.Sprintf("%s (tid %d)", busy.comm, busy.tid)
		}
	}
	return p
}

func (c *Collector) ticks(ctx context.Context, pid int, tids []int) map[int]uint64 {
	out := make(map[int]uint64, len(tids))
	for _, tid := range tids {
		if ctx.Err() != nil {
			break
		}
		if s, ok := c.stat(c.task(pid, tid, "stat")); ok {
			out[tid] = s.ticks
		}
	}
	return out
}

func (c *Collector) task(pid, tid int, name string) string {
	return c.proc(pid, "task/"+strconv.Itoa(tid)+"/"+name)
}

// now reads the main thread first, then the busiest ones, at most maxThreads.
func (c *Collector) now(ctx context.Context, pid int, tids []int, before map[int]uint64, began time.Time) []thread {
	list := make([]thread, 0, len(tids))
	for _, tid := range tids {
		s, ok := c.stat(c.task(pid, tid, "stat"))
		if !ok {
			continue
		}
		t := thread{stat: s, tid: tid}
		if old, ok := before[tid]; ok && s.ticks >= old {
			t.cpu = float64(s.ticks-old) / time.Since(began).Seconds() // a tick is 1 % of a second
		}
		list = append(list, t)
	}
	slices.SortStableFunc(list, func(a, b thread) int {
		if (a.tid == pid) != (b.tid == pid) {
			return cmp.Compare(b2i(b.tid == pid), b2i(a.tid == pid))
		}
		return cmp.Compare(b.cpu, a.cpu)
	})
	list = list[:min(len(list), maxThreads)]
	for i := range list {
		if ctx.Err() != nil && i > 0 {
			break
		}
		list[i].wchan = c.wchan(c.task(pid, list[i].tid, "wchan"))
		list[i].syscall, list[i].fd = c.syscall(pid, list[i].tid)
	}
	return list
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func threadTable(list []thread, total int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%8s %s %6s %8s  %-16s %-24s %s\n", "TID", "S", "CPU %", "CPU s", "NAME", "WCHAN", "SYSCALL")
	for i := range list {
		t := &list[i]
		call := t.syscall
		if t.fd != "" {
			call += " of " + t.fd
		}
		fmt.Fprintf(&b, "%8d %s %6.0f %8.1f  %-16s %-24s %s\n", t.tid, t.state, t.cpu, float64(t.ticks)/100, t.comm, t.wchan, call)
	}
	if total > len(list) {
		fmt.Fprintf(&b, "... and %d more\n", total-len(list))
	}
	return b.Bytes()
}

// stacks adds the kernel's stacks, which only the root of the machine may read.
func (p *part) stacks(ctx context.Context, c *Collector, pid int, list []thread) {
	var stacks, waits bytes.Buffer
	for i := range list {
		t := &list[i]
		fmt.Fprintf(&waits, "%d %s %s\n", t.tid, cmp.Or(t.wchan, "0"), t.syscall)
		if ctx.Err() != nil {
			continue
		}
		data, err := readFile(c.task(pid, t.tid, "stack"), 8<<10)
		if err != nil {
			if i == 0 {
				p.missing = append(p.missing, "stack: "+err.Error())
				break
			}
			continue
		}
		fmt.Fprintf(&stacks, "thread %d (%s)\n%s\n", t.tid, t.comm, data)
	}
	p.file("wchan", waits.Bytes())
	p.file("stack", stacks.Bytes())
}

// syscall names the call that a thread is in, and the file of its first argument
// if it is about one.
func (c *Collector) syscall(pid, tid int) (name, file string) {
	b, err := readFile(c.task(pid, tid, "syscall"), 256)
	if err != nil {
		return "", ""
	}
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return "", "" // "running"
	}
	nr, err := strconv.Atoi(f[0])
	if err != nil || nr < 0 {
		return "", ""
	}
	if name = syscalls[nr]; name == "" {
		return fmt.Sprintf("system call %d", nr), ""
	}
	fd, err := strconv.ParseUint(strings.TrimPrefix(f[1], "0x"), 16, 32)
	if err == nil && takesFD[name] {
		file = c.link(pid, int(fd))
	}
	return name, file
}

func (c *Collector) link(pid, fd int) string {
	buf := make([]byte, 512)
	n, err := unix.Readlink(c.proc(pid, "fd/"+strconv.Itoa(fd)), buf)
	if err != nil {
		return ""
	}
	return string(buf[:n])
}

var takesFD = map[string]bool{"read": true, "write": true, "readv": true, "writev": true, "pread64": true, "pwrite64": true, "recvfrom": true,
	"recvmsg": true, "sendto": true, "sendmsg": true, "accept": true, "accept4": true, "connect": true, "fsync": true, "fdatasync": true,
	"flock": true, "fcntl": true, "ioctl": true}

// syscalls are those that a thread is likely to wait in, on all platforms; others
// are in the file of the platform.
var syscalls = map[int]string{
	unix.SYS_READ: "read", unix.SYS_WRITE: "write", unix.SYS_READV: "readv", unix.SYS_WRITEV: "writev",
	unix.SYS_PREAD64: "pread64", unix.SYS_PWRITE64: "pwrite64", unix.SYS_RECVFROM: "recvfrom", unix.SYS_RECVMSG: "recvmsg",
	unix.SYS_SENDTO: "sendto", unix.SYS_SENDMSG: "sendmsg", unix.SYS_ACCEPT: "accept", unix.SYS_ACCEPT4: "accept4",
	unix.SYS_CONNECT: "connect", unix.SYS_FSYNC: "fsync", unix.SYS_FDATASYNC: "fdatasync", unix.SYS_FLOCK: "flock",
	unix.SYS_FCNTL: "fcntl", unix.SYS_IOCTL: "ioctl", unix.SYS_FUTEX: "futex", unix.SYS_PPOLL: "ppoll", unix.SYS_PSELECT6: "pselect6",
	unix.SYS_EPOLL_PWAIT: "epoll_pwait", unix.SYS_EPOLL_PWAIT2: "epoll_pwait2", unix.SYS_WAIT4: "wait4", unix.SYS_WAITID: "waitid",
	unix.SYS_NANOSLEEP: "nanosleep", unix.SYS_CLOCK_NANOSLEEP: "clock_nanosleep", unix.SYS_RT_SIGTIMEDWAIT: "rt_sigtimedwait",
	unix.SYS_RT_SIGSUSPEND: "rt_sigsuspend", unix.SYS_RESTART_SYSCALL: "restart_syscall", unix.SYS_IO_GETEVENTS: "io_getevents",
	unix.SYS_IO_URING_ENTER: "io_uring_enter", unix.SYS_OPENAT: "openat", unix.SYS_SCHED_YIELD: "sched_yield", unix.SYS_SEMTIMEDOP: "semtimedop",
	unix.SYS_MSGRCV: "msgrcv",
}
