package evidence

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/procguard/procguard/state/journal/incident"
	"github.com/procguard/procguard/supervise/cause"
)

// Meter reads the counters of cgroups. It knows the container's cgroup and hands
// out a Baseline for each worker. Its methods may be called from several
// goroutines.
type Meter struct {
	root    string
	mounts  map[string]mount
	box     place // the container's
	missing []string

	mu      sync.Mutex
	recent  history
	workers map[*Baseline]bool // those with a cgroup of their own, of any controller

	// newest is shared by all that start or die at the same time.
	newest atomic.Pointer[full]
	once   sync.Mutex // one reads, those who wait for it take what it has read
}

// full is a reading with levels.
type full struct {
	at time.Time // before anything was read
	reading
	psi sync.Map // pressure by folder: map[string]float64
}

// NewMeter finds the cgroups below root, "" for the real ones.
func NewMeter(root string) *Meter {
	m := &Meter{root: root, mounts: readMounts(root), workers: map[*Baseline]bool{}}
	m.box = m.container()
	now := m.read()
	m.recent.add(time.Now(), now)
	m.complain(now)
	return m
}

// Missing says what this machine does not offer; it does not change.
func (m *Meter) Missing() []string { return m.missing }

func (m *Meter) complain(now reading) {
	if len(m.mounts) == 0 {
		m.missing = append(m.missing, "cgroups: none is mounted")
		return
	}
	for _, x := range []struct {
		known int64
		what  string
	}{
		{now.oomKills, "the OOM killer's counter of the container (memory.events or memory.oom_control)"},
		{now.refused, "refused forks of the container (pids.events)"},
		{now.host, "the OOM killer's counter of the machine (/proc/vmstat)"},
	} {
		if x.known < 0 {
			m.missing = append(m.missing, "cgroups: cannot read "+x.what)
		}
	}
}

// reading is the container's counters and the machine's.
type reading struct {
	counters
	host int64
}

func (m *Meter) read() reading {
	return reading{m.box.events(), value(keyed(m.root+"/proc/vmstat"), "oom_kill")}
}

// Renew reads the container's counters, for all whose ends were seen before. Growth then
// reads what is the worker's own alone.
func (m *Meter) Renew() { m.since(time.Now()) }

// since is a reading that was begun at that time or later: the kernel counts before it kills.
func (m *Meter) since(at time.Time) *full {
	if f := m.newest.Load(); f != nil && !f.at.Before(at) {
		return f
	}
	m.once.Lock()
	defer m.once.Unlock()
	if f := m.newest.Load(); f != nil && !f.at.Before(at) {
		return f
	}
	f := &full{at: time.Now()}
	f.reading = reading{m.box.all(), value(keyed(m.root+"/proc/vmstat"), "oom_kill")}
	m.newest.Store(f)
	return f
}

// pressure of a folder, read once with each reading.
func (f *full) pressure(m *Meter, dir string) map[string]float64 {
	if p, ok := f.psi.Load(dir); ok {
		return p.(map[string]float64)
	}
	p := m.pressure(dir)
	f.psi.Store(dir, p)
	return p
}

// recently is how old the reading may be that a worker starts with: what happens in so short
// a time before its start is held to be after it.
const recently = 20 * time.Millisecond

// history keeps the two newest readings that are at least settle apart, so that
// there is always one from shortly before a death.
type history struct{ old, new sample }

type sample struct {
	at time.Time
	reading
}

// settle is how long after a kill by the kernel its death may be seen: the victim
// must free its memory, and its exit must travel to us.
const settle = 2 * time.Second

func (h *history) add(at time.Time, r reading) {
	switch {
	case h.new.at.IsZero():
		h.old = sample{at, r}
		h.new = h.old
	case at.Sub(h.new.at) >= settle:
		h.old, h.new = h.new, sample{at, r}
	}
}

// before is the newest reading that is old enough not to know of what killed
// somebody at that time.
func (h *history) before(at time.Time) reading {
	if at.Sub(h.new.at) >= settle {
		return h.new.reading
	}
	return h.old.reading
}

// Tick reads the counters that a later death is compared with. Called once a
// monitoring interval it costs two small files, and one more for each worker that
// has a cgroup of its own.
func (m *Meter) Tick(now time.Time) {
	r := m.read()
	m.mu.Lock()
	m.recent.add(now, r)
	own := maps.Clone(m.workers)
	m.mu.Unlock()
	for b := range own {
		b.tick(now)
	}
}

// Baseline is what the counters said when a worker started.
type Baseline struct {
	m      *Meter
	own    place
	alone  bool    // own is not the container's
	shared bool    // the memory cgroup is
	box    reading // at the start
	start  counters
	// Limits of the worker at its start, 0 for none.
	cpuHard time.Duration

	mu     sync.Mutex
	recent history
}

// Start makes the baseline of the worker with this pid. It never fails: what
// cannot be read is unknown later. Close it when the worker is gone.
func (m *Meter) Start(pid int) *Baseline {
	proc := (&Collector{root: m.root}).proc
	b := &Baseline{m: m, own: m.counted(m.place(readPaths(proc(pid, "cgroup"))))}
	b.box = m.since(time.Now().Add(-recently)).reading
	b.shared = b.own.of("memory") == m.box.of("memory") || len(b.own) == 0
	b.alone = len(b.own) > 0 && !maps.Equal(b.own, m.box)
	b.start = b.box.counters
	if b.alone {
		b.start = b.own.events()
	}
	limits, _ := readFile(proc(pid, "limits"), 4096)
	b.cpuHard = hardCPU(string(limits))
	now := time.Now()
	b.recent.add(now, reading{b.start, -1})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.recent.add(now, b.box)
	if b.alone {
		m.workers[b] = true
	}
	return b
}

// hardCPU finds the hard limit of "Max cpu time" in /proc/PID/limits.
func hardCPU(limits string) time.Duration {
	for line := range strings.Lines(limits) {
		if rest, ok := strings.CutPrefix(line, "Max cpu time"); ok {
			if f := strings.Fields(rest); len(f) > 1 {
				d, err := time.ParseDuration(f[1] + "s")
				if err == nil {
					return d
				}
			}
		}
	}
	return 0
}

// Close ends the ticks of a worker that is gone. Its Growth can still be asked.
func (b *Baseline) Close() {
	if b == nil {
		return
	}
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	delete(b.m.workers, b)
}

func (b *Baseline) tick(now time.Time) {
	r := reading{b.own.events(), -1}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recent.add(now, r)
}

// Growth is what the counters say now, at a death or a hang seen at that time.
type Growth struct {
	Cgroup *incident.Cgroup // since the worker's start
	Memory cause.Memory     // since shortly before
	Pids   cause.Pids       // since the worker's start
	// CPUHard is the worker's hard limit of processor time at its start.
	CPUHard time.Duration
}

// Growth reads the counters once more and compares.
func (b *Baseline) Growth(at time.Time) Growth {
	if b == nil {
		return Growth{}
	}
	now := b.m.since(at)
	box, own := now.reading, now.counters
	if b.alone {
		own = b.own.all()
	}
	b.m.mu.Lock()
	boxBefore := b.m.recent.before(at)
	b.m.mu.Unlock()
	b.mu.Lock()
	ownBefore := b.recent.before(at).counters
	b.mu.Unlock()
	// A worker that started after the reading cannot have died of what was before.
	boxBefore.counters, boxBefore.host = later(boxBefore.counters, b.box.counters), max(boxBefore.host, b.box.host)
	g := Growth{CPUHard: b.cpuHard, Cgroup: b.describe(now, own)}
	g.Memory = b.memory(boxBefore.counters, grown(boxBefore.host, box.host), box, ownBefore, own)
	limits := own
	if limits.pidsMax <= 0 {
		limits = box.counters
	}
	g.Pids = cause.Pids{Known: own.refused >= 0 || box.refused >= 0, Limit: max(0, limits.pidsMax),
		Refused: max(0, grown(b.start.refused, own.refused), grown(b.box.refused, box.refused))}
	return g
}

// met says that a cgroup's limit was met. Under v1, where memory and swap have the
// same limit, newer kernels do not count that; then the peak tells.
func (b *Baseline) met(before, now counters) bool {
	const page = 64 << 10 // the largest there is
	_, v1 := b.m.box["memory"]
	return grown(before.limitHits, now.limitHits) > 0 || v1 && now.limit > 0 && now.peak >= now.limit-page
}

// later is the larger of two readings of counters that only grow.
func later(a, b counters) counters {
	a.oomKills, a.limitHits = max(a.oomKills, b.oomKills), max(a.limitHits, b.limitHits)
	return a
}

func (b *Baseline) memory(boxBefore counters, host int64, box reading, ownBefore, own counters) cause.Memory {
	m := cause.Memory{Shared: b.shared, Peak: max(0, own.peak), Limit: max(0, own.limit)}
	container, hits := grown(boxBefore.oomKills, box.oomKills), b.met(boxBefore, box.counters)
	m.HostKnown, m.Host = host >= 0, max(0, host)
	if b.shared {
		m.Known, m.Container = container >= 0, max(0, container)
		return m
	}
	mine := grown(ownBefore.oomKills, own.oomKills)
	m.Known = mine >= 0
	m.Own, m.OwnLimit = max(0, mine), b.met(ownBefore, own)
	m.Container = max(0, container)
	if m.Own > 0 && hits {
		m.Container = max(m.Container, m.Own) // v1 counts a kill at the victim's cgroup alone
	}
	if m.Own > 0 && !m.OwnLimit {
		m.Peak, m.Limit = max(0, box.peak), max(0, box.limit)
	}
	return m
}

func (b *Baseline) describe(box *full, own counters) *incident.Cgroup {
	c := &incident.Cgroup{Version: 2, Shared: b.shared, HostOOM: grown(b.box.host, box.host), Pressure: box.pressure(b.m, b.own.of("memory"))}
	if _, v1 := b.m.box["memory"]; v1 {
		c.Version = 1
	}
	c.Container = groups(b.m.box, b.box.counters, box.counters)
	if b.alone {
		c.Worker = groups(b.own, b.start, own)
	}
	return c
}

// pressure reads PSI: the cgroup's own, else the machine's.
func (m *Meter) pressure(dir string) map[string]float64 {
	out := map[string]float64{}
	for _, what := range []string{"memory", "io", "cpu"} {
		data := keyed(dir + "/" + what + ".pressure")
		if data == nil {
			data = keyed(m.root + "/proc/pressure/" + what)
		}
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) < 2 {
				continue
			}
			if v, ok := average(f[1]); ok {
				out[what+"."+f[0]] = v
			}
		}
	}
	return out
}
