package fleet

import (
	"fmt"
	"testing"
	"time"

	"github.com/procguard/procguard/state"
)

// crowd is a fleet of n running workers in groups of the given size.
func crowd(b testing.TB, n, size int) *Fleet {
	b.Helper()
	s := Spec{Node: "n", Recovery: Recovery{Auto: true, StopAll: true, Reassign: true, Timeout: time.Minute, Attempts: 3}}
	for i := range n {
		s.Workers = append(s.Workers, Worker{ID: fmt.Sprintf("w%05d", i), Group: fmt.Sprint("g", i/size), Fingerprint: "1", Type: "x",
			MaxRestarts: 1 << 30, StopSignal: 15, Grace: 10 * time.Second, HeartbeatTimeout: 30 * time.Second})
		s.Tasks = append(s.Tasks, Task{ID: fmt.Sprintf("t%05d", i), Owner: s.Workers[i].ID, Type: "x", Weight: 1})
	}
	f, err := New(s, state.New())
	if err != nil {
		b.Fatal(err)
	}
	obey(f, epoch0, f.Step(epoch0, Boot{Volume: "vol"}))
	return f
}

// obey answers spawns and signals at once, until nothing more is asked for, and
// counts the Steps.
func obey(f *Fleet, now time.Time, acts []Action) (steps int) {
	for len(acts) > 0 {
		a := acts[0]
		acts = acts[1:]
		var e Event
		switch a := a.(type) {
		case Spawn:
			e = Started{Worker: a.Worker, Gen: a.Gen, PID: 7, Ticks: 7}
		case Signal:
			if a.Signal == sigCont {
				continue
			}
			e = Exited{Worker: a.Worker, Gen: a.Gen, Signal: "SIGTERM", Sent: true, Gone: true}
		default:
			continue
		}
		steps++
		acts = append(acts, f.Step(now, e)...)
	}
	return steps
}

var sizes = []int{50, 500, 5000}

// BenchmarkHeartbeat is one Step of an event that sets an alarm.
func BenchmarkHeartbeat(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f, now := crowd(b, n, n), epoch0
			events := make([]Event, n)
			for i, w := range f.order {
				events[i] = Alive{w.spec.ID, 1}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				now = now.Add(time.Microsecond)
				f.Step(now, events[i%n])
			}
		})
	}
}

// BenchmarkKill is a death and all that follows, in groups of eight: what it
// costs must not depend on how many others there are.
func BenchmarkKill(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f, steps := crowd(b, n, 8), 0
			b.ResetTimer()
			for i := range b.N {
				w := f.order[i*13%n]
				e := Exited{Worker: w.spec.ID, Gen: w.d.Generation, Signal: "SIGKILL", Gone: true}
				steps += 1 + obey(f, epoch0, f.Step(epoch0, e))
			}
			b.ReportMetric(float64(steps)/b.Elapsed().Seconds(), "steps/s")
		})
	}
}

// BenchmarkStorm is a group of all, of which every tenth is killed at the same
// time: stop of all, restart of all.
func BenchmarkStorm(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f, steps := crowd(b, n, n), 0
			b.ResetTimer()
			for range b.N {
				var acts []Action
				for i := 0; i < n; i += 10 {
					w := f.order[i]
					acts = append(acts, f.Step(epoch0, Exited{Worker: w.spec.ID, Gen: w.d.Generation, Signal: "SIGKILL", Gone: true})...)
				}
				steps += n/10 + obey(f, epoch0, acts)
			}
			b.ReportMetric(float64(steps)/b.Elapsed().Seconds(), "steps/s")
		})
	}
}

// BenchmarkFailingSpawns is a group that comes back while one spawn in a
// hundred fails.
func BenchmarkFailingSpawns(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f, steps := crowd(b, n, n), 0
			b.ResetTimer()
			for range b.N {
				w := f.order[0]
				acts := f.Step(epoch0, Exited{Worker: w.spec.ID, Gen: w.d.Generation, Signal: "SIGKILL", Gone: true})
				for len(acts) > 0 {
					s, ok := acts[0].(Spawn)
					if ok && steps%100 == 0 {
						steps++
						acts = append(acts[1:], f.Step(epoch0, SpawnFailed{s.Worker, s.Gen, "no"})...)
						continue
					}
					rest := acts[1:]
					steps += obeyOne(f, acts[0], &rest)
					acts = rest
				}
			}
			b.ReportMetric(float64(steps)/b.Elapsed().Seconds(), "steps/s")
		})
	}
}

func obeyOne(f *Fleet, a Action, rest *[]Action) int {
	switch a := a.(type) {
	case Spawn:
		*rest = append(*rest, f.Step(epoch0, Started{Worker: a.Worker, Gen: a.Gen, PID: 7, Ticks: 7})...)
	case Signal:
		if a.Signal == sigCont {
			return 0
		}
		*rest = append(*rest, f.Step(epoch0, Exited{Worker: a.Worker, Gen: a.Gen, Signal: "SIGTERM", Sent: true, Gone: true})...)
	default:
		return 0
	}
	return 1
}
