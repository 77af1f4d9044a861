//go:build cgo && zmq

package zmq

import (
	"context"
	"net"
	"strconv"
	"sync"
	"time"

	zmq "github.com/pebbe/zmq4"
	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/supervise/bus"
	"github.com/procguard/procguard/supervise/bus/link"
)

const (
	firstPause = 50 * time.Millisecond // before connecting again
	lastPause  = 2 * time.Second       // it doubles up to this
)

// nodeLink is a node's carrier: a DEALER with at most one connection. ZeroMQ's own reconnecting is off, because a
// container that comes back may have another address: each connection is a new socket to a name resolved anew.
type nodeLink struct {
	*carrier
	o   NodeOptions
	key string // the hub's

	soc     *zmq.Socket // nil: not connecting
	fd      int
	watch   *watch
	up      bool      // the handshake is over
	lost    string    // why the connection is to be given up
	since   time.Time // of the attempt, or of the last frame
	next    time.Time // of the next attempt
	pause   time.Duration
	tries   int
	address string // of this attempt

	asking bool
	found  chan []string // answers of the resolver
	ctxR   context.Context
	cancel context.CancelFunc
	asks   sync.WaitGroup
}

// OpenNode opens the carrier of a node. It succeeds without a hub, and connects when there is one.
func OpenNode(o NodeOptions) link.Open {
	return func(in link.Inlet) (link.Carrier, error) {
		key, err := o.check()
		if err != nil {
			return nil, err
		}
		c, err := newCarrier(in, o.Report)
		if err != nil {
			return nil, err
		}
		n := &nodeLink{carrier: c, o: o.withDefaults(), key: key, pause: firstPause, found: make(chan []string, 1)}
		n.ctxR, n.cancel = context.WithCancel(context.Background())
		go n.run()
		return n, nil
	}
}

func (o NodeOptions) withDefaults() NodeOptions {
	if o.Resolve == nil {
		o.Resolve = net.DefaultResolver.LookupHost
	}
	if o.Dial <= 0 {
		o.Dial = 2 * time.Second
	}
	if o.Silence <= 0 {
		o.Silence = 10 * time.Second
	}
	return o
}

func (n *nodeLink) run() {
	defer close(n.done)
	defer n.shut()
	for {
		n.flush()
		if n.receive() {
			continue
		}
		if n.soc != nil {
			n.watch.drain()
		}
		if n.isEnding() {
			n.flush()
			return
		}
		if wait := n.keep(time.Now()); wait > 0 {
			n.wake.sleep(n.fds(), wait)
		}
	}
}

func (n *nodeLink) fds() []unix.PollFd {
	fds := []unix.PollFd{pollIn(n.wake.fd)}
	if n.soc != nil {
		fds = append(fds, pollIn(n.fd), pollIn(n.watch.fd))
	}
	return fds
}

// flush sends, or loses what there is no connection for.
func (n *nodeLink) flush() {
	for {
		select {
		case o := <-n.out:
			if n.soc != nil {
				_, _ = n.soc.SendBytes(o.frame, zmq.DONTWAIT)
			}
		default:
			return
		}
	}
}

func (n *nodeLink) receive() bool {
	if n.soc == nil {
		return false
	}
	for range batch {
		events, err := n.soc.GetEvents()
		if err != nil || events&zmq.POLLIN == 0 {
			return false
		}
		if frame, ok := n.message(); ok {
			n.since, n.pause = time.Now(), firstPause
			n.in.Receive(link.Packet{Addr: n.address, Frame: frame})
		}
	}
	return true
}

// message reads one message to its end; one of several frames is empty, which the protocol counts as malformed.
func (n *nodeLink) message() (frame []byte, ok bool) {
	for parts := 0; ; parts++ {
		part, err := n.soc.RecvBytes(zmq.DONTWAIT)
		if err != nil {
			return nil, false
		}
		if frame = part; parts > 0 {
			frame = nil
		}
		if more, err := n.soc.GetRcvmore(); err != nil || !more {
			return frame, true
		}
	}
}

// keep does what is due about the connection, and says for how long nothing else is.
func (n *nodeLink) keep(now time.Time) time.Duration {
	if n.soc != nil {
		return n.judge(now)
	}
	select {
	case addrs := <-n.found:
		n.asking = false
		if !n.dial(addrs, now) {
			n.later(now)
		}
		return 0
	default:
	}
	if n.asking {
		return time.Hour // the answer wakes us
	}
	if wait := n.next.Sub(now); wait > 0 {
		return wait
	}
	n.ask()
	return time.Hour
}

// judge gives a connection up that failed, that takes too long, or that is silent.
func (n *nodeLink) judge(now time.Time) time.Duration {
	limit := n.o.Dial
	if n.up {
		limit = n.o.Silence
	}
	left := limit - now.Sub(n.since)
	if n.lost == "" && left > 0 {
		return left
	}
	for n.receive() { // what came before the end, and after we last looked
	}
	n.hangUp()
	n.later(now)
	return 0
}

func (n *nodeLink) later(now time.Time) {
	n.next = now.Add(n.pause)
	n.pause = min(2*n.pause, lastPause)
}

// ask resolves the hub's name, elsewhere: it may take seconds.
func (n *nodeLink) ask() {
	n.asking = true
	n.asks.Go(func() {
		ctx, cancel := context.WithTimeout(n.ctxR, n.o.Dial)
		defer cancel()
		addrs, err := n.o.Resolve(ctx, n.o.Host)
		if err != nil && n.ctxR.Err() == nil {
			n.no.Add(bus.Refusal{Addr: n.o.Host, Why: "its name cannot be resolved; trying again"})
		}
		n.found <- addrs
		n.wake.wake()
	})
}

// dial connects to one of the addresses, the next one at each attempt.
func (n *nodeLink) dial(addrs []string, now time.Time) bool {
	if len(addrs) == 0 {
		return false
	}
	n.address = addrs[n.tries%len(addrs)]
	n.tries++
	soc, err := n.ctx.NewSocket(zmq.DEALER)
	if err != nil {
		return false
	}
	n.soc, n.up, n.lost, n.since = soc, false, "", now
	err = firstError(
		func() error { return configureLink(soc, net.ParseIP(n.address)) },
		func() error { return soc.SetReconnectIvl(-time.Millisecond) }, // -1: never
		func() error { return soc.SetImmediate(true) },                 // nothing is queued for a connection that is not there
		n.secure,
		func() (err error) { n.watch, err = openWatch(n.ctx, soc, connectEvents, n.event); return err },
		func() (err error) { n.fd, err = soc.GetFd(); return err },
		func() error {
			return soc.Connect("tcp://" + net.JoinHostPort(n.address, strconv.Itoa(n.o.Port)))
		},
	)
	if err != nil {
		n.no.Add(bus.Refusal{Addr: n.address, Why: "cannot connect: " + err.Error()})
		n.hangUp()
		return false
	}
	return true
}

func (n *nodeLink) secure() error {
	if n.o.Keys == nil {
		return nil
	}
	public, err := n.o.Keys.Secret.Public()
	if err != nil {
		return err
	}
	return firstError(
		func() error { return n.soc.SetCurveServerkey(n.key) },
		func() error { return n.soc.SetCurvePublickey(public) },
		func() error { return n.soc.SetCurveSecretkey(n.o.Keys.Secret.Reveal()) },
	)
}

const connectEvents = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL |
	zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED

func (n *nodeLink) event(kind zmq.Event, _ int) {
	switch kind {
	case zmq.EVENT_HANDSHAKE_SUCCEEDED:
		n.up, n.since = true, time.Now()
		n.in.Connected()
	case zmq.EVENT_HANDSHAKE_FAILED_AUTH:
		n.fail("the hub does not allow this node's key", true)
	case zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
		n.fail("the handshake failed: the hub has another key than was given here, or no CURVE", true)
	case zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
		n.fail("the hub hung up before the handshake was over", n.o.Keys != nil)
	default:
		n.fail("disconnected", false)
	}
}

// fail notes why the connection is over; the first reason counts.
func (n *nodeLink) fail(why string, tell bool) {
	if n.lost == "" {
		n.lost = why
		if tell {
			n.no.Add(bus.Refusal{Addr: n.address, Name: n.o.Hub, Why: why})
		}
	}
}

func (n *nodeLink) hangUp() {
	if n.soc != nil {
		_ = n.soc.Close()
	}
	if n.watch != nil {
		n.watch.close()
	}
	n.soc, n.watch, n.up = nil, nil, false
}

func (n *nodeLink) shut() {
	n.cancel()
	n.hangUp()
	n.asks.Wait()
	_ = n.ctx.Term()
}
