package evidence

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/supervise/cause"
)

// average reads PSI's "avg10=1.25".
func average(s string) (float64, bool) {
	_, num, _ := strings.Cut(s, "=")
	v, err := strconv.ParseFloat(num, 64)
	return v, err == nil
}

// KernelLog follows the kernel's log for the lines that explain a death. In most
// containers it cannot be opened; then it is nil, which is valid and knows nothing.
type KernelLog struct {
	fd   int
	boot time.Time // what the log's time stamps count from

	mu    sync.Mutex
	facts []cause.KernelFact
}

// maxFacts is how many lines are kept. maxRecords bounds one look: a flood of
// messages must not hold up anybody.
const (
	maxFacts   = 256
	maxRecords = 20000
)

// OpenKernelLog starts at the end of the log: what was before is not ours. The
// error says why it cannot be had.
func OpenKernelLog(root string) (*KernelLog, error) {
	fd, err := unix.Open(root+"/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if _, err = unix.Seek(fd, 0, unix.SEEK_END); err == nil {
		if _, err = unix.Read(fd, make([]byte, 8192)); errors.Is(err, unix.EAGAIN) {
			err = nil
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	var up unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &up)
	return &KernelLog{fd: fd, boot: time.Now().Add(-time.Duration(up.Nano()))}, nil
}

// Close closes the log.
func (k *KernelLog) Close() {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	unix.Close(k.fd)
	k.fd = -1
}

// Since returns what the log told since a time, the oldest first. It reads what
// is new and never waits.
func (k *KernelLog) Since(t time.Time) (out []cause.KernelFact) {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.readNew()
	for _, f := range k.facts {
		if !f.Time.Before(t) {
			out = append(out, f)
		}
	}
	return out
}

func (k *KernelLog) readNew() {
	buf := make([]byte, 8192) // the kernel's largest record
	for range maxRecords {
		if k.fd < 0 {
			return
		}
		n, err := unix.Read(k.fd, buf)
		switch {
		case errors.Is(err, unix.EPIPE) || errors.Is(err, unix.EINTR):
			continue // records were lost; the next read goes on behind them
		case err != nil || n <= 0:
			return
		}
		if f, ok := k.record(string(buf[:n])); ok {
			if k.facts = append(k.facts, f); len(k.facts) > maxFacts {
				k.facts = k.facts[len(k.facts)-maxFacts:]
			}
		}
	}
}

// record takes "6,339,5140900,-;text\n KEY=value\n" apart.
func (k *KernelLog) record(s string) (cause.KernelFact, bool) {
	head, text, ok := strings.Cut(s, ";")
	text, _, _ = strings.Cut(text, "\n")
	fields := strings.Split(head, ",")
	if !ok || len(fields) < 3 {
		return cause.KernelFact{}, false
	}
	f, ok := parseKernel(text)
	us, err := strconv.ParseInt(fields[2], 10, 64)
	f.Time = k.boot.Add(time.Duration(us) * time.Microsecond)
	return f, ok && err == nil
}

var (
	killed    = regexp.MustCompile(`(Memory cgroup out of memory|Out of memory)[^:]*: Killed process (\d+) \((.*?)\)(?: total-vm|,|$)`)
	segfault  = regexp.MustCompile(`^(.*)\[(\d+)\]: segfault at ([0-9a-f]+) ip [0-9a-f]+ sp ([0-9a-f]+)`)
	trap      = regexp.MustCompile(`^traps: (.*)\[(\d+)\] (?:trap|general protection)`)
	xid       = regexp.MustCompile(`^NVRM: Xid \([^)]*\): (\d+)(?:, pid='?(\d+))?`)
	hungTask  = regexp.MustCompile(`^INFO: task (.*):(\d+) blocked for more than`)
	memcgKill = regexp.MustCompile(`^oom-kill:constraint=(\w+),.*task=(.*),pid=(\d+),`)
)

// parseKernel understands the lines that tell of a process's end or trouble.
func parseKernel(text string) (f cause.KernelFact, ok bool) {
	f.Text = text[:min(len(text), 500)]
	if m := killed.FindStringSubmatch(text); m != nil {
		f.Kind, f.Memcg, f.Comm = cause.KernelOOM, m[1][0] == 'M', m[3]
		return withPID(f, m[2])
	}
	if m := memcgKill.FindStringSubmatch(text); m != nil {
		f.Kind, f.Memcg, f.Comm = cause.KernelOOM, m[1] == "CONSTRAINT_MEMCG", m[2]
		return withPID(f, m[3])
	}
	if m := segfault.FindStringSubmatch(text); m != nil {
		f.Kind, f.Comm, f.Stack = cause.KernelFault, m[1], near(m[3], m[4])
		return withPID(f, m[2])
	}
	if m := trap.FindStringSubmatch(text); m != nil {
		f.Kind, f.Comm = cause.KernelFault, m[1]
		return withPID(f, m[2])
	}
	if m := xid.FindStringSubmatch(text); m != nil {
		f.Kind = cause.KernelXid
		f.Xid, _ = strconv.Atoi(m[1])
		f.PID, _ = strconv.Atoi(m[2])
		return f, true
	}
	if m := hungTask.FindStringSubmatch(text); m != nil {
		f.Kind, f.Comm = cause.KernelHung, m[1]
		return withPID(f, m[2])
	}
	return f, false
}

func withPID(f cause.KernelFact, pid string) (cause.KernelFact, bool) {
	n, err := strconv.Atoi(pid)
	f.PID = n
	return f, err == nil
}

// near says that an address lies so close to the stack pointer that only a full
// stack explains the fault: what is used of a stack is mapped.
func near(addr, sp string) bool {
	a, err1 := strconv.ParseUint(addr, 16, 64)
	b, err2 := strconv.ParseUint(sp, 16, 64)
	const reach = 1 << 20 // a large array on the stack
	return err1 == nil && err2 == nil && a-b+reach < 2*reach
}
