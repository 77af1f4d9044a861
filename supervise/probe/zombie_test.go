package probe

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/state"
)

// judging are the seed's defaults.
func judging() Options {
	return Options{Interval: time.Second, ZombieDetection: true, CPUThreshold: 0.1, MemoryThreshold: 0.1}
}

// pages is so much memory of the fake machine, in percent.
func pages(percent float64) uint64 { return uint64(fakeMemory * percent / 100 / float64(pageSize)) }

// TestSoftZombie: who is convicted and who is not, 20 s after its only heartbeat.
func TestSoftZombie(t *testing.T) {
	rows := []struct {
		name   string
		proc   func(*fakeProcess)
		sub    func(*Subject)
		opt    func(*Options)
		mute   bool // gives no heartbeat at all
		zombie bool
	}{
		{name: "idle, small and silent", zombie: true},
		{name: "stopped", proc: func(p *fakeProcess) { p.state = 'T' }, zombie: true},
		{name: "main thread gone", proc: func(p *fakeProcess) { p.state, p.reading.threads, p.pages = 'Z', 3, 0 }, zombie: true},
		{name: "main thread gone, much memory", proc: func(p *fakeProcess) { p.state, p.reading.threads, p.pages, p.rss = 'Z', 3, 0, fakeMemory/2 }},
		{name: "dead, not reaped yet", proc: func(p *fakeProcess) { p.state = 'Z' }},
		{name: "never gave a heartbeat", mute: true},
		{name: "busy", proc: func(p *fakeProcess) { p.cpu = 1 }},
		{name: "a little busy", proc: func(p *fakeProcess) { p.cpu = 0.005 }},
		{name: "less CPU than the threshold", proc: func(p *fakeProcess) { p.cpu = 0.005 }, opt: func(o *Options) { o.CPUThreshold = 1 }, zombie: true},
		{name: "large", proc: func(p *fakeProcess) { p.pages, p.rss = pages(0.2), pages(0.2)*pageSize }},
		{name: "runnable, but gets no CPU", proc: func(p *fakeProcess) { p.state = 'R' }},
		{name: "held by a debugger", proc: func(p *fakeProcess) { p.state = 't' }},
		{name: "waits for a child that is found busy at last", proc: func(p *fakeProcess) { p.busy = true }},
		{name: "memory not known", proc: func(p *fakeProcess) { p.rss = 0 }},
		{name: "no heartbeat time-out", sub: func(s *Subject) { s.HeartbeatTimeout = 0 }},
		{name: "not ready", sub: func(s *Subject) { s.ReadyElsewhere = true }},
		{name: "zombie detection off", opt: func(o *Options) { o.ZombieDetection = false }},
		{name: "threshold 0", opt: func(o *Options) { o.CPUThreshold = 0 }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				proc, o := newFakeProcfs(), judging()
				proc.add(7, row.proc)
				if row.opt != nil {
					row.opt(&o)
				}
				p, h := startProber(t, o, proc, network{})
				s := Subject{Worker: "w", Gen: 3, PID: 7, HeartbeatTimeout: 10 * time.Second}
				if row.sub != nil {
					row.sub(&s)
				}
				p.Watch(s)
				if !row.mute {
					p.Beat("w", 3)
				}
				time.Sleep(20 * time.Second)
				want := ""
				if row.zombie {
					want = "judged w/3"
				}
				if got := strings.Join(h.all(), ", "); got != want {
					t.Errorf("calls: %q, want %q", got, want)
				}
				if c := h.causeOf("w"); row.zombie && c.Kind != state.CauseZombie {
					t.Errorf("cause %+v", c)
				}
			})
		})
	}
}

// TestZombieJustBeforeTheDeadline: the fleet's own deadline, counted from the same
// heartbeat, must find the worker judged already, and a heartbeat shortly before it
// must still save the worker. Neither depends on when samples are taken.
func TestZombieJustBeforeTheDeadline(t *testing.T) {
	for _, timeout := range []time.Duration{time.Second, 2500 * time.Millisecond, 10 * time.Second, 61700 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			proc := newFakeProcfs()
			proc.add(7, nil)
			o := judging()
			o.Interval = 700 * time.Millisecond
			if timeout < 2*o.Interval {
				o.Interval = timeout / 3
			}
			p, h := startProber(t, o, proc, network{})
			p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, HeartbeatTimeout: timeout})
			last := time.Now()
			for range 20 {
				p.Beat("w", 1)
				last = time.Now()
				time.Sleep(timeout - min(timeout/10, 200*time.Millisecond) - time.Millisecond)
			}
			if calls := h.all(); len(calls) != 0 {
				t.Fatalf("timeout %v: a worker that gives heartbeats was reported: %v", timeout, calls)
			}
			time.Sleep(2 * timeout)
			silence := h.when("judged w/1").Sub(last)
			if silence < timeout-200*time.Millisecond || silence < timeout*9/10 || silence >= timeout {
				t.Errorf("timeout %v: judged after a silence of %v", timeout, silence)
			}
		})
	}
}

// TestSignsOfLife: each of them alone keeps a worker that gave one heartbeat.
func TestSignsOfLife(t *testing.T) {
	var last atomic.Int64 // since base
	var bytes atomic.Uint64
	var base time.Time
	spoke := func() time.Time {
		if d := last.Load(); d != 0 {
			return base.Add(time.Duration(d))
		}
		return time.Time{}
	}
	signs := map[string]struct {
		activity func() (time.Time, uint64)
		sign     func(p *Prober, proc *fakeProcfs)
	}{
		"heartbeat":           {nil, func(p *Prober, _ *fakeProcfs) { p.Beat("w", 1) }},
		"output":              {func() (time.Time, uint64) { return spoke(), bytes.Load() }, func(*Prober, *fakeProcfs) { last.Store(int64(time.Since(base))); bytes.Add(1) }},
		"output without time": {func() (time.Time, uint64) { return time.Time{}, bytes.Load() }, func(*Prober, *fakeProcfs) { bytes.Add(1) }},
		"CPU":                 {nil, func(_ *Prober, proc *fakeProcfs) { proc.change(7, func(p *fakeProcess) { p.ticks += 5 }) }},
	}
	for name, row := range signs {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				last.Store(0)
				bytes.Store(0)
				base = time.Now()
				proc := newFakeProcfs()
				proc.add(7, nil)
				p, h := startProber(t, judging(), proc, network{})
				p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, HeartbeatTimeout: 10 * time.Second, Activity: row.activity})
				p.Beat("w", 1)
				for range 30 {
					time.Sleep(5 * time.Second)
					row.sign(p, proc)
				}
				if calls := h.all(); len(calls) != 0 {
					t.Fatalf("reported: %v", calls)
				}
				if name == "CPU" {
					return // its silence began 150 s ago: CPU alone says nothing after it
				}
				time.Sleep(12 * time.Second)
				if calls := h.all(); len(calls) != 1 {
					t.Errorf("after the last sign: %v", calls)
				}
			})
		})
	}
}

// TestBusyBeforeTheHeartbeat: what was used before the last sign of life does not
// hide that nothing is used after it.
func TestBusyBeforeTheHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proc := newFakeProcfs()
		proc.add(7, func(p *fakeProcess) { p.cpu = 1 })
		p, h := startProber(t, judging(), proc, network{})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, HeartbeatTimeout: 10 * time.Second})
		for range 5 {
			p.Beat("w", 1)
			time.Sleep(3500 * time.Millisecond)
		}
		p.Beat("w", 1)
		proc.change(7, func(p *fakeProcess) { p.ticks, p.cpu = 1750, 0 })
		time.Sleep(11 * time.Second)
		if calls := h.all(); len(calls) != 1 {
			t.Errorf("calls %v", calls)
		}
	})
}

// TestHeartbeatBeforeReady does not start the clock, as in the fleet.
func TestHeartbeatBeforeReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proc := newFakeProcfs()
		proc.add(7, nil)
		p, h := startProber(t, judging(), proc, network{})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, HeartbeatTimeout: 10 * time.Second, ReadyElsewhere: true})
		p.Beat("w", 1)
		time.Sleep(5 * time.Minute)
		p.Ready("w", 1)
		time.Sleep(time.Minute)
		if calls := h.all(); len(calls) != 0 {
			t.Fatalf("calls %v", calls)
		}
		p.Beat("w", 1)
		time.Sleep(time.Minute)
		if calls := h.all(); len(calls) != 1 {
			t.Errorf("after a heartbeat: %v", calls)
		}
	})
}

// TestVerdictIsOneAndForOneGeneration: silent after it until watched again.
func TestVerdictIsOneAndForOneGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proc := newFakeProcfs()
		proc.add(7, nil)
		p, h := startProber(t, judging(), proc, network{})
		s := Subject{Worker: "w", Gen: 1, PID: 7, HeartbeatTimeout: 5 * time.Second}
		p.Watch(s)
		p.Beat("w", 1)
		time.Sleep(time.Minute)
		p.Beat("w", 1)
		time.Sleep(time.Minute)
		s.Gen = 2
		p.Watch(s)
		p.Beat("w", 1) // of the old generation
		time.Sleep(time.Minute)
		if got := strings.Join(h.all(), ", "); got != "judged w/1" {
			t.Fatalf("calls %s", got)
		}
		p.Beat("w", 2)
		time.Sleep(time.Minute)
		if got := strings.Join(h.all(), ", "); got != "judged w/1, judged w/2" {
			t.Errorf("calls %s", got)
		}
	})
}

// TestStalledScheduler: a pass that hangs for a minute (ProcGuard frozen, starved)
// is held against nobody, not even against those whose silence is long by now. The
// order of the two workers in it is random, and must not matter.
func TestStalledScheduler(t *testing.T) {
	for range 20 {
		stallOnce(t)
	}
}

func stallOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proc := newFakeProcfs()
		proc.add(7, nil)
		proc.add(8, nil)
		p, h := startProber(t, judging(), proc, network{})
		p.Watch(Subject{Worker: "a", Gen: 1, PID: 7, HeartbeatTimeout: 10 * time.Second})
		p.Watch(Subject{Worker: "b", Gen: 1, PID: 8})
		p.Beat("a", 1)
		start := time.Now()
		time.Sleep(3500 * time.Millisecond)
		proc.change(8, func(p *fakeProcess) { p.slow = time.Minute }) // the pass at 4 s ends at 64 s
		time.Sleep(2 * time.Minute)
		after := h.when("judged a/1").Sub(start)
		if len(h.all()) != 1 || after < 64*time.Second+9*time.Second {
			t.Errorf("calls %v after %v", h.all(), after)
		}
	})
}

// TestComesBackDuringExamination: between the suspicion and the verdict lies a look
// at /proc that takes time.
func TestComesBackDuringExamination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bytes uint64
		proc := newFakeProcfs()
		proc.add(7, nil)
		p, h := testProber(t, judging(), proc, network{})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, HeartbeatTimeout: 10 * time.Second,
			Activity: func() (time.Time, uint64) { return time.Time{}, bytes }})
		p.Beat("w", 1)
		p.pass(round{all: true, sample: true, now: time.Now()})
		time.Sleep(9900 * time.Millisecond)
		p.mu.Lock()
		p.choose(round{all: true})
		p.mu.Unlock()
		p.visit(&p.visits[0])
		suspects := p.account(round{sample: true, now: time.Now()})
		if len(suspects) != 1 {
			t.Fatal("not suspected")
		}
		bytes++
		p.examine(suspects[0])
		p.deliver()
		if calls := h.all(); len(calls) != 0 {
			t.Errorf("judged although it spoke: %v", calls)
		}
		suspects[0].since = p.watches["w"].lastSign() // as if it had not
		proc.lag = time.Minute
		p.examine(suspects[0])
		p.deliver()
		if calls := h.all(); len(calls) != 0 {
			t.Errorf("judged although we were away: %v", calls)
		}
		proc.lag = 0
		p.examine(suspects[0])
		p.deliver()
		if calls := h.all(); len(calls) != 1 {
			t.Errorf("not judged at last: %v", calls)
		}
		dropAll(p)
	})
}

func TestZombieDetail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proc := newFakeProcfs()
		proc.add(7, func(p *fakeProcess) { p.state = 'T' })
		p, h := startProber(t, judging(), proc, network{})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, HeartbeatTimeout: 10 * time.Second, Activity: func() (time.Time, uint64) { return time.Time{}, 0 }})
		p.Beat("w", 1)
		time.Sleep(time.Minute)
		want := "no heartbeat for 9.8 s, no output at all, CPU 0.00 % (threshold 0.1 %), memory 0.0 MiB, 0.00 % (threshold 0.1 %), " +
			"1 thread, 3 open files, state T (stopped by a signal; SIGCONT would resume it)"
		if c := h.causeOf("w"); c.Detail != want {
			t.Errorf("got  %s\nwant %s", c.Detail, want)
		}
	})
}

func TestSampleOfWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proc := newFakeProcfs()
		proc.add(7, func(p *fakeProcess) { p.cpu, p.pages, p.reading.threads, p.state = 0.5, pages(10), 4, 'R' })
		p, _ := startProber(t, judging(), proc, network{})
		if _, ok := p.Sample("w"); ok {
			t.Error("a sample of a worker that is not watched")
		}
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7})
		if _, ok := p.Sample("w"); ok {
			t.Error("a sample before the first")
		}
		time.Sleep(3100 * time.Millisecond)
		s, ok := p.Sample("w")
		if !ok || s.State != 'R' || s.Threads != 4 || s.CPU < 48 || s.CPU > 52 || s.Memory < 9.9 || s.Memory > 10.1 {
			t.Errorf("sample %+v, %v", s, ok)
		}
	})
}

// TestSampleOnDemand: with zombie detection off nothing is read but what is asked for.
func TestSampleOnDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proc := newFakeProcfs()
		proc.add(7, func(p *fakeProcess) { p.cpu = 0.25 })
		p, _ := startProber(t, Options{}, proc, network{})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7})
		time.Sleep(time.Minute)
		if n := proc.readCount(); n != 0 {
			t.Errorf("%d reads by itself", n)
		}
		if s, ok := p.Sample("w"); !ok || s.CPU != 0 {
			t.Errorf("first sample %+v, %v", s, ok)
		}
		time.Sleep(10 * time.Second)
		if s, ok := p.Sample("w"); !ok || s.CPU < 24 || s.CPU > 26 {
			t.Errorf("second sample %+v, %v", s, ok)
		}
		p.Unwatch("w", 1)
		if n := proc.openCount(); n != 0 {
			t.Errorf("%d descriptors open", n)
		}
	})
}

// TestUnwatchDuringPass: a descriptor that is about to be read is not closed, since
// its number could be somebody else's file by then.
func TestUnwatchDuringPass(t *testing.T) {
	proc := newFakeProcfs()
	proc.add(7, nil)
	proc.add(8, nil)
	p, _ := testProber(t, judging(), proc, network{})
	p.Watch(Subject{Worker: "a", Gen: 1, PID: 7})
	p.pass(round{all: true, sample: true, now: time.Now()})
	p.Watch(Subject{Worker: "b", Gen: 1, PID: 8}) // opened in the pass itself
	p.mu.Lock()
	p.choose(round{all: true})
	p.mu.Unlock()
	p.visit(&p.visits[0])
	p.visit(&p.visits[1])
	p.Unwatch("a", 1)
	p.Unwatch("b", 1)
	if n := proc.openCount(); n != 2 {
		t.Errorf("%d descriptors open during the pass, want 2", n)
	}
	p.account(round{sample: true, now: time.Now()})
	if n := proc.openCount(); n != 0 {
		t.Errorf("%d descriptors open after the pass", n)
	}
}

// TestProcessesThatCannotBeSampled are left alone, cost nothing after the first
// time if they are gone, and are tried again if something else was wrong.
func TestProcessesThatCannotBeSampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proc := newFakeProcfs()
		p, h := startProber(t, judging(), proc, network{})
		p.Watch(Subject{Worker: "gone", Gen: 1, PID: 7, HeartbeatTimeout: 5 * time.Second})
		p.Beat("gone", 1)
		time.Sleep(time.Minute)
		if _, ok := p.Sample("gone"); ok || len(h.all()) != 0 {
			t.Errorf("a process that does not exist: sampled %v, reported %v", ok, h.all())
		}
		proc.fail = unix.EMFILE
		proc.add(8, nil)
		p.Watch(Subject{Worker: "late", Gen: 1, PID: 8})
		time.Sleep(10 * time.Second)
		proc.mu.Lock()
		proc.fail = nil
		proc.mu.Unlock()
		time.Sleep(2 * time.Second)
		if _, ok := p.Sample("late"); !ok {
			t.Error("not sampled after descriptors were free again")
		}
		proc.mu.Lock()
		delete(proc.procs, 8)
		proc.mu.Unlock()
		time.Sleep(2 * time.Second)
		if n := proc.openCount(); n != 0 {
			t.Errorf("%d descriptors of processes that are gone", n)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.said["workers cannot be sampled"] || len(p.said) != 1 {
			t.Errorf("logged %v", p.said)
		}
	})
}

func TestReconfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proc := newFakeProcfs()
		proc.add(7, func(p *fakeProcess) { p.cpu = 0.005 })
		p, h := startProber(t, Options{}, proc, network{})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, HeartbeatTimeout: 10 * time.Second})
		p.Beat("w", 1)
		time.Sleep(time.Minute)
		o := judging()
		p.Reconfigure(o)
		time.Sleep(time.Minute)
		if calls := h.all(); len(calls) != 0 || proc.readCount() < 50 {
			t.Fatalf("calls %v, %d reads", calls, proc.readCount())
		}
		o.CPUThreshold = 1
		p.Reconfigure(o)
		time.Sleep(time.Minute)
		if calls := h.all(); len(calls) != 1 {
			t.Errorf("calls %v", calls)
		}
		o.ZombieDetection = false
		p.Reconfigure(o)
		time.Sleep(time.Second)
		before := proc.readCount()
		time.Sleep(time.Minute)
		if n := proc.readCount() - before; n != 0 {
			t.Errorf("%d reads after zombie detection was turned off", n)
		}
	})
}

func TestPlain(t *testing.T) {
	rows := map[string]error{
		"connection refused":     &unixWrap{unix.ECONNREFUSED},
		"status 503":             errors.New("status 503"),
		"no answer within 1 s":   noAnswer(time.Second),
		"no answer within 0.5 s": noAnswer(500 * time.Millisecond),
	}
	for want, err := range rows {
		if got := plain(err); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

type unixWrap struct{ err error }

func (u *unixWrap) Error() string { return `Get "http://x": dial tcp: ` + u.err.Error() }
func (u *unixWrap) Unwrap() error { return u.err }

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		10 * time.Second: "10 s", 9800 * time.Millisecond: "9.8 s", time.Second: "1 s", 62300 * time.Millisecond: "62 s",
		9990 * time.Millisecond: "10 s", 300 * time.Millisecond: "0.3 s",
	} {
		if got := span(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
