//go:build cgo && zmq

package zmq

import (
	"errors"

	zmq "github.com/pebbe/zmq4"
	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/supervise/bus"
)

const (
	// batch is how many messages are taken before answers and events get their turn.
	batch = 64
	// maxFrames bounds a message: the addresses of a few proxies, the delimiter and the body. A REQ client's has three.
	maxFrames = 8
)

// owner is the one goroutine that touches the sockets. Others reach it through the channels and the eventfd that wakes
// it: a ZeroMQ socket must never be used by two threads, and an eventfd may be written by any number.
type owner struct {
	s         *sockets
	responder *bus.Responder
	answers   chan answer
	events    chan event
	ending    chan struct{}
	done      chan struct{}
	wake      *waker
	pollFDs   []unix.PollFd
}

func newOwner(s *sockets, r *bus.Responder) (*owner, error) {
	requestsFD, err := s.requests.GetFd()
	if err != nil {
		return nil, err
	}
	eventsFD, err := s.events.GetFd()
	if err != nil {
		return nil, err
	}
	wake, err := newWaker()
	if err != nil {
		return nil, err
	}
	o := &owner{
		s: s, responder: r, wake: wake,
		answers: make(chan answer, bus.MaxInFlight), events: make(chan event, queueLen),
		ending: make(chan struct{}), done: make(chan struct{}),
		pollFDs: []unix.PollFd{pollIn(wake.fd), pollIn(requestsFD), pollIn(eventsFD)},
	}
	for _, w := range s.watches {
		o.pollFDs = append(o.pollFDs, pollIn(w.fd))
	}
	return o, nil
}

// end lets the owner send what is queued and leave, and waits for that. The caller makes sure that nobody publishes or
// replies any more. The eventfd is closed here and not by the owner: the wake below may find the owner gone already,
// and must not write to a descriptor that by then is somebody else's.
func (o *owner) end() {
	close(o.ending)
	o.wake.wake()
	<-o.done
	o.wake.close()
}

// publish queues an event, at the cost of the oldest if there is no room.
func (o *owner) publish(e event) {
	for {
		select {
		case o.events <- e:
			o.wake.wake()
			return
		default:
		}
		select {
		case <-o.events:
			o.responder.CountDropped()
		default:
		}
	}
}

func (o *owner) run() {
	defer close(o.done)
	defer o.s.close()
	for {
		o.flush()
		if o.receive() {
			continue // more may be waiting: do not sleep on it
		}
		select {
		case <-o.ending:
			o.flush()
			return
		default:
			o.sleep()
		}
	}
}

// sleep returns when there may be something to do. ZMQ_FD is edge-triggered: it fires once for news that ZeroMQ has
// not yet told us of, so both sockets must have been asked for their events since their last use. receive ends with
// that question for the one, and it is put to the other here.
func (o *owner) sleep() {
	_, _ = o.s.events.GetEvents()
	for _, w := range o.s.watches {
		w.drain()
	}
	o.wake.sleep(o.pollFDs, -1)
}

// flush sends all that is queued. Neither socket can block: a ROUTER drops the answer to a peer that has left or whose
// queue is full, and a PUB drops for each slow subscriber alone.
func (o *owner) flush() {
	for {
		select {
		case a := <-o.answers:
			o.reply(a.address, a.body)
		case e := <-o.events:
			_, _ = o.s.events.SendMessageDontwait(e.topic, e.body)
		default:
			return
		}
	}
}

func (o *owner) reply(address [][]byte, body []byte) {
	parts := make([]any, 0, len(address)+1)
	for _, frame := range address {
		parts = append(parts, frame)
	}
	_, _ = o.s.requests.SendMessageDontwait(append(parts, body)...)
}

// receive takes at most batch messages and tells whether there may be more.
func (o *owner) receive() bool {
	for range batch {
		events, err := o.s.requests.GetEvents()
		if err != nil || events&zmq.POLLIN == 0 {
			return false
		}
		frames, from, whole := o.message()
		o.accept(frames, from, whole)
	}
	return true
}

// message reads one message to its end and keeps at most maxFrames of it. from is the name of the key that it came
// with.
func (o *owner) message() (frames [][]byte, from string, whole bool) {
	whole = true
	for {
		frame, about, err := o.s.requests.RecvBytesWithMetadata(zmq.DONTWAIT, o.s.about...)
		if err != nil {
			return frames, from, whole
		}
		from = about[userID]
		if len(frames) < maxFrames {
			frames = append(frames, frame)
		} else {
			whole = false
		}
		if more, err := o.s.requests.GetRcvmore(); err != nil || !more {
			return frames, from, whole
		}
	}
}

func (o *owner) accept(frames [][]byte, from string, whole bool) {
	e, err := open(frames, whole)
	switch {
	case errors.Is(err, errNoDelimiter):
		o.responder.Malformed(err.Error())
	case err != nil:
		o.reply(e.address, o.responder.Malformed(err.Error()))
	default:
		if now := o.responder.AcceptFrom(from, e.body, func(body []byte) { o.later(e.address, body) }); now != nil {
			o.reply(e.address, now)
		}
	}
}

// later hands a reply to the owner. It waits for room if the owner is behind; the owner never waits for a handler, so
// that ends.
func (o *owner) later(address [][]byte, body []byte) {
	o.answers <- answer{address, body}
	o.wake.wake()
}
