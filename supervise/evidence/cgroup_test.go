package evidence

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// world is a machine's files in a directory.
type world struct {
	t    testing.TB
	root string
}

func newWorld(t testing.TB, files map[string]string) *world {
	w := &world{t, t.TempDir()}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		w.write(name, files[name])
	}
	return w
}

func (w *world) write(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove(name string) {
	if err := os.RemoveAll(filepath.Join(w.root, name)); err != nil {
		w.t.Fatal(err)
	}
}

const (
	mountV2   = "30 24 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate\n"
	mountV1   = "31 24 0:27 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n32 24 0:28 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n33 24 0:29 /docker/abc /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids\n"
	groupV1   = "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n3:pids:/docker/abc\n0::/docker/abc\n"
	vmstat    = "nr_free_pages 1\noom_kill 7\n"
	limitsCPU = "Limit                     Soft Limit           Hard Limit           Units     \nMax cpu time              60                   90                   seconds   \n"
)

func events(oom, kills int) string {
	return fmt.Sprintf("low 0\nhigh 0\nmax 12\noom %d\noom_kill %d\noom_group_kill 0\n", oom, kills)
}

// v2 is a container with a cgroup namespace; worker 10 shares its cgroup, worker
// 20 has one of its own.
func v2(t testing.TB) *world {
	return newWorld(t, map[string]string{
		"proc/self/mountinfo": mountV2, "proc/self/cgroup": "0::/init\n", "proc/vmstat": vmstat,
		"proc/10/cgroup": "0::/\n", "proc/20/cgroup": "0::/w20\n", "proc/10/limits": limitsCPU,
		"proc/pressure/memory":        "some avg10=1.50 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=0\n",
		"sys/fs/cgroup/memory.events": events(0, 3), "sys/fs/cgroup/memory.current": "1000\n", "sys/fs/cgroup/memory.peak": "2000\n",
		"sys/fs/cgroup/memory.max": "4096\n", "sys/fs/cgroup/pids.current": "9\n", "sys/fs/cgroup/pids.max": "max\n", "sys/fs/cgroup/pids.events": "max 0\n",
		"sys/fs/cgroup/cpu.stat":          "usage_usec 1\nnr_periods 5\nnr_throttled 2\nthrottled_usec 3000\n",
		"sys/fs/cgroup/w20/memory.events": events(0, 0), "sys/fs/cgroup/w20/memory.current": "100\n", "sys/fs/cgroup/w20/memory.max": "max\n",
		"sys/fs/cgroup/w20/memory.pressure": "some avg10=9.00 avg60=0.00 avg300=0.00 total=0\n", "sys/fs/cgroup/w20/pids.events": "max 0\n",
		"sys/fs/cgroup/w20/pids.max": "50\n",
	})
}

func TestGrowthOfTheContainer(t *testing.T) {
	w := v2(t)
	m := NewMeter(w.root)
	if len(m.Missing()) != 0 {
		t.Errorf("missing: %v", m.Missing())
	}
	b := m.Start(10)
	w.write("sys/fs/cgroup/memory.events", events(1, 4))
	w.write("sys/fs/cgroup/cpu.stat", "nr_throttled 6\nthrottled_usec 9000\n")
	w.write("proc/vmstat", "oom_kill 8\n")
	g := b.Growth(time.Now())
	if !b.shared || !g.Memory.Known || g.Memory.Container != 1 || g.Memory.Own != 0 || g.Memory.Host != 1 || g.CPUHard != 90*time.Second {
		t.Errorf("%+v", g)
	}
	c := g.Cgroup.Container
	if c.OOMKills != 1 || c.LimitHits != 1 || c.MemoryBytes != 1000 || c.PeakBytes != 2000 || c.LimitBytes != 4096 || c.Throttled != 4 || c.ThrottledMS != 6 || c.PidsLimit != 0 {
		t.Errorf("%+v", c)
	}
	if g.Cgroup.Version != 2 || !g.Cgroup.Shared || g.Cgroup.Worker != nil || g.Cgroup.Pressure["memory.some"] != 1.5 || g.Cgroup.Pressure["memory.full"] != 0.25 {
		t.Errorf("%+v", g.Cgroup)
	}
}

func TestGrowthOfTheWorker(t *testing.T) {
	w := v2(t)
	m := NewMeter(w.root)
	b := m.Start(20)
	// Its own limit: "oom" is counted at the worker's cgroup and above.
	w.write("sys/fs/cgroup/w20/memory.events", events(1, 1))
	w.write("sys/fs/cgroup/w20/pids.events", "max 4\n")
	w.write("sys/fs/cgroup/memory.events", events(1, 4))
	g := b.Growth(time.Now())
	if g.Memory.Own != 1 || !g.Memory.OwnLimit || g.Memory.Shared || g.Pids.Refused != 4 || g.Pids.Limit != 50 {
		t.Errorf("%+v", g)
	}
	if g.Cgroup.Pressure["memory.some"] != 9 || g.Cgroup.Worker.Path != w.root+"/sys/fs/cgroup/w20" {
		t.Errorf("%+v", g.Cgroup)
	}
	// The container's: "oom" is counted above only.
	b = m.Start(20)
	w.write("sys/fs/cgroup/w20/memory.events", events(1, 2))
	w.write("sys/fs/cgroup/memory.events", events(2, 5))
	g = b.Growth(time.Now())
	if g.Memory.Own != 1 || g.Memory.OwnLimit || g.Memory.Container != 1 || g.Memory.Limit != 4096 {
		t.Errorf("%+v", g.Memory)
	}
	// It is gone with its cgroup: that is not known, and no growth.
	w.remove("sys/fs/cgroup/w20")
	if g = b.Growth(time.Now()); g.Memory.Known || g.Memory.Own != 0 {
		t.Errorf("%+v", g.Memory)
	}
}

func TestGrowthV1(t *testing.T) {
	const dir = "sys/fs/cgroup/memory/"
	w := newWorld(t, map[string]string{
		"proc/self/mountinfo": mountV1, "proc/self/cgroup": groupV1, "proc/10/cgroup": groupV1,
		"proc/20/cgroup":           strings.ReplaceAll(groupV1, "/docker/abc", "/docker/abc/w20"),
		dir + "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", dir + "memory.failcnt": "5\n",
		dir + "memory.limit_in_bytes": "9223372036854771712\n", dir + "memory.usage_in_bytes": "77\n", dir + "memory.max_usage_in_bytes": "99\n",
		dir + "w20/memory.oom_control": "oom_kill 0\n", dir + "w20/memory.failcnt": "0\n",
		"sys/fs/cgroup/pids/pids.max": "100\n", "sys/fs/cgroup/pids/pids.events": "max 1\n",
		"sys/fs/cgroup/cpu,cpuacct/cpu.stat": "nr_periods 0\nnr_throttled 1\nthrottled_time 5000000\n",
	})
	m := NewMeter(w.root)
	b, own := m.Start(10), m.Start(20)
	w.write(dir+"memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
	w.write("sys/fs/cgroup/pids/pids.events", "max 3\n")
	g := b.Growth(time.Now())
	if !g.Memory.Known || g.Memory.Container != 1 || g.Memory.HostKnown || g.Pids.Refused != 2 || g.Pids.Limit != 100 || g.Cgroup.Version != 1 {
		t.Errorf("%+v %+v", g, g.Cgroup)
	}
	if c := g.Cgroup.Container; c.LimitBytes != 0 || c.PeakBytes != 99 || c.MemoryBytes != 77 || c.Throttled != 0 {
		t.Errorf("%+v", c)
	}
	if len(m.Missing()) != 1 || !strings.Contains(m.Missing()[0], "vmstat") {
		t.Errorf("missing: %v", m.Missing())
	}
	// v1 counts a kill at the victim's cgroup alone, and the limit where it was met.
	w.write(dir+"w20/memory.oom_control", "oom_kill 1\n")
	w.write(dir+"memory.failcnt", "6\n")
	if g := own.Growth(time.Now()); g.Memory.Own != 1 || g.Memory.OwnLimit || g.Memory.Container == 0 {
		t.Errorf("%+v", g.Memory)
	}
}

// TestOldKillsAreForgotten: an OOM kill of long ago does not explain a death of
// now, but it stays in the incident.
func TestOldKillsAreForgotten(t *testing.T) {
	w := v2(t)
	m := NewMeter(w.root)
	b := m.Start(10)
	now := time.Now()
	w.write("sys/fs/cgroup/memory.events", events(1, 4))
	if g := b.Growth(now.Add(time.Second)); g.Memory.Container != 1 {
		t.Errorf("a fresh one: %+v", g.Memory)
	}
	for i := range 5 {
		m.Tick(now.Add(time.Duration(10+i) * time.Second))
	}
	g := b.Growth(now.Add(15 * time.Second))
	if g.Memory.Container != 0 || g.Cgroup.Container.OOMKills != 1 {
		t.Errorf("an old one: %+v, %+v", g.Memory, g.Cgroup.Container)
	}
	// A new one, seen a little after a Tick that knew of it already.
	w.write("sys/fs/cgroup/memory.events", events(1, 5))
	m.Tick(now.Add(16200 * time.Millisecond))
	if g = b.Growth(now.Add(16500 * time.Millisecond)); g.Memory.Container != 1 {
		t.Errorf("a new one: %+v", g.Memory)
	}
	// A worker that started after it has nothing to do with it.
	if g = m.Start(10).Growth(now.Add(16600 * time.Millisecond)); g.Memory.Container != 0 {
		t.Errorf("of a new worker: %+v", g.Memory)
	}
}

func TestNothingIsKnown(t *testing.T) {
	m := NewMeter(t.TempDir())
	g := m.Start(10).Growth(time.Now())
	if g.Memory.Known || g.Memory.HostKnown || g.Pids.Known || len(m.Missing()) != 1 {
		t.Errorf("%+v, %v", g, m.Missing())
	}
	var none *Baseline
	none.Close()
	if g := none.Growth(time.Now()); g.Cgroup != nil || g.Memory.Known {
		t.Errorf("%+v", g)
	}
}

func TestWorkersAreForgotten(t *testing.T) {
	m := NewMeter(v2(t).root)
	b := m.Start(20)
	if len(m.workers) != 1 {
		t.Errorf("%d are known", len(m.workers))
	}
	b.Close()
	if len(m.workers) != 0 {
		t.Errorf("%d are known after Close", len(m.workers))
	}
}

func TestPlaces(t *testing.T) {
	rows := []struct{ root, dir, cgroup, want string }{
		{"/", "/sys/fs/cgroup", "/", "/sys/fs/cgroup"},
		{"/", "/sys/fs/cgroup", "/a/b", "/sys/fs/cgroup/a/b"},
		{"/", "/sys/fs/cgroup", "/../x", "/sys/fs/cgroup"},
		{"/docker/abc", "/m", "/docker/abc", "/m"},
		{"/docker/abc", "/m", "/docker/abc/w0", "/m/w0"},
		{"/docker/abc", "/m", "/docker/abcd", "/m"},
		{"/docker/abc", "/m", "/kubepods/x", "/m"},
	}
	for _, r := range rows {
		if got := (mount{dir: r.dir, root: r.root}).folder(r.cgroup); got != r.want {
			t.Errorf("%+v: %s", r, got)
		}
	}
}

// BenchmarkTick is what a monitoring interval costs on this machine.
func BenchmarkTick(b *testing.B) {
	m := NewMeter("")
	for b.Loop() {
		m.Tick(time.Now())
	}
}

// BenchmarkBaseline is what a worker's start costs.
func BenchmarkBaseline(b *testing.B) {
	m := NewMeter("")
	for b.Loop() {
		m.Start(os.Getpid()).Close()
	}
}

// BenchmarkGrowth is what a death costs.
func BenchmarkGrowth(b *testing.B) {
	m := NewMeter("")
	base := m.Start(os.Getpid())
	for b.Loop() {
		base.Growth(time.Now())
	}
}

// BenchmarkReadOne is one file of a cgroup.
func BenchmarkReadOne(b *testing.B) {
	m := NewMeter("")
	dir := m.box.of("memory")
	for b.Loop() {
		if _, err := readFile(dir+"/cgroup.procs", 16<<10); err != nil {
			b.Skip(err)
		}
	}
}

// Under v2 a group without the memory controller, as the one that ProcGuard makes for each
// worker, has no counters of its own: its memory is counted above it.
func TestMemoryIsCountedAbove(t *testing.T) {
	w := v2(t)
	w.write("proc/30/cgroup", "0::/procguard-x/inner\n")
	w.write("proc/30/limits", limitsCPU)
	w.write("sys/fs/cgroup/procguard-x/inner/cgroup.procs", "30\n")
	m := NewMeter(w.root)
	b := m.Start(30)
	w.write("sys/fs/cgroup/memory.events", events(1, 4))
	g := b.Growth(time.Now().Add(time.Hour))
	if !g.Memory.Known || !g.Memory.Shared || g.Memory.Container != 1 {
		t.Errorf("memory is %+v", g.Memory)
	}
}

// What all die of at once is read once, and never before they died.
func TestReadingIsShared(t *testing.T) {
	w := v2(t)
	m := NewMeter(w.root)
	b := m.Start(10)
	m.Renew()
	died := time.Now()
	w.write("sys/fs/cgroup/memory.events", events(0, 4))
	if g := b.Growth(died); g.Memory.Container != 1 {
		t.Errorf("a reading from before the death was used: %+v", g.Memory)
	}
	w.write("sys/fs/cgroup/memory.events", events(0, 9))
	if g := b.Growth(died); g.Memory.Container != 1 {
		t.Errorf("it was read again: %+v", g.Memory)
	}
}
