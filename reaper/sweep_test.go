package reaper

import (
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// hostile are workers that leave something behind, by name. Each writes a line to $F
// when it has done so, and dies by itself or waits to be killed.
var hostile = map[string]string{
	"exits at once":     `echo ready >>$F`,
	"child in group":    `sleep 1000 & echo ready >>$F`,
	"grandchild":        `sh -c 'sleep 1000 & sleep 1000' & echo ready >>$F`,
	"own session":       `setsid sleep 1000 & while ! grep -q sleep /proc/$!/comm; do :; done; echo ready >>$F`,
	"double fork":       `sh -c 'setsid sh -c "sleep 1000 & sleep 1000" & exit'; echo ready >>$F`,
	"deaf child":        `sh -c 'trap "" TERM HUP INT; sleep 1000; sleep 1000' & echo ready >>$F`,
	"session in group":  `sh -c 'setsid sleep 1000 & sleep 1000' & echo ready >>$F`,
	"stopped child":     `sh -c 'kill -STOP $$; sleep 1000' & echo ready >>$F`,
	"sessions in chain": `setsid sh -c 'setsid sh -c "setsid sleep 1000 & sleep 1000" & sleep 1000' & echo ready >>$F`,
	"waits":             `setsid sleep 1000 & sleep 1000 & echo ready >>$F; wait`,
}

func TestLeftoversAreKilled(t *testing.T) {
	g := newRig(t)
	for name, script := range hostile {
		t.Run(name, func(t *testing.T) {
			f := t.TempDir() + "/f"
			s := g.sh(name, script)
			s.Env = append(os.Environ(), "F="+f)
			p := g.spawn(s)
			g.read(f, 1)
			if name == "waits" {
				if err := g.r.Signal(p, syscall.SIGTERM, Leader); err != nil {
					t.Fatal(err)
				}
			}
			gone := g.gone(p)
			// What was killed may be dead before the Exit is decided: Gone at once.
			if e := g.exit(p); (e.Leftovers == 0) != (name == "exits at once") || e.Leftovers == 0 && !e.Gone {
				t.Errorf("Exit: gone %v, leftovers %d", e.Gone, e.Leftovers)
			} else if !e.Gone && len(gone.Killed) == 0 {
				t.Errorf("Gone names nobody: %+v", gone)
			}
			g.noStragglers()
		})
	}
}

// A leftover that forks as fast as it can, in new sessions, while it is being killed.
func TestLeftoversThatFork(t *testing.T) {
	g := newRig(t)
	for range soak(3, 50) {
		f := g.file("f")
		s := g.sh("bomb", `
			for i in 1 2 3; do
				setsid sh -c 'while :; do setsid sleep 1000 & sleep 0.002; done' &
			done
			sleep 0.05; echo ready >>$F; wait`)
		s.Env = append(os.Environ(), "F="+f)
		p := g.spawn(s)
		g.read(f, 1)
		_ = g.r.Kill(p)
		g.gone(p)
		g.noStragglers()
	}
}

// The neighbours of a dying worker: their children, daemons of theirs that were
// re-parented to us, and strangers must live.
func TestInnocentsLive(t *testing.T) {
	g := newRig(t)
	f := g.file("f")
	s := g.sh("neighbour", `sh -c 'setsid sleep 1000 & echo $! >>$F'; sleep 1000 & echo $! >>$F; wait`)
	s.Env = append(os.Environ(), "F="+f)
	neighbour := g.spawn(s)
	var innocents []int
	for _, l := range g.read(f, 2) {
		pid, _ := strconv.Atoi(l)
		innocents = append(innocents, pid)
	}
	// A stranger: no marker, own session, our child, as a process of docker exec leaves it.
	s = Spec{Argv: []string{"/bin/sh", "-c", `setsid env -i sleep 1000 & echo $! >>$F`}, Keep: true}
	f2 := g.file("f2")
	s.Env = append(os.Environ(), "F="+f2)
	g.exit(g.spawn(s))
	stranger, _ := strconv.Atoi(g.read(f2, 1)[0])
	for range 5 {
		p := g.spawn(g.sh("victim", `setsid sleep 1000 & sleep 1000 & sleep 0.01`))
		g.gone(p)
	}
	for _, pid := range append(innocents, stranger) {
		if d, err := Describe(pid); err != nil || d.State == 'Z' {
			t.Errorf("innocent %d was killed: %v, %v", pid, d, err)
		}
	}
	_ = syscall.Kill(stranger, syscall.SIGKILL)
	_ = g.r.Kill(neighbour)
	g.gone(neighbour)
	g.noStragglers()
}

// A worker may be a supervisor itself: its own workers carry other markers.
func TestNestedMarkers(t *testing.T) {
	g := newRig(t)
	f := g.file("f")
	s := g.sh("outer", `setsid env PROCGUARD_INSTANCE=inner PROCGUARD_INSTANCE_OUTER="$PROCGUARD_INSTANCE" sleep 1000 &
		while ! grep -q sleep /proc/$!/comm; do :; done; echo $! >>$F`)
	s.Env = append(os.Environ(), "F="+f)
	p := g.spawn(s)
	inner, _ := strconv.Atoi(g.read(f, 1)[0])
	g.gone(p)
	if err := syscall.Kill(inner, 0); err != syscall.ESRCH {
		t.Errorf("inner worker lives: %v", err)
		_ = syscall.Kill(inner, syscall.SIGKILL)
	}
}

func TestInstanceIsTakenUntilGone(t *testing.T) {
	g := newRig(t)
	s := g.spec("w", "sleep", "1000")
	p := g.spawn(s)
	if _, err := g.r.Spawn(s); err == nil || !strings.Contains(err.Error(), "still taken") {
		t.Errorf("second process with the instance: %v", err)
	}
	_ = g.r.Kill(p)
	g.gone(p)
	p = g.spawn(s)
	_ = g.r.Kill(p)
	g.gone(p)
}

// Thousands of spawns of every kind from several goroutines, some killed at random
// times: each exit exactly once, with the right status, and nothing left.
func TestStorm(t *testing.T) {
	g := newRig(t)
	scripts := []string{"exit 0", "exit 7", "kill -KILL $$", "sleep 1000 & exit 3",
		"setsid sleep 1000 & exit 4", "sh -c 'setsid sleep 1000 & sleep 1000' & exit 5", "sleep 1000"}
	var mu sync.Mutex
	procs := map[uint64]Proc{}
	var failed int
	var wg sync.WaitGroup
	n := soak(600, 8000)
	for k := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rnd := rand.New(rand.NewSource(int64(k)))
			for i := range n / 4 {
				gen := uint64(k*n + i)
				kind := rnd.Intn(len(scripts) + 2)
				s := Spec{ID: fmt.Sprint(kind), Gen: gen, Instance: fmt.Sprintf("%s%d", g.ns, gen)}
				switch {
				case kind == len(scripts):
					s.Argv = []string{"/nonexistent/program"}
				case kind > len(scripts):
					s.Argv = []string{"/dev/null"}
				default:
					s.Argv = []string{"/bin/sh", "-c", scripts[kind]}
				}
				p, err := g.r.Spawn(s)
				mu.Lock()
				if err != nil {
					failed++
				} else {
					procs[gen] = p
				}
				mu.Unlock()
				if (err != nil) != (kind >= len(scripts)) {
					t.Errorf("kind %d: error %v", kind, err)
				}
				if err == nil && kind == 6 {
					_ = g.r.Kill(p)
				}
			}
		}()
	}
	wg.Wait()
	g.eventually("all gone", func() bool { s := g.r.Stats(); return s.Live == 0 && s.Pending == 0 })
	g.checkStorm(procs)
	g.checkOrphans()
	t.Logf("%d spawned, %d failed, stats %+v", len(procs), failed, g.r.Stats())
}

// checkOrphans: what we killed had an owner, who may have been dying himself.
func (g *rig) checkOrphans() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, o := range g.orphans {
		if o.Signal() == syscall.SIGKILL && o.ID == "" {
			g.t.Errorf("killed, but taken for a stranger: %d", o.PID)
		}
	}
}

func (g *rig) checkStorm(procs map[uint64]Proc) {
	g.t.Helper()
	want := []string{"exit code 0", "exit code 7", "killed by SIGKILL", "exit code 3", "exit code 4", "exit code 5", "killed by SIGKILL"}
	// The table is updated before the events are delivered.
	g.eventually("all events", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		pending := 0
		for _, e := range g.exits {
			if !e.Gone {
				pending++
			}
		}
		return len(g.exits) >= len(procs) && len(g.gones) >= pending
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	seen := map[uint64]bool{}
	open := map[uint64]bool{}
	for _, e := range g.exits {
		var kind int
		fmt.Sscan(e.ID, &kind)
		if p := procs[e.Gen]; p.PID != e.PID || seen[e.Gen] {
			g.t.Errorf("exit of gen %d: pid %d, spawned as %d, seen before: %v", e.Gen, e.PID, p.PID, seen[e.Gen])
		}
		if e.String() != want[kind] {
			g.t.Errorf("kind %d: %v", kind, e)
		}
		seen[e.Gen] = true
		open[e.Gen] = !e.Gone
	}
	for _, x := range g.gones {
		if !open[x.Gen] {
			g.t.Errorf("Gone of gen %d without need", x.Gen)
		}
		open[x.Gen] = false
	}
	for gen, left := range open {
		if left {
			g.t.Errorf("gen %d: no Gone", gen)
		}
	}
	if len(seen) != len(procs) {
		g.t.Errorf("%d exits of %d processes", len(seen), len(procs))
	}
}

// kill -9 of a worker whose children live on and hold its stdout open: death is learned
// at once, and nothing is left when it is declared gone.
func TestKillCycles(t *testing.T) {
	g := newRig(t)
	var worst, sum time.Duration
	n := soak(60, 1000)
	for range n {
		out, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		s := g.sh("w", `sleep 1000 & setsid sleep 1000 & sh -c 'setsid sleep 1000 &'; echo ready; wait`)
		s.Stdout = w
		p := g.spawn(s)
		w.Close()
		_, _ = out.Read(make([]byte, 16))
		at := time.Now()
		_ = syscall.Kill(p.PID, syscall.SIGKILL)
		g.gone(p)
		g.noStragglers()
		d := g.exit(p).Time.Sub(at)
		worst, sum = max(worst, d), sum+d
		// All holders are dead, so the pipe has ended.
		_ = out.SetReadDeadline(time.Now().Add(patience))
		if n, err := out.Read(make([]byte, 1)); n != 0 || err == nil || os.IsTimeout(err) {
			t.Errorf("stdout is still held: %d, %v", n, err)
		}
		out.Close()
	}
	t.Logf("%d cycles, kill to waiter: mean %v, worst %v", n, sum/time.Duration(n), worst)
}

func TestOrphansAreReapedAndCounted(t *testing.T) {
	g := newRig(t)
	n := soak(100, 2000)
	s := g.sh("w", fmt.Sprintf(`i=0; while [ $i -lt %d ]; do (setsid sh -c 'exit 9' &); i=$((i+1)); done; sleep 1000`, n))
	p := g.spawn(s)
	g.eventually("all orphans reaped", func() bool { return g.r.Stats().Orphans >= uint64(n) })
	_ = g.r.Kill(p)
	g.gone(p)
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, o := range g.orphans {
		if o.Code() != 9 && o.Signal() != syscall.SIGKILL { // the last one, by us
			t.Errorf("orphan: %v", o)
		}
	}
}

// Other ways to own processes: a group only, or nothing but the marker.
func TestLeftoversByOwnership(t *testing.T) {
	g := newRig(t)
	for _, own := range []Own{OwnGroup, OwnNothing} {
		s := g.sh("w", hostileScript)
		s.Own = own
		p := g.spawn(s)
		if g.gone(p); g.exit(p).Leftovers == 0 {
			t.Errorf("own %d: no leftovers seen", own)
		}
		g.noStragglers()
	}
}

func TestKeepKillsNothing(t *testing.T) {
	g := newRig(t)
	f := g.file("f")
	s := g.sh("w", `setsid sleep 1000 & echo $! >`+f)
	s.Keep = true
	if e := g.exit(g.spawn(s)); !e.Gone {
		t.Errorf("got %+v", e)
	}
	pid, _ := strconv.Atoi(g.read(f, 1)[0])
	time.Sleep(10 * time.Millisecond)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("kept process was killed: %v", err)
	}
	g.eventually("kept process reaped", func() bool { return len(g.marked()) == 0 })
}

// A leftover that cannot end keeps its worker pending and holds up nobody: one whose
// tracer sleeps stays a zombie that we cannot reap.
func TestUnkillableLeftover(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("needs strace")
	}
	g := newRig(t)
	f := g.file("f")
	p := g.spawn(g.sh("w", `sleep 1000 & echo $! >`+f+`; wait`))
	pid, _ := strconv.Atoi(g.read(f, 1)[0])
	tracer := g.spawn(g.spec("tracer", "strace", "-o", "/dev/null", "-p", strconv.Itoa(pid)))
	g.eventually("traced", func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		return strings.Contains(string(b), fmt.Sprintf("TracerPid:\t%d\n", tracer.PID))
	})
	_ = g.r.Signal(tracer, syscall.SIGSTOP, Leader)
	_ = g.r.Kill(p)
	if e := g.exit(p); e.Gone || e.Leftovers != 1 {
		t.Errorf("got gone %v, leftovers %d", e.Gone, e.Leftovers)
	}
	if l := g.r.Leftovers(p); len(l) != 1 || l[0] != pid {
		t.Errorf("leftovers %v, want %d", l, pid)
	}
	if err := g.r.Kill(p); err != nil {
		t.Errorf("kill again: %v", err)
	}
	for range 10 {
		g.gone(g.spawn(g.sh("other", "sleep 1000 & exit 0")))
	}
	if g.r.Stats().Pending != 1 {
		t.Errorf("stats %+v", g.r.Stats())
	}
	_ = g.r.Kill(tracer)
	if gone := g.gone(p); len(gone.Killed) != 1 || gone.Killed[0] != pid {
		t.Errorf("got %+v", gone)
	}
}

// A callback may signal and spawn: the restart of a worker from within its exit.
func TestRespawnFromCallback(t *testing.T) {
	done := make(chan error, 1)
	var r *Reaper
	var left atomic.Int32
	left.Store(200)
	s := Spec{ID: "w", Argv: []string{"/bin/true"}}
	r, err := Start(Options{OnExit: func(e Exit) {
		err := r.Signal(Proc{PID: e.PID}, syscall.SIGTERM, Leader)
		if left.Add(-1) == 0 || err != os.ErrProcessDone {
			done <- err
			return
		}
		if _, err := r.Spawn(s); err != nil {
			done <- err
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Spawn(s); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != os.ErrProcessDone || left.Load() != 0 {
			t.Errorf("%v after %d", err, 200-left.Load())
		}
	case <-time.After(patience):
		t.Error("stuck")
	}
}

// 200 workers die at once, each with a child: one batch, few looks.
func TestMassDeath(t *testing.T) {
	g := newRig(t)
	var procs []Proc
	for range soak(100, 500) {
		procs = append(procs, g.spawn(g.sh("w", "sleep 1000 & wait")))
	}
	at := time.Now()
	for _, p := range procs {
		_ = g.r.Kill(p)
	}
	g.eventually("all gone", func() bool { s := g.r.Stats(); return s.Live == 0 && s.Pending == 0 })
	t.Logf("%d workers with a child each: gone after %v", len(procs), time.Since(at))
	for _, p := range procs {
		if e := g.exit(p); e.Signal() != syscall.SIGKILL {
			t.Errorf("got %v", e)
		}
	}
}
