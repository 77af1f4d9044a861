package probe

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// never is a check that gets no answer.
func never(ctx context.Context, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

// upAfter is a check that succeeds from some time on.
func upAfter(d time.Duration, tries *atomic.Int32) func(context.Context, string) error {
	start := time.Now()
	return func(context.Context, string) error {
		tries.Add(1)
		if time.Since(start) < d {
			return unix.ECONNREFUSED
		}
		return nil
	}
}

// TestReadyIsSeenSoon: the delay is a fraction of the start's own length, never an
// interval, and the number of tries stays small.
func TestReadyIsSeenSoon(t *testing.T) {
	for up, most := range map[time.Duration]time.Duration{
		0:                      20 * time.Millisecond,
		100 * time.Millisecond: 100 * time.Millisecond,
		time.Second:            500 * time.Millisecond,
		time.Minute:            time.Second,
	} {
		for _, kind := range []string{"http", "tcp", "exec"} {
			synctest.Test(t, func(t *testing.T) {
				var tries atomic.Int32
				probe := upAfter(up, &tries)
				o := Options{Interval: time.Second}
				o.Exec = func(ctx context.Context, worker string, gen uint64, argv []string) error {
					if worker != "w" || gen != 4 || strings.Join(argv, " ") != "test -e /up" {
						t.Errorf("exec of %s/%d %v", worker, gen, argv)
					}
					return probe(ctx, "")
				}
				p, h := startProber(t, o, newFakeProcfs(), network{get: probe, dial: probe})
				start := time.Now()
				s := Subject{Worker: "w", Gen: 4, PID: 7}
				switch kind {
				case "http":
					s.ReadyHTTP = "http://up"
				case "tcp":
					s.ReadyTCP = "up:1"
				case "exec":
					s.ReadyExec = []string{"test", "-e", "/up"}
				}
				p.Watch(s)
				time.Sleep(up + 5*time.Second)
				if late := h.when("ready w/4").Sub(start) - up; late < 0 || late > most {
					t.Errorf("%s: up after %v, seen %v later", kind, up, late)
				}
				n := tries.Load()
				time.Sleep(time.Minute)
				if tries.Load() != n || len(h.all()) != 1 || n > 80 {
					t.Errorf("%s: %d tries, then %d; calls %v", kind, n, tries.Load(), h.all())
				}
			})
		}
	}
}

// TestCheckThatHangs is ended after a second and tried again.
func TestCheckThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int32
		dial := func(ctx context.Context, addr string) error {
			if tries.Add(1) < 3 {
				return never(ctx, addr)
			}
			return nil
		}
		p, h := startProber(t, Options{Interval: 100 * time.Millisecond}, newFakeProcfs(), network{dial: dial})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, ReadyTCP: "x:1"})
		time.Sleep(3 * time.Second)
		if len(h.all()) != 1 || tries.Load() != 3 {
			t.Errorf("%d tries, calls %v", tries.Load(), h.all())
		}
	})
}

// TestUnwatchEndsACheck: the context of the check ends, and its result is nobody's.
func TestUnwatchEndsACheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Int32
		o := Options{Exec: func(ctx context.Context, _ string, _ uint64, _ []string) error {
			<-ctx.Done()
			ended.Add(1)
			return nil // as a command that was killed just after it had succeeded
		}}
		p, h := startProber(t, o, newFakeProcfs(), network{})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, ReadyExec: []string{"x"}})
		time.Sleep(5 * time.Second)
		p.Unwatch("w", 2) // another generation
		synctest.Wait()
		if ended.Load() != 0 {
			t.Fatal("ended by another generation's Unwatch")
		}
		p.Unwatch("w", 1)
		synctest.Wait()
		if ended.Load() != 1 || len(h.all()) != 0 {
			t.Errorf("%d ended, calls %v", ended.Load(), h.all())
		}
	})
}

// TestRestoredIsReady: what was taken over is not asked again.
func TestRestoredIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int32
		p, h := startProber(t, Options{}, newFakeProcfs(), network{dial: upAfter(0, &tries)})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, ReadyTCP: "x:1", Restored: true})
		time.Sleep(time.Minute)
		if tries.Load() != 0 || len(h.all()) != 0 {
			t.Errorf("%d tries, calls %v", tries.Load(), h.all())
		}
	})
}

// TestReadyByHeartbeat: once, whoever brings the heartbeat.
func TestReadyByHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := startProber(t, Options{}, newFakeProcfs(), network{})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, ReadyHeartbeat: true})
		time.Sleep(time.Minute)
		for range 5 {
			p.Beat("w", 1)
			synctest.Wait()
		}
		if got := strings.Join(h.all(), ", "); got != "ready w/1" {
			t.Errorf("calls %s", got)
		}
	})
}

// site is a health check whose answer can be set.
type site struct {
	err  atomic.Pointer[error]
	hits atomic.Int32
	hang atomic.Bool
}

func (s *site) say(err error) { s.err.Store(&err) }

func (s *site) get(ctx context.Context, url string) error {
	s.hits.Add(1)
	if s.hang.Load() {
		return never(ctx, url)
	}
	return *s.err.Load()
}

func watchSite(t *testing.T, o Options, s Subject) (*site, *Prober, *heard) {
	site := &site{}
	site.say(nil)
	p, h := startProber(t, o, newFakeProcfs(), network{get: site.get})
	s.Worker, s.Gen, s.PID, s.HealthURL = "w", 1, 7, "http://127.0.0.1:8080/healthz"
	p.Watch(s)
	return site, p, h
}

func TestHealthCheck(t *testing.T) {
	ten := Subject{HeartbeatTimeout: 10 * time.Second}
	rows := []struct {
		name   string
		sub    Subject
		opt    Options
		play   func(s *site, p *Prober)
		detail string // "" if it is not judged
	}{
		{name: "succeeds", sub: ten, play: func(*site, *Prober) { time.Sleep(time.Hour) }},
		{name: "never succeeded", sub: ten, play: func(s *site, _ *Prober) {
			s.say(unix.ECONNREFUSED)
			time.Sleep(time.Hour)
		}},
		{name: "refused", sub: ten, play: func(s *site, _ *Prober) {
			time.Sleep(5 * time.Second)
			s.say(unix.ECONNREFUSED)
			time.Sleep(time.Minute)
		}, detail: "failed for 10 s: connection refused"},
		{name: "hangs", sub: ten, play: func(s *site, _ *Prober) {
			time.Sleep(5 * time.Second)
			s.hang.Store(true)
			time.Sleep(time.Minute)
		}, detail: "failed for 10 s: no answer within 1 s"},
		{name: "fails most of the time", sub: ten, play: func(s *site, _ *Prober) {
			for range 50 {
				s.say(nil)
				time.Sleep(2 * time.Second)
				s.say(errors.New("status 503 Service Unavailable"))
				time.Sleep(8 * time.Second)
			}
		}},
		{name: "fails before it is ready", sub: Subject{HeartbeatTimeout: 10 * time.Second, ReadyElsewhere: true}, play: func(s *site, p *Prober) {
			time.Sleep(5 * time.Second)
			s.say(unix.ECONNREFUSED)
			time.Sleep(time.Hour)
			p.Ready("w", 1)
			time.Sleep(time.Hour)
		}},
		{name: "no heartbeat time-out of its own", opt: Options{HeartbeatTimeout: 3 * time.Second}, play: func(s *site, _ *Prober) {
			time.Sleep(5 * time.Second)
			s.say(unix.ECONNREFUSED)
			time.Sleep(time.Minute)
		}, detail: "failed for 3 s: connection refused"},
		{name: "no time-out at all", play: func(s *site, _ *Prober) {
			time.Sleep(5 * time.Second)
			s.say(unix.ECONNREFUSED)
			time.Sleep(time.Hour)
		}},
		{name: "interval longer than the time-out", sub: Subject{HeartbeatTimeout: 2 * time.Second}, opt: Options{Interval: 10 * time.Second}, play: func(s *site, _ *Prober) {
			time.Sleep(15 * time.Second)
			s.hang.Store(true)
			time.Sleep(9 * time.Second) // one check has lasted for the whole time-out
			s.hang.Store(false)
			time.Sleep(time.Minute)
			s.hang.Store(true)
			time.Sleep(time.Minute)
		}, detail: "failed for 12 s: no answer within 2 s"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, p, h := watchSite(t, row.opt, row.sub)
				row.play(s, p)
				want, calls := 0, h.all()
				if row.detail != "" {
					want = 1
				}
				c := h.causeOf("w")
				if len(calls) != want || !strings.HasSuffix(c.Detail, row.detail) {
					t.Errorf("calls %v, cause %q", calls, c.String())
				}
				if row.detail != "" && c.String() != "unresponsive: health check http://127.0.0.1:8080/healthz "+row.detail {
					t.Errorf("cause %q", c.String())
				}
			})
		})
	}
}

// TestNoCheckAfterTheVerdict: nothing more is asked of a worker that is to be stopped.
func TestNoCheckAfterTheVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, h := watchSite(t, Options{}, Subject{HeartbeatTimeout: 5 * time.Second})
		time.Sleep(3 * time.Second)
		s.say(unix.ECONNREFUSED)
		time.Sleep(time.Minute)
		hits := s.hits.Load()
		time.Sleep(time.Hour)
		if s.hits.Load() != hits || len(h.all()) != 1 {
			t.Errorf("%d checks after the verdict, calls %v", s.hits.Load()-hits, h.all())
		}
	})
}

// TestCheckThroughAPauseOfOurs: a check that ended long after its limit shows that
// ProcGuard itself was away. It is no failure, and the next one is the first.
func TestCheckThroughAPauseOfOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int32
		get := func(context.Context, string) error {
			switch tries.Add(1) {
			case 3:
				time.Sleep(time.Minute)
				return context.DeadlineExceeded
			case 4:
				return unix.ECONNREFUSED
			}
			return nil
		}
		p, h := startProber(t, Options{Interval: time.Second}, newFakeProcfs(), network{get: get})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, HealthURL: "http://x", HeartbeatTimeout: 10 * time.Second})
		time.Sleep(5 * time.Minute)
		if tries.Load() < 100 || len(h.all()) != 0 {
			t.Errorf("%d checks, calls %v", tries.Load(), h.all())
		}
	})
}

// TestHealthFollowsReady: one check at a time, and the health check only when the
// worker is ready.
func TestHealthFollowsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var health atomic.Int32
		var tries atomic.Int32
		dial := upAfter(10*time.Second, &tries)
		get := func(context.Context, string) error { health.Add(1); return nil }
		p, _ := startProber(t, Options{Interval: time.Second}, newFakeProcfs(), network{get: get, dial: dial})
		p.Watch(Subject{Worker: "w", Gen: 1, PID: 7, ReadyTCP: "x:1", HealthURL: "http://x"})
		time.Sleep(9 * time.Second)
		if n := health.Load(); n != 0 {
			t.Errorf("%d health checks before it is ready", n)
		}
		time.Sleep(11 * time.Second)
		if n := health.Load(); n < 8 || n > 11 {
			t.Errorf("%d health checks in about 10 s", n)
		}
	})
}

// TestChecksAreBounded, and waiting for a turn is not failing: with many workers
// that hang, one that is well is not judged.
func TestChecksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		var hang atomic.Bool
		get := func(ctx context.Context, url string) error {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer now.Add(-1)
			if hang.Load() && url != "http://well" {
				return never(ctx, url)
			}
			return nil
		}
		p, h := startProber(t, Options{Interval: time.Second}, newFakeProcfs(), network{get: get})
		for i := range 600 {
			p.Watch(Subject{Worker: numbered(i), Gen: 1, PID: 7, HealthURL: "http://ill", HeartbeatTimeout: 10 * time.Second})
		}
		p.Watch(Subject{Worker: "well", Gen: 1, PID: 7, HealthURL: "http://well", HeartbeatTimeout: 10 * time.Second})
		time.Sleep(10 * time.Second)
		hang.Store(true)
		time.Sleep(2 * time.Minute)
		if n := most.Load(); n > maxCalls {
			t.Errorf("%d checks at once", n)
		}
		if n := len(h.all()); n != 600 || !h.when("judged well/1").IsZero() {
			t.Errorf("%d judged, the one that is well at %v", n, h.when("judged well/1"))
		}
	})
}

// TestCommandsAreBounded more tightly: each is a fork.
func TestCommandsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		o := Options{Exec: func(context.Context, string, uint64, []string) error {
			now.Add(1)
			defer now.Add(-1)
			time.Sleep(time.Second) // by then all that come with it are here
			if n := now.Load(); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Second)
			return nil
		}}
		p, h := startProber(t, o, newFakeProcfs(), network{})
		for i := range 100 {
			p.Watch(Subject{Worker: numbered(i), Gen: 1, PID: 7, ReadyExec: []string{"x"}})
		}
		time.Sleep(time.Minute)
		if most.Load() != maxExecs || len(h.all()) != 100 {
			t.Errorf("%d at once, %d ready", most.Load(), len(h.all()))
		}
	})
}

// TestNetwork asks real servers.
func TestNetwork(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/ok/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) })
	mux.HandleFunc("/bad", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	server := httptest.NewServer(mux)
	defer server.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	closed.Close()
	t.Setenv("HTTP_PROXY", "http://"+nobody) // not to be used
	n := newNetwork()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, noAnswer(300*time.Millisecond))
	defer cancel()
	rows := []struct {
		name, want string
		err        error
	}{
		{"ok after a redirect", "", n.get(t.Context(), server.URL+"/ok")},
		{"a long answer", "", n.get(t.Context(), server.URL+"/long")},
		{"an error", "status 503 Service Unavailable", n.get(t.Context(), server.URL+"/bad")},
		{"nobody", "connection refused", n.get(t.Context(), "http://"+nobody)},
		{"tcp", "", n.dial(t.Context(), server.Listener.Addr().String())},
		{"tcp, nobody", "connection refused", n.dial(t.Context(), nobody)},
		{"no answer", "no answer within 0.3 s", n.get(ctx, server.URL+"/hang")},
	}
	for _, row := range rows {
		got := ""
		if row.err != nil {
			got = plain(row.err)
			if ctx.Err() != nil && errors.Is(row.err, context.DeadlineExceeded) {
				got = plain(context.Cause(ctx))
			}
		}
		if got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}

// TestHealthOfARealServer that stops answering, and then goes away.
func TestHealthOfARealServer(t *testing.T) {
	var hang atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if hang.Load() {
			<-r.Context().Done()
		}
	}))
	defer server.Close()
	p, h := realProber(t, Options{Interval: 20 * time.Millisecond})
	p.Watch(Subject{Worker: "w", Gen: 1, PID: 1, ReadyHTTP: server.URL, HealthURL: server.URL, HeartbeatTimeout: 300 * time.Millisecond})
	within(t, "ready", func() bool { return len(h.all()) == 1 })
	within(t, "answered", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.watches["w"].health.answered
	})
	hang.Store(true)
	within(t, "judged", func() bool { return len(h.all()) == 2 })
	if c := h.causeOf("w"); !strings.Contains(c.Detail, "no answer within 0.3 s") {
		t.Errorf("cause %s", c.String())
	}
	server.CloseClientConnections()
}
