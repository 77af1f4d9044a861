//go:build cgo && zmq

package zmq

import (
	"fmt"
	"net"
	"sync"
	"time"

	zmq "github.com/pebbe/zmq4"
	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/supervise/bus"
	"github.com/procguard/procguard/supervise/bus/link"
)

const (
	// outQueue is how many frames may wait for the owner of a link's socket; more are lost, and sent again.
	outQueue = 4096
	// ping is between ZMTP heartbeats, dead is how long a peer may be silent before its connection is closed.
	ping = time.Second
	dead = 4 * time.Second
)

// outgoing is a frame on its way to the owner.
type outgoing struct {
	route string
	frame []byte
}

// carrier is what hub and node have in common: a queue, and the goroutine that owns the socket.
type carrier struct {
	in     link.Inlet
	ctx    *zmq.Context
	out    chan outgoing
	wake   *waker
	ending chan struct{}
	done   chan struct{}
	no     *bus.Refusals
	once   sync.Once
}

func newCarrier(in link.Inlet, report func(bus.Refusal)) (*carrier, error) {
	ctx, err := zmq.NewContext()
	if err != nil {
		return nil, err
	}
	wake, err := newWaker()
	if err != nil {
		_ = ctx.Term()
		return nil, err
	}
	return &carrier{in: in, ctx: ctx, wake: wake, out: make(chan outgoing, outQueue), ending: make(chan struct{}), done: make(chan struct{}), no: &bus.Refusals{Report: report}}, nil
}

// Send is link.Carrier's.
func (c *carrier) Send(route string, frame []byte) {
	select {
	case c.out <- outgoing{route, frame}:
		c.wake.wake()
	default:
	}
}

// Close is link.Carrier's. The engine does not send any more.
func (c *carrier) Close() error {
	c.once.Do(func() {
		close(c.ending)
		c.wake.wake()
		<-c.done
		c.wake.close()
	})
	return nil
}

func (c *carrier) isEnding() bool {
	select {
	case <-c.ending:
		return true
	default:
		return false
	}
}

// configureLink is for both ends.
func configureLink(soc *zmq.Socket, ip net.IP) error {
	return firstError(
		func() error { return soc.SetLinger(linger) },
		func() error { return soc.SetMaxmsgsize(link.MaxFrame) },
		func() error { return soc.SetSndhwm(queueLen) },
		func() error { return soc.SetRcvhwm(queueLen) },
		func() error { return soc.SetHeartbeatIvl(ping) },
		func() error { return soc.SetHeartbeatTimeout(dead) },
		func() error { return soc.SetHeartbeatTtl(dead) },
		func() error { return soc.SetHandshakeIvl(handshake) },
		func() error { return soc.SetIpv6(ip != nil && ip.To4() == nil) },
	)
}

// hubLink is the hub's carrier: a ROUTER. A node's route is the name that the ROUTER gave to its connection, which no
// node can choose.
type hubLink struct {
	*carrier
	soc   *zmq.Socket
	fd    int
	about []string
	watch *watch // nil without keys
	gate  *gate  // nil without keys
}

// OpenHub opens the carrier of a hub.
func OpenHub(o HubOptions) link.Open {
	return func(in link.Inlet) (link.Carrier, error) {
		if err := o.check(); err != nil {
			return nil, err
		}
		c, err := newCarrier(in, o.Report)
		if err != nil {
			return nil, err
		}
		h := &hubLink{carrier: c, about: about(o.Keys)}
		if h.about == nil {
			h.about = []string{peerAddress}
		}
		if err := h.open(o); err != nil {
			h.shut()
			c.wake.close()
			return nil, err
		}
		go h.run()
		return h, nil
	}
}

func (h *hubLink) open(o HubOptions) (err error) {
	if o.Keys != nil {
		if h.gate, err = openGate(h.ctx, o.Keys, h.no); err != nil {
			return err
		}
	}
	if h.soc, err = h.ctx.NewSocket(zmq.ROUTER); err != nil {
		return err
	}
	name := endpoint(o.Host, o.Port)
	return firstError(
		func() error { return configureLink(h.soc, net.ParseIP(o.Host)) },
		func() error { return h.secure(o) },
		func() error {
			if err := h.soc.Bind(name); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		},
		func() (err error) { h.fd, err = h.soc.GetFd(); return err },
		func() error {
			bound, err := h.soc.GetLastEndpoint()
			if err == nil && o.Bound != nil {
				o.Bound(bound)
			}
			return err
		},
	)
}

func (h *hubLink) secure(o HubOptions) (err error) {
	if o.Keys == nil {
		return nil
	}
	if err := guard(h.soc, o.Keys, linkDomain); err != nil {
		return err
	}
	h.watch, err = openWatch(h.ctx, h.soc, strangersEvents, (&strangers{no: h.no}).event)
	return err
}

func (h *hubLink) run() {
	defer close(h.done)
	defer h.shut()
	fds := []unix.PollFd{pollIn(h.wake.fd), pollIn(h.fd)}
	if h.watch != nil {
		fds = append(fds, pollIn(h.watch.fd))
	}
	for {
		h.flush()
		if h.receive() {
			continue
		}
		if h.watch != nil {
			h.watch.drain()
		}
		if h.isEnding() {
			h.flush()
			return
		}
		// receive has just asked the socket for its events, so its descriptor fires for whatever comes now.
		h.wake.sleep(fds, -1)
	}
}

// flush cannot wait: a ROUTER drops what is for a peer that has left or is slow.
func (h *hubLink) flush() {
	for {
		select {
		case o := <-h.out:
			_, _ = h.soc.SendMessageDontwait(o.route, o.frame)
		default:
			return
		}
	}
}

// receive takes at most batch messages and tells whether there may be more.
func (h *hubLink) receive() bool {
	for range batch {
		events, err := h.soc.GetEvents()
		if err != nil || events&zmq.POLLIN == 0 {
			return false
		}
		if p, whole := h.packet(); whole {
			h.in.Receive(p)
		}
	}
	return true
}

// packet reads one message to its end. whole says that it has the two frames of a node's: the route and the frame. Any
// other gets an empty frame, which the protocol counts as malformed.
func (h *hubLink) packet() (p link.Packet, whole bool) {
	for n := 0; ; n++ {
		part, props, err := h.soc.RecvBytesWithMetadata(zmq.DONTWAIT, h.about...)
		if err != nil {
			return p, false
		}
		switch n {
		case 0:
			p.Route = string(part)
		case 1:
			p.Frame, p.Name, p.Addr = part, props[userID], props[peerAddress]
		default:
			p.Frame = nil
		}
		if more, err := h.soc.GetRcvmore(); err != nil || !more {
			return p, true
		}
	}
}

// shut may be called on a half-opened carrier.
func (h *hubLink) shut() {
	if h.soc != nil {
		_ = h.soc.Close()
	}
	if h.watch != nil {
		h.watch.close()
	}
	_ = h.ctx.Term()
	if h.gate != nil {
		<-h.gate.done
	}
}
