package supervise

import (
	"sync"

	"github.com/procguard/procguard/reaper"
	"github.com/procguard/procguard/supervise/fleet"
)

// inbox is how everybody else reaches the loop. Nothing that is put in blocks,
// and nothing is lost but heartbeats that a newer one of the same worker
// replaces, so it is bounded by what can happen once per process.
type inbox struct {
	mu    sync.Mutex
	exits []any // reaper.Exit and reaper.Gone, in order
	facts []fleet.Event
	calls []func(*loop)
	beats map[string]uint64 // worker -> generation
	wake  chan struct{}     // holds one token while there is something to read
}

func newInbox() *inbox { return &inbox{beats: map[string]uint64{}, wake: make(chan struct{}, 1)} }

func (in *inbox) put(add func()) {
	in.mu.Lock()
	add()
	in.mu.Unlock()
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

func (in *inbox) exit(e reaper.Exit) { in.put(func() { in.exits = append(in.exits, e) }) }
func (in *inbox) gone(e reaper.Gone) { in.put(func() { in.exits = append(in.exits, e) }) }

// fact adds an event that has been seen by whoever watches.
func (in *inbox) fact(e fleet.Event) { in.put(func() { in.facts = append(in.facts, e) }) }

// call has f run by the loop.
func (in *inbox) call(f func(*loop)) { in.put(func() { in.calls = append(in.calls, f) }) }

func (in *inbox) beat(worker string, gen uint64) { in.put(func() { in.beats[worker] = gen }) }

// mail is what has come in since the last look.
type mail struct {
	exits []any
	facts []fleet.Event
	calls []func(*loop)
	beats map[string]uint64
}

func (in *inbox) take() mail {
	in.mu.Lock()
	defer in.mu.Unlock()
	m := mail{in.exits, in.facts, in.calls, in.beats}
	in.exits, in.facts, in.calls = nil, nil, nil
	if len(m.beats) == 0 {
		m.beats = nil // the map stays with the inbox: the loop must not read what others write
	} else {
		in.beats = map[string]uint64{}
	}
	return m
}
