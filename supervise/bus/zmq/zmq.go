//go:build cgo && zmq

package zmq

import (
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	zmq "github.com/pebbe/zmq4"

	"github.com/procguard/procguard/supervise/bus"
)

// Available tells whether this binary has the adapter.
const Available = true

const (
	// queueLen is how many events may wait for the owner, and how many messages ZeroMQ may hold for one peer.
	queueLen = 1000
	// linger is how long closing waits for the last answers to leave, at most.
	linger = 100 * time.Millisecond
	// handshake is how long a peer may take to show its key.
	handshake = 5 * time.Second
)

// answer is a reply on its way to the owner of the sockets.
type answer struct {
	address [][]byte
	body    []byte
}

type event struct {
	topic string
	body  []byte
}

// Bus is the adapter.
type Bus struct {
	responder *bus.Responder
	endpoints bus.Endpoints
	owner     *owner
	no        *bus.Refusals

	mu     sync.RWMutex // closing against Publish: nothing is queued or woken once the owner has been told to end
	closed bool
	once   sync.Once
}

var _ bus.Bus = (*Bus)(nil)

// New binds both sockets and returns the running bus. It fails if the options do (see bus.Options.Check) or a port is
// taken.
func New(o bus.Options, h bus.Handler) (bus.Bus, error) {
	if err := o.Check(); err != nil {
		return nil, fmt.Errorf("cannot start the zmq bus: %w", err)
	}
	s, err := openSockets(o)
	if err != nil {
		return nil, fmt.Errorf("cannot start the zmq bus: %w", err)
	}
	b := &Bus{responder: bus.NewResponder(h, o.Timeout), endpoints: s.endpoints, no: s.no}
	if o.Keys != nil {
		b.responder.Permit = o.Keys.Permit
	}
	if b.owner, err = newOwner(s, b.responder); err != nil {
		s.close()
		return nil, fmt.Errorf("cannot start the zmq bus: %w", err)
	}
	go b.owner.run()
	return b, nil
}

// Publish is bus.Bus's.
func (b *Bus) Publish(topic string, e any) error {
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("cannot publish %s: %w", topic, err)
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return bus.ErrClosed
	}
	b.responder.CountPublished()
	b.owner.publish(event{topic, body})
	return nil
}

// Endpoints is bus.Bus's.
func (b *Bus) Endpoints() bus.Endpoints { return b.endpoints }

// Stats is bus.Bus's.
func (b *Bus) Stats() bus.Stats {
	st := b.responder.Stats()
	st.Refused = b.no.Count()
	return st
}

// Close is bus.Bus's. The handlers end first, while the owner still sends, so that each peer gets its answer.
func (b *Bus) Close() error {
	b.once.Do(func() {
		b.responder.Close()
		b.mu.Lock()
		b.closed = true
		b.mu.Unlock()
		b.owner.end()
	})
	return nil
}

// sockets are the ZeroMQ objects of one bus.
type sockets struct {
	ctx       *zmq.Context
	requests  *zmq.Socket
	events    *zmq.Socket
	endpoints bus.Endpoints
	watches   []*watch
	gate      *gate    // nil without keys
	about     []string // what to ask of each message
	no        *bus.Refusals
}

func openSockets(o bus.Options) (*sockets, error) {
	ctx, err := zmq.NewContext()
	if err != nil {
		return nil, err
	}
	s := &sockets{ctx: ctx, about: about(o.Keys), no: &bus.Refusals{Report: o.Report}}
	if err := s.bind(o); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *sockets) bind(o bus.Options) (err error) {
	eventPort := o.PortBase + 1
	if o.PortBase == 0 {
		eventPort = 0
	}
	if o.Keys != nil {
		if s.gate, err = openGate(s.ctx, o.Keys, s.no); err != nil {
			return err
		}
	}
	if s.requests, s.endpoints.Requests, err = s.listen(zmq.ROUTER, o, o.PortBase, requestDomain); err != nil {
		return err
	}
	s.events, s.endpoints.Events, err = s.listen(zmq.PUB, o, eventPort, eventDomain)
	return err
}

// listen returns a bound socket and its address. A socket that could not be bound is closed.
func (s *sockets) listen(kind zmq.Type, o bus.Options, port int, domain string) (soc *zmq.Socket, bound string, err error) {
	if soc, err = s.ctx.NewSocket(kind); err != nil {
		return nil, "", err
	}
	name := endpoint(o.Host, port)
	err = firstError(
		func() error { return configure(soc, o) },
		func() error { return s.watch(soc, o, domain) },
		func() error {
			if err := soc.Bind(name); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		},
		func() error { bound, err = soc.GetLastEndpoint(); return err },
	)
	if err != nil {
		_ = soc.Close()
		return nil, "", err
	}
	return soc, bound, nil
}

// watch puts a socket behind the gate, where there are keys, and notices who does not come in.
func (s *sockets) watch(soc *zmq.Socket, o bus.Options, domain string) error {
	if o.Keys == nil {
		return nil
	}
	if err := guard(soc, o.Keys, domain); err != nil {
		return err
	}
	w, err := openWatch(s.ctx, soc, strangersEvents, (&strangers{no: s.no}).event)
	if err == nil {
		s.watches = append(s.watches, w)
	}
	return err
}

// endpoint writes an address in ZeroMQ's notation; port 0 is any free one.
func endpoint(host string, port int) string {
	if port == 0 {
		return "tcp://" + net.JoinHostPort(host, "*")
	}
	return "tcp://" + net.JoinHostPort(host, strconv.Itoa(port))
}

func configure(soc *zmq.Socket, o bus.Options) error {
	ip := net.ParseIP(o.Host)
	return firstError(
		func() error { return soc.SetLinger(linger) },
		func() error { return soc.SetMaxmsgsize(bus.MaxFrame) },
		func() error { return soc.SetSndhwm(queueLen) },
		func() error { return soc.SetRcvhwm(queueLen / 10) }, // per peer, and each may be MaxFrame long
		func() error { return soc.SetSndtimeo(o.Timeout) },
		func() error { return soc.SetRcvtimeo(o.Timeout) },
		func() error { return soc.SetTcpKeepalive(1) }, // or a peer that vanished would hold its connection for ever
		func() error { return soc.SetIpv6(ip != nil && ip.To4() == nil) },
	)
}

// close may be called on a half-opened set. It waits up to linger for what was sent.
func (s *sockets) close() {
	for _, soc := range []*zmq.Socket{s.requests, s.events} {
		if soc != nil {
			_ = soc.Close()
		}
	}
	for _, w := range s.watches {
		w.close()
	}
	_ = s.ctx.Term() // the gate ends with it
	if s.gate != nil {
		<-s.gate.done
	}
}
