package linktest

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/procguard/procguard/supervise/bus/link"
)

// Faults loses, repeats, delays and so reorders what is sent through it. What becomes of the n-th frame of a direction
// is decided by the seed alone, so that a seed replays; which frame is the n-th is up to the machine's timing, which
// package link's own simulation leaves out.
type Faults struct {
	Drop, Duplicate, Delay int           // percent of the frames
	MaxDelay               time.Duration // a delayed frame is behind others that were sent after it

	mu   sync.Mutex
	seed uint64
	ways uint64
	cut  map[string]bool
	off  bool
}

// NewFaults returns faults of every kind.
func NewFaults(seed uint64) *Faults {
	return &Faults{Drop: 10, Duplicate: 10, Delay: 20, MaxDelay: 30 * time.Millisecond, seed: seed, cut: map[string]bool{}}
}

// Cut parts a way from the rest, or joins it again; its name is that given to Wrap. Both directions of a node are cut
// by its own.
func (f *Faults) Cut(way string, yes bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut[way] = yes
}

// Stop ends all faults.
func (f *Faults) Stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.off = true
}

// Wrap puts the faults in front of a carrier, in both directions.
func (f *Faults) Wrap(way string, open link.Open) link.Open {
	return func(in link.Inlet) (link.Carrier, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.ways++
		w := &faulty{f: f, way: way, in: in, dice: [2]*rand.Rand{
			rand.New(rand.NewPCG(f.seed, 2*f.ways)), rand.New(rand.NewPCG(f.seed, 2*f.ways+1)),
		}}
		carrier, err := open(w)
		w.carrier = carrier
		return w, err
	}
}

type faulty struct {
	f       *Faults
	way     string
	in      link.Inlet
	carrier link.Carrier
	dice    [2]*rand.Rand // out, in
	late    sync.WaitGroup
	mu      sync.Mutex
	closed  bool
}

// pass does with one frame what the dice say.
func (w *faulty) pass(dice *rand.Rand, do func()) {
	for _, d := range w.f.fate(w.way, dice) {
		w.later(d, do)
	}
}

func (w *faulty) later(d time.Duration, do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.late.Add(1)
	time.AfterFunc(d, func() {
		defer w.late.Done()
		do()
	})
}

// fate is the delays of a frame's copies.
func (f *Faults) fate(way string, dice *rand.Rand) []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	drop, dup, late, by := dice.IntN(100), dice.IntN(100), dice.IntN(100), dice.Int64N(int64(max(1, f.MaxDelay)))
	switch {
	case f.off:
		return []time.Duration{0}
	case f.cut[way] || drop < f.Drop:
		return nil
	}
	all := []time.Duration{0}
	if late < f.Delay {
		all[0] = time.Duration(by)
	}
	if dup < f.Duplicate {
		all = append(all, time.Duration(by/2))
	}
	return all
}

// Send is link.Carrier's.
func (w *faulty) Send(route string, frame []byte) {
	w.pass(w.dice[0], func() { w.carrier.Send(route, frame) })
}

// Receive is link.Inlet's.
func (w *faulty) Receive(p link.Packet) { w.pass(w.dice[1], func() { w.in.Receive(p) }) }

// Connected is link.Inlet's.
func (w *faulty) Connected() { w.in.Connected() }

// Close is link.Carrier's. It waits for what is late, which then finds nobody.
func (w *faulty) Close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.late.Wait()
	return w.carrier.Close()
}
