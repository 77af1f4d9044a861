package probe

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/procguard/procguard/supervise/probe/tree"
)

// Look is what a process was seen to do over some time.
type Look struct {
	PID     int    // 0: it could not be seen
	Name    string // as in /proc/PID/comm
	Wrapped bool   // it is not the process that was asked for, but the child that one waits for
	State   byte   // of the main thread
	Wchan   string // what the main thread waits in, in the kernel's words; "": not known, or nothing
	Threads int
	CPU     float64 // percent of one core, of all threads
	Busiest float64 // of one thread
	Busy    int     // threads that used more than half of a core
}

// LookAt watches a process for some time, and waits as long. A shell that waits for its
// only child is not what is of interest: the child is looked at then.
func LookAt(pid int, over time.Duration) Look {
	return new(kernelProcfs).look(pid, over, nil)
}

// String is for example "CPU 100 % in 1 of 12 threads, state R". It is empty if nothing
// could be seen.
func (l *Look) String() string {
	if l.PID == 0 {
		return ""
	}
	var b strings.Builder
	if l.Wrapped {
		fmt.Fprintf(&b, "pid %d (%s): ", l.PID, l.Name)
	}
	fmt.Fprintf(&b, "CPU %.0f %% in ", l.CPU)
	switch {
	case l.Busy > 0 && l.Busy < l.Threads:
		fmt.Fprintf(&b, "%d of %d threads", l.Busy, l.Threads)
	default:
		b.WriteString(count(l.Threads, "thread"))
	}
	b.WriteString(", " + condition(l.State, stateWords[l.State]))
	if l.Wchan != "" {
		b.WriteString(", wchan " + l.Wchan)
	}
	return b.String()
}

var stateWords = map[byte]string{'R': "running", 'S': "sleeping", 't': "traced by a debugger", 'I': "idle"}

func (*kernelProcfs) look(pid int, over time.Duration, end <-chan struct{}) Look {
	l := Look{PID: pid}
	for range maxKin {
		child, ok := waitsFor(l.PID)
		if !ok {
			break
		}
		l.PID, l.Wrapped = child, true
	}
	before, start := threadTicks(l.PID), time.Now()
	timer := time.NewTimer(over)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-end:
	}
	l.compare(before, threadTicks(l.PID), time.Since(start))
	return l
}

// waitsFor is the only child of a process with one thread that waits for it.
func waitsFor(pid int) (child int, ok bool) {
	if name := wchan(pid); name != "do_wait" && name != "do_wait4" && name != "kernel_wait4" {
		return 0, false
	}
	if _, kids := threads(pid); len(kids) == 1 && len(tasks(pid)) == 1 {
		return kids[0], true
	}
	return 0, false
}

// compare works out who used how much between two readings.
func (l *Look) compare(before, after map[string]uint64, d time.Duration) {
	var s tree.Stat
	if new(tree.Kernel).Stat(l.PID, &s) != nil {
		*l = Look{}
		return
	}
	l.State, l.Threads = s.State, s.Threads
	comm, _ := os.ReadFile("/proc/" + strconv.Itoa(l.PID) + "/comm")
	l.Name, l.Wchan = strings.TrimSpace(string(comm)), wchan(l.PID)
	for tid, ticks := range after {
		from, ok := before[tid]
		if !ok {
			from = ticks
		}
		cpu := percentCPU(from, ticks, d)
		l.CPU += cpu
		l.Busiest = max(l.Busiest, cpu)
		if cpu > 50 {
			l.Busy++
		}
	}
}

// threadTicks are the CPU times of the threads of a process.
func threadTicks(pid int) map[string]uint64 {
	ticks := map[string]uint64{}
	for _, dir := range tasks(pid) {
		var s tree.Stat
		if b, err := os.ReadFile(dir + "/stat"); err == nil && s.Parse(b) == nil {
			ticks[filepath.Base(dir)] = s.Ticks
		}
	}
	return ticks
}

// wchan is "" where it may not be read, and for a process that does not wait.
func wchan(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/wchan")
	name := strings.TrimSpace(string(b))
	if err != nil || name == "0" {
		return ""
	}
	return name
}
