package reaper

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// roles are what the test binary does when it is executed as somebody else.
var roles = map[string]func() int{}

func TestMain(m *testing.M) {
	if f := roles[os.Getenv("REAPER_TEST_ROLE")]; f != nil {
		os.Exit(f())
	}
	os.Exit(m.Run())
}

// patience is generous: the machine may be busy.
const patience = 20 * time.Second

// rig is a running Reaper with a record of what it reported.
type rig struct {
	t  *testing.T
	r  *Reaper
	ns string // prefix of the instances of this rig

	mu      sync.Mutex
	exits   []Exit
	gones   []Gone
	orphans []Exit
	stops   []Stop
	n       int
}

func newRig(t *testing.T) *rig {
	t.Helper()
	g := &rig{t: t, ns: fmt.Sprintf("%s/%d/%d/", t.Name(), os.Getpid(), time.Now().UnixNano())}
	r, err := Start(Options{
		OnExit:   func(e Exit) { g.mu.Lock(); g.exits = append(g.exits, e); g.mu.Unlock() },
		OnGone:   func(e Gone) { g.mu.Lock(); g.gones = append(g.gones, e); g.mu.Unlock() },
		OnOrphan: func(e Exit) { g.mu.Lock(); g.orphans = append(g.orphans, e); g.mu.Unlock() },
		OnStop:   func(e Stop) { g.mu.Lock(); g.stops = append(g.stops, e); g.mu.Unlock() },
	})
	if err != nil {
		t.Fatal(err)
	}
	g.r = r
	t.Cleanup(g.close)
	return g
}

func (g *rig) close() {
	for _, c := range g.alive() {
		_ = g.r.Kill(c)
	}
	g.eventually("all processes gone", func() bool { s := g.r.Stats(); return s.Live == 0 && s.Pending == 0 })
	g.noStragglers()
	if err := g.r.Close(); err != nil {
		g.t.Error(err)
	}
	if err := goleak.Find(goleak.IgnoreCurrent()); err != nil {
		g.t.Error(err)
	}
	for _, f := range []string{"(*Reaper).wait", "(*Reaper).watchLoop", "(*Reaper).pollLoop", "(*capture).read"} {
		if strings.Contains(stacks(), f) {
			g.t.Errorf("goroutine %s left after Close", f)
		}
	}
}

func (g *rig) alive() []Proc {
	g.r.mu.Lock()
	defer g.r.mu.Unlock()
	var ps []Proc
	for _, c := range g.r.all {
		ps = append(ps, c.Proc)
	}
	return ps
}

// noStragglers fails if a living process carries a marker of this rig.
func (g *rig) noStragglers() {
	g.t.Helper()
	for _, pid := range g.marked() {
		d, _ := Describe(pid)
		g.t.Errorf("straggler: %v %q", d, d.Cmdline)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// marked lists living processes of this rig by reading /proc, independently of the
// code under test.
func (g *rig) marked() []int {
	var pids []int
	dirs, _ := os.ReadDir("/proc")
	for _, d := range dirs {
		var pid int
		if n, _ := fmt.Sscan(d.Name(), &pid); n != 1 || pid == os.Getpid() {
			continue
		}
		env, _ := os.ReadFile("/proc/" + d.Name() + "/environ")
		if !bytes.Contains(env, []byte(DefaultMarker+"="+g.ns)) {
			continue
		}
		st, err := os.ReadFile("/proc/" + d.Name() + "/stat")
		if i := bytes.LastIndexByte(st, ')'); err == nil && i > 0 && st[i+2] != 'Z' {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (g *rig) eventually(what string, ok func() bool) {
	g.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	g.t.Fatalf("not within %v: %s\nstats %+v", patience, what, g.r.Stats())
}

func (g *rig) spec(id string, argv ...string) Spec {
	g.n++
	return Spec{ID: id, Gen: uint64(g.n), Instance: fmt.Sprintf("%s%s#%d", g.ns, id, g.n), Argv: argv}
}

// sh is a Spec that runs a script.
func (g *rig) sh(id, script string) Spec { return g.spec(id, "/bin/sh", "-c", script) }

func (g *rig) spawn(s Spec) Proc {
	g.t.Helper()
	p, err := g.r.Spawn(s)
	if err != nil {
		g.t.Fatal(err)
	}
	return p
}

// exit waits for the one exit of p and checks that there is no second one.
func (g *rig) exit(p Proc) Exit {
	g.t.Helper()
	var found []Exit
	g.eventually(fmt.Sprintf("exit of %d", p.PID), func() bool {
		found = g.exitsOf(p)
		return len(found) > 0
	})
	if len(found) != 1 {
		g.t.Fatalf("pid %d: %d exits reported: %+v", p.PID, len(found), found)
	}
	return found[0]
}

func (g *rig) exitsOf(p Proc) (found []Exit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range g.exits {
		if e.PID == p.PID && e.Start.Equal(p.Start) {
			found = append(found, e)
		}
	}
	return found
}

// gone waits until nothing is left of p, and returns its Gone event; the zero one if
// the exit said so already.
func (g *rig) gone(p Proc) Gone {
	g.t.Helper()
	e := g.exit(p)
	var found Gone
	if e.Gone {
		return found
	}
	g.eventually(fmt.Sprintf("pid %d gone", p.PID), func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, x := range g.gones {
			if x.PID == e.PID && x.Gen == e.Gen {
				found = x
				return true
			}
		}
		return false
	})
	return found
}

// file returns a name in a fresh directory.
func (g *rig) file(name string) string { return g.t.TempDir() + "/" + name }

// read waits for a file with at least n lines.
func (g *rig) read(name string, n int) []string {
	g.t.Helper()
	var lines []string
	g.eventually(fmt.Sprintf("%d lines in %s", n, name), func() bool {
		b, _ := os.ReadFile(name)
		lines = strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
		return len(b) > 0 && b[len(b)-1] == '\n' && len(lines) >= n
	})
	return lines
}

func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

// soak chooses a count: the small one by default, the full one with PROCGUARD_SOAK=1.
func soak(small, full int) int {
	if os.Getenv("PROCGUARD_SOAK") == "1" {
		return full
	}
	return small
}
