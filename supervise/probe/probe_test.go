package probe

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestNothingToDo: nobody who needs to be polled, no timer.
func TestNothingToDo(t *testing.T) {
	dir := t.TempDir()
	p, _ := testProber(t, Options{BeatDir: dir}, newFakeProcfs(), network{})
	p.beats = &beatReader{} // as if inotify worked
	plain := Subject{Worker: "w", Gen: 1, PID: 7, HeartbeatFile: filepath.Join(dir, "w"), HeartbeatTimeout: time.Second, ReadyHeartbeat: true}
	if at := p.turn(); !at.IsZero() {
		t.Errorf("without workers: %v", at)
	}
	p.Watch(plain)
	p.Beat("w", 1)
	if at := p.turn(); !at.IsZero() {
		t.Errorf("with a worker that needs nothing: %v", at)
	}
	needs := map[string]Subject{
		"health check":   {HealthURL: "http://x"},
		"readiness":      {ReadyTCP: "x:1"},
		"file elsewhere": {HeartbeatFile: "/elsewhere/w"},
	}
	for name, s := range needs {
		s.Worker, s.Gen = "w", 2
		p.Watch(s)
		if at := p.turn(); at.IsZero() {
			t.Errorf("%s: no timer", name)
		}
		p.Unwatch("w", 2)
		if at := p.turn(); !at.IsZero() {
			t.Errorf("%s, unwatched: %v", name, at)
		}
	}
	p.Reconfigure(Options{ZombieDetection: true})
	if at := p.turn(); !at.IsZero() {
		t.Errorf("samples of nobody: %v", at)
	}
	p.Watch(plain)
	if at := p.turn(); at.IsZero() {
		t.Error("samples: no timer")
	}
	// A judgement that was planned when samples were still taken.
	p.Watch(Subject{Worker: "w", Gen: 3, PID: 7, HeartbeatFile: "/elsewhere/w"})
	p.Reconfigure(Options{Interval: time.Hour})
	p.judgeAt = time.Now()
	if at := p.turn(); time.Until(at) < time.Minute {
		t.Errorf("due in %v with one file to poll each hour", time.Until(at))
	}
}

func TestNewNeedsCallbacks(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("no error")
	}
}

// TestNew as the supervisor uses it.
func TestNew(t *testing.T) {
	ready := make(chan string, 1)
	dir := t.TempDir()
	h := &heard{beats: map[string]int{}, at: map[string]time.Time{}}
	p, err := New(Options{BeatDir: dir, ZombieDetection: true, Interval: 10 * time.Millisecond,
		OnReady: func(w string, _ uint64) { ready <- w }, OnBeat: func(w string, g uint64) { h.add("beat", w, g) }, OnJudged: h.judged})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Watch(Subject{Worker: "w", Gen: 1, PID: sleeper(t), HeartbeatFile: filepath.Join(dir, "w"), ReadyHeartbeat: true})
	touch(t, filepath.Join(dir, "w"))
	if w := <-ready; w != "w" {
		t.Errorf("ready: %s", w)
	}
	within(t, "a sample", func() bool { s, ok := p.Sample("w"); return ok && s.RSS > 0 && s.Threads == 1 })
}

// TestClose: at any time, twice, from two goroutines; nothing comes after it.
func TestClose(t *testing.T) {
	p, h := testProber(t, Options{BeatDir: t.TempDir()}, newFakeProcfs(), network{get: never})
	p.start()
	p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, ReadyHTTP: "http://x", HealthURL: "http://x"})
	time.Sleep(3 * firstPause) // the check hangs now
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(p.Close)
	}
	wg.Wait()
	p.Watch(Subject{Worker: "v", Gen: 1, PID: 7, ReadyHeartbeat: true})
	p.Beat("v", 1)
	p.Ready("w", 1)
	p.Unwatch("w", 1)
	if _, ok := p.Sample("v"); ok || len(h.all()) != 0 {
		t.Errorf("after Close: %v", h.all())
	}
}

// TestOneCallAtATime, in the order in which things were seen.
func TestOneCallAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var in, most int // no lock: the race detector would tell
		var order []string
		call := func(kind string) {
			if in++; in > most {
				most = in
			}
			time.Sleep(time.Millisecond)
			order = append(order, kind)
			in--
		}
		proc := newFakeProcfs()
		p, _ := testProber(t, judging(), proc, network{get: func(context.Context, string) error { return nil }})
		p.o.OnReady = func(w string, _ uint64) { call("ready " + w) }
		p.start()
		defer p.Close()
		for i := range 50 {
			p.Watch(Subject{Worker: numbered(i), Gen: 1, PID: 7, ReadyHTTP: "http://x"})
		}
		time.Sleep(time.Minute)
		p.Close()
		if most != 1 || len(order) != 50 {
			t.Errorf("%d at once, %d calls", most, len(order))
		}
	})
}

// TestChurn: workers come and go while they are sampled, checked and give
// heartbeats. It finds races, descriptors that stay open and goroutines that stay.
func TestChurn(t *testing.T) {
	dir := t.TempDir()
	o := Options{Interval: time.Millisecond, ZombieDetection: true, CPUThreshold: 100, MemoryThreshold: 100, BeatDir: dir,
		Exec: func(ctx context.Context, _ string, _ uint64, _ []string) error { <-ctx.Done(); return ctx.Err() }}
	p, _ := realProber(t, o)
	pids := []int{sleeper(t), sleeper(t), sleeper(t)}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() { churn(t, p, dir, i, pids) })
	}
	wg.Wait()
	p.Close()
	inProc := func(path string) bool { return strings.HasPrefix(path, "/proc/") && strings.HasSuffix(path, "/stat") }
	if n := openFiles(t, inProc); n != 0 {
		t.Errorf("%d descriptors of /proc stay open", n)
	}
	if n := openFiles(t, func(path string) bool { return strings.Contains(path, "inotify") }); n != 0 {
		t.Errorf("%d inotify instances stay open", n)
	}
}

func churn(t *testing.T, p *Prober, dir string, seed int, pids []int) {
	r := rand.New(rand.NewPCG(1, uint64(seed)))
	for gen := range uint64(300) {
		w := numbered(r.IntN(10))
		s := Subject{Worker: w, Gen: gen, PID: pids[r.IntN(len(pids))], HeartbeatFile: filepath.Join(dir, w), HeartbeatTimeout: 10 * time.Millisecond}
		switch r.IntN(4) {
		case 0:
			s.ReadyExec = []string{"x"}
		case 1:
			s.ReadyHeartbeat = true
		case 2:
			s.ReadyElsewhere, s.ReadyTCP = true, "127.0.0.1:1"
		}
		p.Watch(s)
		touch(t, s.HeartbeatFile)
		p.Beat(w, gen)
		p.Ready(w, gen)
		p.Sample(w)
		time.Sleep(time.Duration(r.IntN(2000)) * time.Microsecond)
		if r.IntN(3) > 0 {
			p.Unwatch(w, gen)
		}
	}
}
