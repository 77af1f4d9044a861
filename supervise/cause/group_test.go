package cause

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// after is a death so many milliseconds after at.
func after(ms int, worker string, rank int, d Death) Death {
	d.Worker, d.Rank, d.Time, d.PID = worker, rank, at.Add(time.Duration(ms)*time.Millisecond), 100+rank
	return d
}

// asked adds our TERM, sent so many milliseconds after at.
func askedAt(ms int, d Death) Death {
	d.Sent, d.SentAt = "SIGTERM", at.Add(time.Duration(ms)*time.Millisecond)
	return d
}

func file(sec int64, msg string) *ErrorFile {
	return &ErrorFile{Message: msg, Time: time.Unix(sec, 0), Resolution: time.Second}
}

var (
	peerGone = exited(1, trace("RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:10895"))
	barrier  = func(rank int, missing string) Death {
		return exited(1, trace(fmt.Sprintf("RuntimeError: [Rank %d]: Ranks %s failed to pass monitoredBarrier in 30000 ms", rank, missing)))
	}
	oomed = with(signalled("SIGKILL", ""), func(d *Death) { d.Memory.Container = 1 })
)

var stories = []struct {
	name    string
	deaths  []Death
	culprit string
	because map[string]string // of the collateral ones; "" is one that failed by itself too
}{
	{"one alone", []Death{after(0, "a", 0, signalled("SIGSEGV", ""))}, "a", nil},
	{"a crash, then lost connections", []Death{
		after(0, "a", 0, signalled("SIGSEGV", "")), after(12, "b", 1, peerGone), after(15, "c", 2, peerGone),
	}, "a", map[string]string{"b": "12ms after a died", "c": "connection to a peer"}},
	{"a crash that writes a core is seen last", []Death{
		after(0, "b", 1, peerGone), after(3, "c", 2, peerGone),
		after(900, "a", 0, with(askedAt(5, signalled("SIGSEGV", "")), func(d *Death) { d.Core = true })),
	}, "a", map[string]string{"b": "seen 900ms before the end of a", "c": "connection"}},
	{"our stop", []Death{
		after(0, "a", 0, exited(1, trace("ValueError: x"))), after(80, "b", 1, askedAt(2, signalled("SIGTERM", ""))),
		after(5000, "c", 2, with(signalled("SIGKILL", ""), func(d *Death) { d.Sent = "SIGKILL" })),
	}, "a", map[string]string{"b": "stopped by ProcGuard with SIGTERM", "c": "stopped by ProcGuard with SIGKILL"}},
	{"an exception in the handler of our TERM", []Death{
		after(0, "a", 0, oomed), after(80, "b", 1, askedAt(2, exited(1, trace("AttributeError: half a checkpoint")))),
	}, "a", map[string]string{"b": "was being stopped"}},
	{"a crash in the handler of our TERM", []Death{
		after(0, "a", 0, exited(1, trace("ValueError: x"))), after(80, "b", 1, askedAt(2, signalled("SIGSEGV", ""))),
	}, "a", map[string]string{"b": "was being stopped"}},
	{"one shortage, three victims", []Death{
		after(0, "a", 0, oomed), after(4, "b", 1, oomed), after(9, "c", 2, oomed), after(20, "d", 3, peerGone),
	}, "a", map[string]string{"b": "same shortage of memory in the container as a", "c": "same shortage", "d": "connection"}},
	{"shortages of their own", []Death{
		after(4, "b", 1, with(signalled("SIGKILL", ""), func(d *Death) { d.Memory = Memory{Known: true, Own: 1, OwnLimit: true} })),
		after(0, "a", 0, with(signalled("SIGKILL", ""), func(d *Death) { d.Memory = Memory{Known: true, Own: 1, OwnLimit: true} })),
	}, "a", map[string]string{"b": ""}},
	{"all the same mistake", []Death{
		after(7, "b", 1, exited(1, trace("ModuleNotFoundError: No module named 'x'"))), after(5, "a", 0, exited(1, trace("ModuleNotFoundError: No module named 'x'"))),
	}, "a", map[string]string{"b": ""}},
	{"error.json says who was first", []Death{
		after(0, "b", 1, with(exited(1, ""), func(d *Death) { d.Error = file(at.Unix(), "ValueError: second") })),
		after(3, "a", 0, with(exited(1, ""), func(d *Death) { d.Error = file(at.Unix()-2, "ValueError: first") })),
	}, "a", map[string]string{"b": ""}},
	{"error.json in the same second says nothing", []Death{
		after(0, "a", 0, with(exited(1, ""), func(d *Death) { d.Error = file(at.Unix(), "ValueError: one") })),
		after(3, "b", 1, with(exited(1, ""), func(d *Death) { d.Error = file(at.Unix(), "ValueError: other") })),
	}, "a", map[string]string{"b": ""}},
	{"fractions within the skew of clocks say nothing", []Death{
		after(0, "a", 0, with(exited(1, ""), func(d *Death) {
			d.Error = &ErrorFile{Message: "ValueError: one", Time: at.Add(2 * time.Millisecond), Resolution: time.Millisecond}
		})),
		after(3, "b", 1, with(exited(1, ""), func(d *Death) {
			d.Error = &ErrorFile{Message: "ValueError: other", Time: at, Resolution: time.Millisecond}
		})),
	}, "a", map[string]string{"b": ""}},
	{"an exception from before our stop counts", []Death{
		after(0, "b", 1, peerGone),
		after(700, "a", 0, askedAt(5, with(exited(1, ""), func(d *Death) { d.Error = file(at.Unix()-3, "ValueError: first") }))),
	}, "a", map[string]string{"b": "connection"}},
	{"a rank that others name", []Death{
		after(0, "a", 0, barrier(0, "2")), after(10, "b", 1, peerGone), after(20, "c", 2, peerGone),
	}, "c", map[string]string{"a": "a rank that did not come", "b": "connection"}},
	{"a rank that is not among the dead", []Death{
		after(0, "a", 0, barrier(0, "5, 7")), after(10, "b", 1, peerGone),
	}, "a", map[string]string{"b": "connection"}},
	{"collective timeouts of all", []Death{
		after(5, "b", 1, signalled("SIGABRT", watchdog)), after(0, "a", 0, signalled("SIGABRT", watchdog)),
	}, "a", map[string]string{"b": "a rank that did not come"}},
	{"a hang and those who waited for it", []Death{
		after(0, "b", 1, signalled("SIGABRT", watchdog)),
		after(100, "a", 0, with(exited(0, ""), func(d *Death) { d.Hang, d.Sent = "no heartbeat", "SIGKILL" })),
	}, "a", map[string]string{"b": "a rank that did not come"}},
	{"NCCL's words name a rank", []Death{
		after(0, "a", 0, exited(1, "n0:1:2 [0] proxy.cc:862 NCCL WARN Proxy Call to rank 1 failed (Connect)\nConnection reset by peer")),
		after(2, "b", 1, peerGone),
	}, "b", map[string]string{"a": "connection"}},
}

func TestDecide(t *testing.T) {
	for _, s := range stories {
		got := Decide(s.deaths)
		v := got.Verdicts[got.Culprit]
		if v.Worker != s.culprit || v.Collateral || v.Because != "" {
			t.Errorf("%s: culprit is %s (%+v), want %s", s.name, v.Worker, v, s.culprit)
			continue
		}
		for i, v := range got.Verdicts {
			want, other := s.because[v.Worker]
			if v.Worker != s.deaths[i].Worker {
				t.Errorf("%s: verdict %d is about %s", s.name, i, v.Worker)
			}
			if other && (v.Collateral != (want != "") || !strings.Contains(v.Because, want)) {
				t.Errorf("%s: %s is collateral %v because %q, want %q", s.name, v.Worker, v.Collateral, v.Because, want)
			}
		}
		if !strings.HasPrefix(got.Summary, s.culprit+": ") {
			t.Errorf("%s: summary %q", s.name, got.Summary)
		}
	}
}

// TestDecideDoesNotDependOnTheOrder in which deaths are given.
func TestDecideDoesNotDependOnTheOrder(t *testing.T) {
	for _, s := range stories {
		n := len(s.deaths)
		turned := make([]Death, n)
		for i := range s.deaths {
			turned[n-1-i] = s.deaths[i]
		}
		got := Decide(turned)
		if w := got.Verdicts[got.Culprit].Worker; w != s.culprit {
			t.Errorf("%s, turned round: culprit is %s, want %s", s.name, w, s.culprit)
		}
	}
}

func TestMissingRankIsSaid(t *testing.T) {
	got := Decide([]Death{after(0, "a", 0, barrier(0, "5, 7")), after(10, "b", 1, peerGone)})
	v := got.Verdicts[got.Culprit]
	if !strings.Contains(v.Reason, "rank 5, 7, which is not among the dead") || v.Confidence != Guess {
		t.Errorf("%+v", v)
	}
	if d := Decide(nil); d.Culprit != -1 || d.Summary != "" {
		t.Errorf("nobody died: %+v", d)
	}
	many := []Death{after(0, "a", 0, signalled("SIGSEGV", ""))}
	for i := 1; i < 20; i++ {
		many = append(many, after(i, fmt.Sprintf("b%d", i), i, peerGone))
	}
	if s := Decide(many).Summary; !strings.Contains(s, "and 14 more") || len(s) > 400 {
		t.Errorf("summary %q", s)
	}
}

func BenchmarkDecide(b *testing.B) {
	var many []Death
	for i := range 256 {
		many = append(many, after(i, fmt.Sprintf("b%d", i), i, peerGone))
	}
	for b.Loop() {
		Decide(many)
	}
}
