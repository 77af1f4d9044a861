package probe

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v3/mem"
	"github.com/shirou/gopsutil/v3/process"
	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/supervise/probe/tree"
)

// procfs is what is asked of the kernel about processes; a fake one in tests.
type procfs interface {
	tree.Source
	// open makes a descriptor for read. It stays with this process: when that is
	// reaped, reads fail with ESRCH, also if its pid has a new owner.
	open(pid int) (fd int, err error)
	read(fd int, r *reading) error
	close(fd int)
	// memory is the machine's, in bytes; 0: not known.
	memory() uint64
	// evidence is all that a verdict rests on or names beside the samples.
	evidence(pid int) evidence
	// look watches the threads of a process for some time. It may be ended early.
	look(pid int, over time.Duration, end <-chan struct{}) Look
	// share is the proportional set size of processes, in bytes; 0: not known.
	share(pids []int) uint64
	// marked tells whether a process carries the marker of an instance.
	marked(pid int, instance string) bool
	// isUser tells whether a process is of a user.
	isUser(pid int, uid uint32) bool
	// exists asks without /proc, which may hide processes of others.
	exists(pid int) bool
}

// reading is what we use of /proc/PID/stat.
type reading struct {
	state   byte
	ticks   uint64 // user and system time of all threads, in units of tick
	threads int
	pages   uint64 // resident
	stat    tree.Stat
}

// ticksPerSecond is USER_HZ, which is 100 on every architecture that Go runs on,
// whatever CONFIG_HZ is: it is part of the kernel's interface (asm/param.h).
const ticksPerSecond = 100

var pageSize = uint64(os.Getpagesize())

// kernelProcfs reads /proc/PID/stat itself: a thousand workers may be sampled each
// second. What is here one pread of a descriptor that stays open, without an
// allocation, takes gopsutil several files and more than a hundred allocations;
// the benchmarks print both.
type kernelProcfs struct{ tree.Kernel }

func newKernelProcfs() procfs { return &kernelProcfs{} }

func (*kernelProcfs) open(pid int) (int, error) {
	// Not os.Open, which would register each file with the poller.
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	return fd, nil
}

func (*kernelProcfs) read(fd int, r *reading) error {
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
		return r.parse(buf[:n])
	}
}

func (*kernelProcfs) close(fd int) { _ = unix.Close(fd) }

func (r *reading) parse(b []byte) error {
	if err := r.stat.Parse(b); err != nil {
		return err
	}
	r.state, r.ticks, r.threads, r.pages = r.stat.State, r.stat.Ticks, r.stat.Threads, r.stat.Pages
	return nil
}

// memory comes from gopsutil: it is asked once.
func (*kernelProcfs) memory() uint64 {
	m, err := mem.VirtualMemory()
	if err != nil {
		return 0
	}
	return m.Total
}

// evidence of a process, as far as it could be had.
type evidence struct {
	status string // in words
	wchan  string // what the main thread waits in, in the kernel's words
	files  int    // open; -1: not known
	busy   bool   // one of its descendants wants to run, or is traced
	// rss in bytes, of the whole tree, 0 if not known. Unlike a sample's it holds when
	// the main thread has exited, which takes its view of the memory with it.
	rss uint64
}

// evidence comes from gopsutil where it reads files that never block. Of its
// functions some read cmdline, which waits for a lock that a stuck process may
// hold, and Children starts a program, which would meet the reaper; not these.
func (*kernelProcfs) evidence(pid int) evidence {
	// Not NewProcess: it opens a pidfd and leaves it to the garbage collector.
	proc := &process.Process{Pid: int32(pid)}
	e := evidence{files: -1, wchan: wchan(pid)}
	if words, err := proc.Status(); err == nil && len(words) > 0 {
		e.status = words[0]
	}
	if n, err := proc.NumFDs(); err == nil {
		e.files = int(n)
	}
	own, kids := threads(pid)
	if own == 0 {
		return e
	}
	e.rss = own
	for n := 0; len(kids) > 0 && n < maxKin; n++ {
		kid := kids[0]
		rss, more := threads(kid)
		e.rss += rss
		e.busy = e.busy || wantsToRun(kid)
		kids = append(kids[1:], more...)
	}
	return e
}

// How many threads of a process, and how many descendants, are looked at for a verdict.
const (
	maxThreads = 256
	maxKin     = 256
)

func wantsToRun(pid int) bool {
	var k tree.Kernel
	var s tree.Stat
	return k.Stat(pid, &s) == nil && !mayBeIdle(s.State)
}

// threads finds the memory that the process's threads share, and the children of any
// of them: they are the kernel's record of who waits for whom.
func threads(pid int) (rss uint64, children []int) {
	for _, dir := range tasks(pid) {
		statm, _ := os.ReadFile(dir + "/statm")
		if f := strings.Fields(string(statm)); len(f) > 1 {
			rss = max(rss, tree.Number([]byte(f[1]))*pageSize)
		}
		// Missing where the kernel was built without CONFIG_PROC_CHILDREN.
		kids, _ := os.ReadFile(dir + "/children")
		for kid := range strings.FieldsSeq(string(kids)) {
			children = append(children, int(tree.Number([]byte(kid))))
		}
	}
	return rss, children
}

// tasks are the directories of a process's threads.
func tasks(pid int) []string {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(maxThreads)
	for i := range names {
		names[i] = dir + "/" + names[i]
	}
	return names
}

// share reads smaps_rollup, which is dear, and may wait for a lock that a stuck
// process holds.
func (*kernelProcfs) share(pids []int) (sum uint64) {
	for _, pid := range pids {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
		if err != nil && !gone(err) {
			return 0
		}
		if _, rest, ok := strings.Cut(string(b), "\nPss:"); ok {
			line, _, _ := strings.Cut(rest, " kB")
			sum += tree.Number([]byte(strings.TrimSpace(line))) << 10
		}
	}
	return sum
}

// marker is how a worker's processes are marked, and the same for those whose marker
// was replaced by a supervisor below.
const marker = "PROCGUARD_INSTANCE"

func (*kernelProcfs) marked(pid int, instance string) bool {
	env, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	for entry := range strings.SplitSeq(string(env), "\x00") {
		if v, ok := strings.CutPrefix(entry, marker+"="); ok && v == instance {
			return true
		}
		if v, ok := strings.CutPrefix(entry, marker+"_OUTER="); ok && slices.Contains(strings.Split(v, "\n"), instance) {
			return true
		}
	}
	return false
}

// isUser compares with all four of its user ids: which one the kernel puts on a
// datagram depends on how it is sent.
func (*kernelProcfs) isUser(pid int, uid uint32) bool {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	_, rest, _ := strings.Cut(string(b), "\nUid:")
	line, _, _ := strings.Cut(rest, "\n")
	return slices.Contains(strings.Fields(line), strconv.FormatUint(uint64(uid), 10))
}

func (*kernelProcfs) exists(pid int) bool { return unix.Kill(pid, 0) != unix.ESRCH }

// gone: no such process.
func gone(err error) bool { return errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) }
