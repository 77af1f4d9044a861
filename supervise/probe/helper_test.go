package probe

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/probe/tree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// heard collects the calls of a Prober.
type heard struct {
	mu    sync.Mutex
	calls []string
	beats map[string]int
	cause map[string]state.Cause
	at    map[string]time.Time // of the first call of each kind and worker
}

func (h *heard) add(kind, worker string, gen uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	call := fmt.Sprintf("%s %s/%d", kind, worker, gen)
	h.calls = append(h.calls, call)
	if _, ok := h.at[call]; !ok {
		h.at[call] = time.Now()
	}
	if kind == "beat" {
		h.beats[worker]++
	}
}

func (h *heard) judged(worker string, gen uint64, c state.Cause) {
	h.add("judged", worker, gen)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cause[worker] = c
}

func (h *heard) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string{}, h.calls...)
}

func (h *heard) beatsOf(worker string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.beats[worker]
}

func (h *heard) causeOf(worker string) state.Cause {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cause[worker]
}

// when is the time of the first call such as "ready w/1".
func (h *heard) when(call string) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at[call]
}

// testProber is a Prober that is not started yet.
func testProber(tb testing.TB, o Options, proc procfs, net network) (*Prober, *heard) {
	tb.Helper()
	h := &heard{beats: map[string]int{}, cause: map[string]state.Cause{}, at: map[string]time.Time{}}
	o.OnReady = func(w string, g uint64) { h.add("ready", w, g) }
	o.OnBeat = func(w string, g uint64) { h.add("beat", w, g) }
	o.OnJudged = h.judged
	o.OnExtend = func(w string, g uint64, d time.Duration) { h.add("extend "+d.String(), w, g) }
	o.OnTimeout = func(w string, g uint64, d time.Duration) { h.add("timeout "+d.String(), w, g) }
	o.OnPhase = func(w string, g uint64, name string, d time.Duration) { h.add("phase "+name+" "+d.String(), w, g) }
	o.OnProgress = func(w string, g uint64, step int64) { h.add(fmt.Sprint("step ", step), w, g) }
	o.OnStatus = func(w string, g uint64, text string) { h.add("status "+text, w, g) }
	o.OnStopping = func(w string, g uint64) { h.add("stopping", w, g) }
	o.OnMainPID = func(w string, g uint64, pid int) { h.add(fmt.Sprint("main ", pid), w, g) }
	p, err := build(o, proc, net)
	if err != nil {
		tb.Fatal(err)
	}
	return p, h
}

// startProber is testProber, started and closed with the test.
func startProber(tb testing.TB, o Options, proc procfs, net network) (*Prober, *heard) {
	tb.Helper()
	p, h := testProber(tb, o, proc, net)
	p.start()
	tb.Cleanup(p.Close)
	return p, h
}

// realProber is one as New makes it.
func realProber(tb testing.TB, o Options) (*Prober, *heard) {
	tb.Helper()
	return startProber(tb, o, newKernelProcfs(), newNetwork())
}

func within(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	tb.Fatalf("not within 20 s: %s", what)
}

func numbered(i int) string { return fmt.Sprintf("w%04d", i) }

func dropAll(p *Prober) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.watches {
		p.drop(w)
	}
}

// openFiles counts the descriptors of this process that lead to a path.
func openFiles(tb testing.TB, matches func(path string) bool) (n int) {
	tb.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range list {
		if path, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && matches(path) {
			n++
		}
	}
	return n
}

// fakeProcfs is a machine of 1 GiB with made-up processes, whose descriptors are their pids.
type fakeProcfs struct {
	mu    sync.Mutex
	procs map[int]*fakeProcess
	opens map[int]int // how often each is open
	reads int
	fail  error // of open
	list  error // of List
	users map[int]uint32
	marks map[int]string
	pss   uint64
	lag   time.Duration // of evidence
}

type fakeProcess struct {
	reading
	evidence
	cpu   float64 // share of a core that it uses
	since time.Time
	slow  time.Duration // of the next read
	ppid  int
	group int
}

const fakeMemory = 1 << 30

func newFakeProcfs() *fakeProcfs {
	return &fakeProcfs{procs: map[int]*fakeProcess{}, opens: map[int]int{}}
}

// add makes a process that sleeps and has 4 pages.
func (f *fakeProcfs) add(pid int, change func(*fakeProcess)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	proc := &fakeProcess{reading: reading{state: 'S', threads: 1, pages: 4}, since: time.Now()}
	proc.evidence = evidence{status: "sleep", files: 3, rss: 4 * pageSize}
	if change != nil {
		change(proc)
	}
	f.procs[pid] = proc
}

func (f *fakeProcfs) change(pid int, change func(*fakeProcess)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f.procs[pid])
}

func (f *fakeProcfs) open(pid int) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return -1, f.fail
	}
	if f.procs[pid] == nil {
		return -1, unix.ENOENT
	}
	f.opens[pid]++
	return pid, nil
}

func (f *fakeProcfs) read(fd int, r *reading) error {
	f.mu.Lock()
	f.reads++
	proc := f.procs[fd]
	if proc == nil {
		f.mu.Unlock()
		return unix.ESRCH
	}
	slow := proc.slow
	proc.slow = 0
	f.mu.Unlock()
	time.Sleep(slow)
	f.mu.Lock()
	defer f.mu.Unlock()
	*r = proc.reading
	r.ticks += uint64(time.Since(proc.since).Seconds() * proc.cpu * ticksPerSecond)
	r.stat = tree.Stat{State: r.state, Ticks: r.ticks, Threads: r.threads, Pages: r.pages, PPID: proc.ppid, Group: proc.group, Start: uint64(fd)}
	return nil
}

func (f *fakeProcfs) List(pids []int) ([]int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for pid := range f.procs {
		pids = append(pids, pid)
	}
	return pids, f.list
}

func (f *fakeProcfs) Stat(pid int, s *tree.Stat) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	proc := f.procs[pid]
	if proc == nil {
		return unix.ENOENT
	}
	*s = tree.Stat{State: proc.state, Threads: proc.reading.threads, Pages: proc.pages, PPID: proc.ppid, Group: proc.group, Start: uint64(pid)}
	s.Ticks = proc.ticks + uint64(time.Since(proc.since).Seconds()*proc.cpu*ticksPerSecond)
	return nil
}

func (f *fakeProcfs) IO(int) (uint64, uint64, error) { return 0, 0, unix.EACCES }

func (f *fakeProcfs) look(int, time.Duration, <-chan struct{}) Look { return Look{} }

func (f *fakeProcfs) share([]int) uint64 { return f.pss }

func (f *fakeProcfs) marked(pid int, instance string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.marks[pid] == instance
}

func (f *fakeProcfs) isUser(pid int, uid uint32) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.users[pid] == uid
}

func (f *fakeProcfs) exists(pid int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.procs[pid] != nil
}

func (f *fakeProcfs) close(fd int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opens[fd]--
}

func (f *fakeProcfs) memory() uint64 { return fakeMemory }

func (f *fakeProcfs) evidence(pid int) evidence {
	time.Sleep(f.lag)
	f.mu.Lock()
	defer f.mu.Unlock()
	if proc := f.procs[pid]; proc != nil {
		return proc.evidence
	}
	return evidence{files: -1}
}

func (f *fakeProcfs) openCount() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range f.opens {
		n += k
	}
	return n
}

func (f *fakeProcfs) readCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reads
}

// fmtLine is a line of bytes.
func fmtLine(format string, args ...any) []byte {
	return append(fmt.Appendf(nil, format, args...), '\n')
}
