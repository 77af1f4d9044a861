package sim

import (
	"fmt"
	"math"
	"time"

	"github.com/procguard/procguard/supervise/fleet"
)

// faults says how often what goes wrong. Shares are of processes or moments in
// [0, 1]; times are means, 0 meaning never.
type faults struct {
	spawn     float64 // the fork or exec fails
	deaf      float64 // ignores the stop signal
	slowStop  float64 // obeys it late
	kids      float64 // has children that outlive the leader
	immortal  float64 // SIGKILL does not end it for a while
	hang      float64 // stops making progress
	frozen    float64 // of those: by SIGSTOP, so that no signal is acted on
	lateReady float64
	words     time.Duration // between words of a process; 0: it says none
	separate  float64       // Exited and Gone come apart although nothing was left
	stale     float64       // an event of an old generation comes with a new one
	tear      float64       // ProcGuard dies while it writes

	uptime  time.Duration // until a process crashes
	guard   time.Duration // until ProcGuard dies
	host    float64       // of those deaths: its processes live on
	trouble time.Duration // until the disk stalls, the clock leaps or ProcGuard does
	command time.Duration // until the operator does something
	disk    time.Duration // how long a sync takes; 0: no time at all
	wire    bool          // records and snapshots go through JSON
	edit    float64       // the configuration changes while ProcGuard is down
}

// plan is a world before it begins.
type plan struct {
	spec   fleet.Spec
	faults faults
	calm   time.Duration // when faults end
	work   time.Duration // longest job of a process that finishes
	// endless are the workers that never finish by themselves.
	endless map[string]bool
	made    int // names used so far
	removed []fleet.Worker
}

const giant = 5000

// size is how many workers a world has: every thousandth is a giant, most are
// small, because small ones get into more situations per second.
func size(d dice, seed uint64) int {
	if seed%1000 == 7 {
		return giant
	}
	return int(math.Exp(d.Float64()*math.Log(200))) + d.IntN(2)
}

func newPlan(seed uint64, n int) *plan {
	d := newDice(seed, 1)
	if of := size(d, seed); n == 0 {
		n = min(of, 200)
		if of == giant {
			n = giant
		}
	}
	p := &plan{endless: map[string]bool{}, work: pick(d, 5*time.Second, 30*time.Second, 2*time.Minute)}
	p.calm = d.between(20*time.Second, 15*time.Minute)
	p.faults = drawFaults(d)
	p.drawSpec(d, n)
	if n == giant {
		p.calm = d.between(20*time.Second, 40*time.Second)
		p.faults.uptime *= 200
		p.faults.tear /= 100
	}
	return p
}

// drawFaults leaves most kinds out of most worlds: few faults at a time reach
// deeper into a recovery than all of them at once.
func drawFaults(d dice) faults {
	some := func(share, most float64) float64 {
		if !d.chance(share) {
			return 0
		}
		return d.Float64() * most
	}
	every := func(share float64, from, to time.Duration) time.Duration {
		if !d.chance(share) {
			return 0
		}
		return d.between(from, to)
	}
	return faults{
		spawn: some(0.4, 0.2), deaf: some(0.4, 0.3), slowStop: some(0.4, 0.5), kids: some(0.5, 0.5),
		immortal: some(0.1, 0.02), hang: some(0.4, 0.3), frozen: 0.3, lateReady: some(0.4, 0.2),
		separate: some(0.5, 1), stale: some(0.3, 0.2), tear: some(0.3, 0.05),
		uptime:  every(0.85, 10*time.Second, 10*time.Minute),
		guard:   every(0.5, 10*time.Second, 3*time.Minute),
		host:    pick(d, 0, 0.5, 1),
		trouble: every(0.4, 5*time.Second, time.Minute),
		command: every(0.5, 2*time.Second, time.Minute),
		disk:    pick(d, 0, 0, 300*time.Microsecond, 4*time.Millisecond, 30*time.Millisecond),
		wire:    d.chance(0.03),
		edit:    some(0.2, 0.5),
		words:   every(0.4, 2*time.Second, time.Minute),
	}
}

func (p *plan) drawSpec(d dice, n int) {
	s := &p.spec
	s.Node = "node"
	s.MinRanks = map[string]int{}
	s.Recovery = fleet.Recovery{
		Auto: d.chance(0.93), StopAll: d.chance(0.7), Reassign: d.chance(0.8),
		Timeout: d.between(3*time.Second, time.Minute), Attempts: 1 + d.IntN(4),
		SameFailures: pick(d, 0, 0, 1, 2, 3),
	}
	groups := 1 + d.IntN(min(n, 5))
	ranked := make([]bool, groups)
	for g := range ranked {
		ranked[g] = d.chance(0.3)
		if ranked[g] && d.chance(0.5) {
			s.MinRanks[groupName(g)] = 1 + d.IntN(3)
		}
	}
	endless := pick(d, 0, 0, 0.3, 1)
	for range n {
		g := d.IntN(groups)
		w := p.drawWorker(d, groupName(g))
		w.Ranked = ranked[g]
		p.dress(d, &w, d.chance(endless))
		s.Workers = append(s.Workers, w)
	}
	for range pick(d, 0, n/2, n, 3*n) {
		s.Tasks = append(s.Tasks, p.drawTask(d))
	}
}

func groupName(g int) string { return fmt.Sprintf("g%d", g) }

func (p *plan) name(prefix string) string {
	p.made++
	return fmt.Sprintf("%s%d", prefix, p.made)
}

func (p *plan) drawWorker(d dice, group string) fleet.Worker {
	w := fleet.Worker{
		ID: p.name("w"), Group: group, Type: pick(d, "a", "a", "b"), Fingerprint: "1",
		Restart:     pick(d, fleet.OnFailure, fleet.OnFailure, fleet.OnFailure, fleet.Always, fleet.Never),
		MaxRestarts: d.IntN(6), RestartDelay: pick(d, 0, 0, d.between(0, 6*time.Second)),
		Backoff: fleet.Backoff{
			Factor: pick(d, 1, 1.5, 2), Max: pick(d, 0, 10*time.Second, time.Minute),
			Jitter: pick(d, 0, 0.1, 0.5), ResetAfter: pick(d, 0, 5*time.Second, time.Minute, 10*time.Minute),
		},
		StopSignal: pick(d, 15, 15, 2, 10), StopToGroup: d.chance(0.3),
		Grace:   pick(d, 0, d.between(0, time.Second), d.between(0, 15*time.Second)),
		Standby: d.chance(0.06),
	}
	return w
}

// dress gives w what depends on those before it and on whether it ever ends.
func (p *plan) dress(d dice, w *fleet.Worker, endless bool) {
	if endless || w.Restart == fleet.Always {
		p.endless[w.ID] = true
	}
	switch d.IntN(3) {
	case 0:
		w.NeedsReady = true
		w.StartupTimeout = pick(d, 0, 2*time.Second, 10*time.Second)
	case 1:
		w.ReadyAfter = d.between(0, 2*time.Second)
	}
	if d.chance(0.25) {
		w.HeartbeatTimeout = d.between(2*time.Second, 20*time.Second)
	}
	p.drawLife(d, w)
	for d.chance(0.2) && len(w.DependsOn) < 3 {
		p.depend(d, w)
	}
}

// depend adds an edge to an earlier worker, so that there are no circles. Nobody
// waits for the end of what never ends, nor of a rank, which may be revived.
func (p *plan) depend(d dice, w *fleet.Worker) {
	if len(p.spec.Workers) == 0 {
		return
	}
	on := &p.spec.Workers[d.IntN(len(p.spec.Workers))]
	until := pick(d, fleet.UntilStarted, fleet.UntilReady, fleet.UntilCompleted)
	if until == fleet.UntilCompleted && (p.endless[on.ID] || on.Ranked) {
		until = fleet.UntilReady
	}
	w.DependsOn = append(w.DependsOn, fleet.Dependency{Worker: on.ID, Until: until})
}

func (p *plan) drawTask(d dice) fleet.Task {
	t := fleet.Task{ID: p.name("t"), Type: pick(d, "a", "a", "b"), Weight: float64(1 + d.IntN(4))}
	if d.chance(0.7) {
		w := p.spec.Workers[d.IntN(len(p.spec.Workers))]
		t.Owner, t.Type = w.ID, w.Type
	}
	return t
}
