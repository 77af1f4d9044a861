package mock

import (
	"sync"

	"github.com/procguard/procguard/supervise/bus/link"
)

// Exchange is a network inside the process, for one hub and its nodes: [Exchange.Hub] and [Exchange.Node] open the
// carriers of package link. Like a network it loses what has no room, and what is sent to nobody.
type Exchange struct {
	mu    sync.Mutex
	hub   *line
	nodes map[string]*line // by route
	names int
}

// NewExchange returns an exchange with nobody on it.
func NewExchange() *Exchange { return &Exchange{nodes: map[string]*line{}} }

// Hub opens the hub's carrier. A hub that was there before hears no more.
func (x *Exchange) Hub() link.Open {
	return func(in link.Inlet) (link.Carrier, error) {
		l := newLine(x, in, "")
		x.mu.Lock()
		defer x.mu.Unlock()
		x.hub = l
		for _, n := range x.nodes {
			n.connected()
		}
		return l, nil
	}
}

// Node opens a node's carrier. key is whose key its frames come with; empty is none.
func (x *Exchange) Node(key string) link.Open {
	return func(in link.Inlet) (link.Carrier, error) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.names++
		l := newLine(x, in, key)
		l.route = "mock:" + string(rune('A'+x.names%26)) + "/" + key
		for x.nodes[l.route] != nil {
			l.route += "'"
		}
		x.nodes[l.route] = l
		l.connected()
		return l, nil
	}
}

// line is one end's carrier. What comes in is queued for a goroutine of its own, since Send must not call back.
type line struct {
	x          *Exchange
	in         link.Inlet
	key, route string

	queue  chan link.Packet
	hail   chan struct{}
	ending chan struct{}
	done   chan struct{}
	once   sync.Once
}

func newLine(x *Exchange, in link.Inlet, key string) *line {
	l := &line{x: x, in: in, key: key, queue: make(chan link.Packet, QueueLen), hail: make(chan struct{}, 1), ending: make(chan struct{}), done: make(chan struct{})}
	go l.run()
	return l
}

func (l *line) connected() {
	select {
	case l.hail <- struct{}{}:
	default:
	}
}

func (l *line) run() {
	defer close(l.done)
	for {
		select {
		case p := <-l.queue:
			l.in.Receive(p)
		case <-l.hail:
			l.in.Connected()
		case <-l.ending:
			return
		}
	}
}

// Send is link.Carrier's.
func (l *line) Send(route string, frame []byte) {
	if to := l.x.find(l, route); to != nil {
		select {
		case to.queue <- link.Packet{Route: l.route, Name: l.key, Addr: l.route, Frame: frame}:
		default:
		}
	}
}

func (x *Exchange) find(from *line, route string) *line {
	x.mu.Lock()
	defer x.mu.Unlock()
	if from.route != "" {
		return x.hub
	}
	return x.nodes[route]
}

// Close is link.Carrier's.
func (l *line) Close() error {
	l.once.Do(func() {
		l.x.remove(l)
		close(l.ending)
		<-l.done
	})
	return nil
}

func (x *Exchange) remove(l *line) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.hub == l {
		x.hub = nil
	}
	if x.nodes[l.route] == l {
		delete(x.nodes, l.route)
	}
}
