package link

import (
	"sync"
	"time"
)

// engine drives a core: frames come in through the Inlet's methods, and one goroutine keeps its deadlines and gives
// events to the program. The lock is never held while something waits.
type engine struct {
	mu      sync.Mutex // guards core, and the order of frames given to the carrier
	core    core
	carrier Carrier // nil until it is open
	closed  bool

	events chan Event
	wake   chan struct{}
	parted chan struct{} // closed here, and all peers know
	ending chan struct{}
	done   chan struct{}
	once   sync.Once
	err    error
}

// farewell is how long closing waits for the peers to hear of it. A connection that is closed while something unread
// is in it takes what was sent last with it, so they are asked.
const farewell = 250 * time.Millisecond

// start opens the carrier. Frames may come in before it returns.
func start(c core, open Open) (*engine, error) {
	e := &engine{core: c, events: make(chan Event), wake: make(chan struct{}, 1), parted: make(chan struct{}), ending: make(chan struct{}), done: make(chan struct{})}
	carrier, err := open(e)
	if err != nil {
		return nil, err
	}
	e.do(func(time.Time) { e.carrier = carrier })
	go e.run()
	return e, nil
}

// do changes the core and sends what comes of it.
func (e *engine) do(change func(now time.Time)) {
	e.mu.Lock()
	change(time.Now())
	b := e.core.shared()
	if e.carrier != nil {
		for _, o := range b.out {
			e.carrier.Send(o.route, o.frame)
		}
		b.out = b.out[:0]
	}
	news := b.news
	b.news = nil
	e.part()
	e.mu.Unlock()
	for _, r := range news {
		b.opt.Report(r)
	}
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// part is called with the lock held.
func (e *engine) part() {
	if e.closed && e.parted != nil && len(e.core.shared().parting) == 0 {
		close(e.parted)
		e.parted = nil
	}
}

// Receive is Inlet's.
func (e *engine) Receive(p Packet) { e.do(func(now time.Time) { e.core.receive(p, now) }) }

// Connected is Inlet's.
func (e *engine) Connected() { e.do(func(now time.Time) { e.core.connected(now) }) }

func (e *engine) send(session string, m Message) (err error) {
	e.do(func(now time.Time) {
		if err = ErrClosed; !e.closed {
			err = e.core.send(session, m, now)
		}
	})
	return err
}

// run gives events out and keeps deadlines.
func (e *engine) run() {
	defer close(e.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		event, any, at := e.look()
		timer.Reset(time.Until(at))
		var out chan Event
		if any {
			out = e.events
		}
		select {
		case out <- event:
			e.do(func(now time.Time) { e.core.shared().pop(now) })
		case <-timer.C:
			e.do(func(now time.Time) { e.core.tick(now) })
		case <-e.wake:
		case <-e.ending:
			return
		}
	}
}

func (e *engine) look() (event Event, any bool, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if b := e.core.shared(); len(b.events) > 0 {
		event, any = b.events[0], true
	}
	return event, any, e.core.deadline()
}

func (e *engine) stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.core.shared().stats
}

// close tells the peers and waits a moment for them, ends the carrier and then the goroutine. Events that were not taken are lost.
func (e *engine) close() error {
	e.once.Do(func() {
		parted := e.parted
		e.do(func(now time.Time) {
			e.core.close(now)
			e.closed = true
		})
		select {
		case <-parted:
		case <-time.After(farewell):
		}
		e.err = e.carrier.Close()
		close(e.ending)
		<-e.done
		close(e.events)
	})
	return e.err
}
