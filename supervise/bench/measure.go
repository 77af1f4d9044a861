package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// measure is one thing that is measured; it may print several lines.
type measure struct {
	name string
	run  func(*table) error
}

// measures are all of them, in the order of the output, or those asked for.
func (b *bench) measures() []measure {
	all := []measure{{"inits", b.inits}}
	for _, h := range b.places() {
		add := func(name string, run func(how, *table) error) {
			all = append(all, measure{name, func(t *table) error { return run(h, t) }})
		}
		add("single", b.single)
		add("group", b.group)
		add("many", b.many)
	}
	all = append(all, measure{"idle", b.atRest})
	if b.peers {
		all = append(all, measure{"peers", b.comparePeers})
	}
	var wanted []measure
	for _, m := range all {
		if b.only == "" || strings.Contains(m.name, b.only) {
			wanted = append(wanted, m)
		}
	}
	return wanted
}

// places are where ProcGuard can run here: a PID namespace needs root.
func (b *bench) places() []how {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "bench: not root: ProcGuard is not measured as PID 1")
		return []how{asChild}
	}
	return []how{asChild, asFirst}
}

// quiet is the pause before each failure: what a recovery leaves to be done
// later must not fall into the next one, nor be left undone.
const quiet = 5 * time.Millisecond

// single kills the only worker of a job again and again.
func (b *bench) single(h how, t *table) error {
	seen, back, err := b.deaths(h, 1, b.kills)
	if err != nil {
		return err
	}
	t.times(fmt.Sprintf("kill -9 to `detected`, %v", h), seen, "p99 below 10")
	t.times(fmt.Sprintf("kill -9 to first instruction of the next, %v", h), back, "median below 3")
	return nil
}

// deaths kills one of n workers that do not depend on each other, and in turns a
// bare process: so both have the same share of what else the machine does.
func (b *bench) deaths(h how, n, rounds int) (seen, back *pair, err error) {
	seen, back = &pair{}, &pair{}
	g, err := b.start(h, n, fleet{alone: true})
	if err != nil {
		return nil, nil, err
	}
	err = g.inTurns(rounds, 1, syscall.SIGKILL, seen, back)
	_, stopped := g.stop()
	return seen, back, errors.Join(err, stopped)
}

// inTurns kills rounds times one worker, whose failure makes size of them start
// anew, and before each restarts size bare processes by sig.
func (g *guard) inTurns(rounds, size int, sig syscall.Signal, seen, back *pair) error {
	bare, err := g.b.bareGroup(size)
	if err != nil {
		return err
	}
	defer func() { _ = bare.end() }()
	for i := range rounds {
		s, r, err := bare.restart(sig)
		if err != nil {
			return err
		}
		seen.floor.add(s)
		back.floor.add(r)
		time.Sleep(quiet)
		if s, r, err = g.death(i, size); err != nil {
			return g.explain(err)
		}
		seen.got.add(s)
		back.got.add(r)
		time.Sleep(quiet)
	}
	return nil
}

// death kills one worker and waits until the recovery is over. seen is when
// ProcGuard wrote that it had detected it, back when the last of the workers
// that were to be restarted ran.
func (g *guard) death(turn, restarted int) (seen, back time.Duration, err error) {
	pids, err := g.workers()
	if err != nil {
		return 0, 0, err
	}
	wall, from := time.Now().Round(0), now() // Round: the log has the wall clock only
	if err := syscall.Kill(pids[turn%len(pids)], syscall.SIGKILL); err != nil {
		return 0, 0, err
	}
	at, err := g.b.stamps.await(restarted, g.over)
	if err != nil {
		return 0, 0, err
	}
	detected, err := g.log.await()
	return detected.Sub(wall), at - from, err
}

// groupSize is that of the gang in the measure of a group.
const groupSize = 64

// group kills one of a group that is restarted as a whole.
func (b *bench) group(h how, t *table) error {
	g, err := b.start(h, groupSize, fleet{})
	if err != nil {
		return err
	}
	var seen, back pair
	err = g.inTurns(b.rounds(50), groupSize, syscall.SIGTERM, &seen, &back)
	_, stopped := g.stop()
	if err := errors.Join(err, stopped); err != nil {
		return err
	}
	t.times(fmt.Sprintf("one of a group of %d to all running again, %v", groupSize, h), &back, "median below 60")
	return nil
}

const manyWorkers = 500

// settled is how long a started fleet is left alone: samples, state.json.
const settled = time.Second

// many starts and stops 500 workers, and kills single ones among them.
func (b *bench) many(h how, t *table) error {
	var up, down pair
	for range b.rounds(7) {
		if err := b.upAndDown(h, &up.got, &down.got); err != nil {
			return err
		}
		if err := b.bareUpAndDown(&up.floor, &down.floor); err != nil {
			return err
		}
	}
	t.times(fmt.Sprintf("%d workers started, %v", manyWorkers, h), &up, "median below 400")
	t.times(fmt.Sprintf("%d workers stopped and exit, %v", manyWorkers, h), &down, "median below 100")
	_, back, err := b.deaths(h, manyWorkers, b.rounds(200))
	if err != nil {
		return err
	}
	t.times(fmt.Sprintf("1 of %d: kill -9 to next first instruction, %v", manyWorkers, h), back, "-")
	return nil
}

func (b *bench) upAndDown(h how, up, down *sample) error {
	g, err := b.start(h, manyWorkers, fleet{})
	if err != nil {
		return err
	}
	up.add(g.up)
	time.Sleep(settled)
	took, err := g.stop()
	down.add(took)
	return err
}

func (b *bench) bareUpAndDown(up, down *sample) error {
	g := &bareGroup{b: b}
	from := now()
	at, err := g.start(manyWorkers)
	if err != nil {
		return err
	}
	up.add(at - from)
	from = now()
	err = bareEnd(syscall.SIGTERM, g.pids...)
	down.add(now() - from)
	return err
}

// rest is how long a fleet has before it counts as idle: state.json is at most
// two seconds behind, the garbage of the start is collected in the next ones.
const rest = 4 * time.Second

// atRest watches fleets that do nothing.
func (b *bench) atRest(t *table) error {
	for _, c := range []struct {
		name, target string
		n            int
		f            fleet
	}{
		{"8 workers", "RSS below 15", 8, fleet{}},
		{"500 sleepers", "RSS below 30", 500, fleet{}},
		{"1,000 sleepers sampled every second", "CPU below 1200", 1000, fleet{}},
		{"8 workers, zombie_detection: false", "no wakes", 8, fleet{unlooked: true}},
		{"500 sleepers, zombie_detection: false", "no wakes", 500, fleet{unlooked: true}},
	} {
		u, err := b.rest(c.n, c.f)
		if err != nil {
			return err
		}
		t.idle(c.name, u, c.target)
	}
	return nil
}

func (b *bench) rest(n int, f fleet) (usage, error) {
	g, err := b.start(asChild, n, f)
	if err != nil {
		return usage{}, err
	}
	time.Sleep(rest)
	u, err := watch(g.pid(), b.idle)
	_, stopped := g.stop()
	return u, errors.Join(err, stopped)
}
