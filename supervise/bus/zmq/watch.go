//go:build cgo && zmq

package zmq

import (
	"fmt"
	"net"
	"sync/atomic"

	zmq "github.com/pebbe/zmq4"
	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/supervise/bus"
)

// watch hears what a socket says about its connections. The owner of the socket owns it too.
type watch struct {
	soc   *zmq.Socket
	fd    int
	event func(kind zmq.Event, value int)
}

var watches atomic.Uint64 // for names that are not used twice

func openWatch(ctx *zmq.Context, of *zmq.Socket, kinds zmq.Event, event func(zmq.Event, int)) (*watch, error) {
	name := fmt.Sprintf("inproc://watch-%d", watches.Add(1))
	if err := of.Monitor(name, kinds); err != nil {
		return nil, err
	}
	soc, err := ctx.NewSocket(zmq.PAIR)
	if err != nil {
		return nil, err
	}
	w := &watch{soc: soc, event: event}
	err = firstError(
		func() error { return soc.SetLinger(0) },
		// Without a limit: ZeroMQ's own thread would wait where one is reached. The owner never waits, so it is short.
		func() error { return soc.SetRcvhwm(0) },
		func() error { return soc.Connect(name) },
		func() (err error) { w.fd, err = soc.GetFd(); return err },
	)
	if err != nil {
		_ = soc.Close()
		return nil, err
	}
	return w, nil
}

// drain passes on all that was said. After it the descriptor fires again.
func (w *watch) drain() {
	for {
		events, err := w.soc.GetEvents()
		if err != nil || events&zmq.POLLIN == 0 {
			return
		}
		kind, _, value, err := w.soc.RecvEvent(zmq.DONTWAIT)
		if err != nil {
			return
		}
		w.event(kind, value)
	}
}

func (w *watch) close() { _ = w.soc.Close() }

// strangers notices peers whose handshake fails before they show a key: they know another server's key, have no
// CURVE, or speak no ZeroMQ. Those with a key that is not allowed meet the gate.
type strangers struct {
	no     *bus.Refusals
	addrs  map[int]string // of descriptors that were accepted
	failed string
}

const strangersEvents = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL

// maxAddrs bounds the table, in case a disconnection is ever not told.
const maxAddrs = 4096

// event pairs a failure with the address: the failure is told just before the disconnection of the same peer, and only
// that one has the descriptor. A descriptor that is closed before we look leaves no address.
func (s *strangers) event(kind zmq.Event, value int) {
	switch kind {
	case zmq.EVENT_ACCEPTED:
		if s.addrs == nil || len(s.addrs) > maxAddrs {
			s.addrs = map[int]string{}
		}
		s.addrs[value] = peerOf(value)
	case zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: // whichever side hangs up first
		s.failed = "its handshake failed: it has another key for this server, or no CURVE"
	case zmq.EVENT_DISCONNECTED:
		if s.failed != "" {
			s.no.Add(bus.Refusal{Addr: s.addrs[value], Why: s.failed})
		}
		s.failed = ""
		delete(s.addrs, value)
	}
}

// peerOf is the IP address at the other end of a connection.
func peerOf(fd int) string {
	sa, err := unix.Getpeername(fd)
	if err != nil {
		return ""
	}
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return net.IP(a.Addr[:]).String()
	case *unix.SockaddrInet6:
		return net.IP(a.Addr[:]).String()
	}
	return ""
}
