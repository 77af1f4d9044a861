package probe

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v3/mem"
	"github.com/shirou/gopsutil/v3/process"
	"golang.org/x/sys/unix"
)

// procfs is what is asked of the kernel about processes; a fake one in tests.
type procfs interface {
	// open makes a descriptor for read. It stays with this process: when that is
	// reaped, reads fail with ESRCH, also if its pid has a new owner.
	open(pid int) (fd int, err error)
	read(fd int, r *reading) error
	close(fd int)
	// memory is the machine's, in bytes; 0: not known.
	memory() uint64
	// evidence is all that a verdict rests on or names beside the samples.
	evidence(pid int) evidence
}

// reading is what we use of /proc/PID/stat.
type reading struct {
	state   byte
	ticks   uint64 // user and system time of all threads, in units of tick
	threads int
	pages   uint64 // resident
}

// ticksPerSecond is USER_HZ, which is 100 on every architecture that Go runs on,
// whatever CONFIG_HZ is: it is part of the kernel's interface (asm/param.h).
const ticksPerSecond = 100

var pageSize = uint64(os.Getpagesize())

// kernelProcfs reads /proc/PID/stat itself: a thousand workers may be sampled each
// second. What is here one pread of a descriptor that stays open, without an
// allocation, takes gopsutil several files and more than a hundred allocations;
// the benchmarks print both.
type kernelProcfs struct{}

func newKernelProcfs() procfs { return kernelProcfs{} }

func (kernelProcfs) open(pid int) (int, error) {
	// Not os.Open, which would register each file with the poller.
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	return fd, nil
}

func (kernelProcfs) read(fd int, r *reading) error {
	// A line has 52 numbers and a name of at most 64 bytes: 1,200 bytes if all of
	// them were as long as can be, 300 in fact. The end is not needed.
	var buf [1024]byte
	for {
		n, err := unix.Pread(fd, buf[:], 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		return parseStat(buf[:n], r)
	}
}

func (kernelProcfs) close(fd int) { _ = unix.Close(fd) }

var errStat = errors.New("malformed /proc/PID/stat")

// The places of what we use, in proc_pid_stat(5)'s count less 3: counting begins
// after the name, which may contain blanks and parentheses.
const (
	statUtime, statStime = 14 - 3, 15 - 3
	statThreads          = 20 - 3
	statRSS              = 24 - 3
)

func parseStat(b []byte, r *reading) error {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 || end+3 >= len(b) {
		return errStat
	}
	b = b[end+2:]
	*r = reading{state: b[0]}
	for i := 0; i <= statRSS; i++ {
		cut := bytes.IndexByte(b, ' ')
		if cut < 0 {
			return errStat
		}
		switch field := b[:cut]; i {
		case statUtime, statStime:
			r.ticks += number(field)
		case statThreads:
			r.threads = int(number(field))
		case statRSS:
			r.pages = number(field)
		}
		b = b[cut+1:]
	}
	return nil
}

// number is strconv.ParseUint for what the kernel prints, without making a string.
func number(b []byte) (n uint64) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0 // a negative number, as in a time that ran backwards
		}
		n = n*10 + uint64(c-'0')
	}
	return n
}

// memory comes from gopsutil: it is asked once.
func (kernelProcfs) memory() uint64 {
	m, err := mem.VirtualMemory()
	if err != nil {
		return 0
	}
	return m.Total
}

// evidence of a process, as far as it could be had.
type evidence struct {
	status   string // in words
	files    int    // open; -1: not known
	children bool   // it has at least one
	// rss in bytes, 0 if not known. Unlike a sample's it holds when the main
	// thread has exited, which takes its view of the memory with it.
	rss uint64
}

// evidence comes from gopsutil where it reads files that never block. Of its
// functions some read cmdline, which waits for a lock that a stuck process may
// hold, and Children starts a program, which would meet the reaper; not these.
func (kernelProcfs) evidence(pid int) evidence {
	// Not NewProcess: it opens a pidfd and leaves it to the garbage collector.
	proc := &process.Process{Pid: int32(pid)}
	e := evidence{files: -1}
	if words, err := proc.Status(); err == nil && len(words) > 0 {
		e.status = words[0]
	}
	if n, err := proc.NumFDs(); err == nil {
		e.files = int(n)
	}
	e.rss, e.children = threads(pid)
	return e
}

// maxThreads is how many threads are looked at for a verdict.
const maxThreads = 256

// threads finds the memory that the process's threads share, and whether any of
// them has a child: they are the kernel's record of who waits for whom.
func threads(pid int) (rss uint64, children bool) {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	f, err := os.Open(dir)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	names, _ := f.Readdirnames(maxThreads)
	for _, tid := range names {
		statm, _ := os.ReadFile(dir + "/" + tid + "/statm")
		if f := strings.Fields(string(statm)); len(f) > 1 {
			rss = max(rss, number([]byte(f[1]))*pageSize)
		}
		// Missing where the kernel was built without CONFIG_PROC_CHILDREN.
		kids, _ := os.ReadFile(dir + "/" + tid + "/children")
		children = children || len(kids) > 0
	}
	return rss, children
}
