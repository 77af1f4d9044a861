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
	b := &Bus{responder: bus.NewResponder(h, o.Timeout), endpoints: s.endpoints}
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
func (b *Bus) Stats() bus.Stats { return b.responder.Stats() }

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
}

func openSockets(o bus.Options) (*sockets, error) {
	ctx, err := zmq.NewContext()
	if err != nil {
		return nil, err
	}
	s := &sockets{ctx: ctx}
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
	if s.requests, s.endpoints.Requests, err = s.listen(zmq.ROUTER, o, o.PortBase); err != nil {
		return err
	}
	s.events, s.endpoints.Events, err = s.listen(zmq.PUB, o, eventPort)
	return err
}

// listen returns a bound socket and its address. A socket that could not be bound is closed.
func (s *sockets) listen(kind zmq.Type, o bus.Options, port int) (*zmq.Socket, string, error) {
	soc, err := s.ctx.NewSocket(kind)
	if err != nil {
		return nil, "", err
	}
	name := endpoint(o.Host, port)
	if err := configure(soc, o); err == nil {
		err = soc.Bind(name)
		if err == nil {
			bound, err := soc.GetLastEndpoint()
			return soc, bound, err
		}
		_ = soc.Close()
		return nil, "", fmt.Errorf("%s: %w", name, err)
	}
	_ = soc.Close()
	return nil, "", err
}

// endpoint writes an address in ZeroMQ's notation; port 0 is any free one.
func endpoint(host string, port int) string {
	if port == 0 {
		return "tcp://" + net.JoinHostPort(host, "*")
	}
	return "tcp://" + net.JoinHostPort(host, strconv.Itoa(port))
}

func configure(soc *zmq.Socket, o bus.Options) error {
	steps := []func() error{
		func() error { return soc.SetLinger(linger) },
		func() error { return soc.SetMaxmsgsize(bus.MaxFrame) },
		func() error { return soc.SetSndhwm(queueLen) },
		func() error { return soc.SetRcvhwm(queueLen / 10) }, // per peer, and each may be MaxFrame long
		func() error { return soc.SetSndtimeo(o.Timeout) },
		func() error { return soc.SetRcvtimeo(o.Timeout) },
		func() error { return soc.SetIpv6(net.ParseIP(o.Host).To4() == nil && net.ParseIP(o.Host) != nil) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// close may be called on a half-opened set. It waits up to linger for what was sent.
func (s *sockets) close() {
	for _, soc := range []*zmq.Socket{s.requests, s.events} {
		if soc != nil {
			_ = soc.Close()
		}
	}
	_ = s.ctx.Term()
}
