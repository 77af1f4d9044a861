// Package mock is the bus inside the process: the default adapter, which listens nowhere.
//
// It keeps the meaning of bus/zmq, frames and limits included, so that what works with one works with the other. A
// program that embeds ProcGuard talks to it with [Bus.Call] and [Bus.Subscribe] instead of sockets. [Exchange] is the
// same for package link.
package mock

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/procguard/procguard/supervise/bus"
)

// QueueLen is how many events a subscriber may be behind before it loses the oldest, as a ZeroMQ queue has a high-water
// mark.
const QueueLen = 1000

// Message is a published event as a subscriber gets it.
type Message struct {
	Topic string
	Body  []byte // a JSON value
}

// Bus is the adapter. Use New.
type Bus struct {
	responder *bus.Responder

	mu     sync.Mutex // guards what follows; held over sends, which never block
	closed bool
	subs   map[*subscription]struct{}
}

type subscription struct {
	prefix string
	queue  chan Message
}

var _ bus.Bus = (*Bus)(nil)

// New returns a running bus that hands requests to h.
func New(o bus.Options, h bus.Handler) (*Bus, error) {
	if err := o.Check(); err != nil {
		return nil, fmt.Errorf("cannot start the mock bus: %w", err)
	}
	return &Bus{responder: bus.NewResponder(h, o.Timeout), subs: map[*subscription]struct{}{}}, nil
}

// Call sends one request frame and waits for its answer. It fails if ctx ends first, if the frame is one for which a
// socket would drop the connection (longer than bus.MaxFrame), or if the bus is closed.
func (b *Bus) Call(ctx context.Context, frame []byte) ([]byte, error) {
	if len(frame) > bus.MaxFrame {
		return nil, fmt.Errorf("frame of %d bytes is longer than %d", len(frame), bus.MaxFrame)
	}
	if b.isClosed() {
		return nil, bus.ErrClosed
	}
	reply := make(chan []byte, 1) // room for the answer to a caller who has left
	if now := b.responder.Accept(frame, func(answer []byte) { reply <- answer }); now != nil {
		return now, nil
	}
	select {
	case answer := <-reply:
		return answer, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Subscribe delivers the events whose topic starts with prefix, from now on, until cancel is called or the bus closes;
// then the channel is closed. A subscriber more than QueueLen events behind loses the oldest.
func (b *Bus) Subscribe(prefix string) (events <-chan Message, cancel func()) {
	s := &subscription{prefix: prefix, queue: make(chan Message, QueueLen)}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		close(s.queue)
		return s.queue, func() {}
	}
	b.subs[s] = struct{}{}
	return s.queue, func() { b.unsubscribe(s) }
}

func (b *Bus) unsubscribe(s *subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, there := b.subs[s]; there {
		delete(b.subs, s)
		close(s.queue)
	}
}

// Publish is bus.Bus's.
func (b *Bus) Publish(topic string, event any) error {
	body, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("cannot publish %s: %w", topic, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return bus.ErrClosed
	}
	b.responder.CountPublished()
	for s := range b.subs {
		if strings.HasPrefix(topic, s.prefix) {
			b.offer(s, Message{topic, body})
		}
	}
	return nil
}

// offer makes room by dropping the oldest. The lock keeps other publishers out, so a second round is needed only if
// the subscriber took one in between, and then there is room.
func (b *Bus) offer(s *subscription, m Message) {
	for {
		select {
		case s.queue <- m:
			return
		default:
		}
		select {
		case <-s.queue:
			b.responder.CountDropped()
		default:
		}
	}
}

// Endpoints is bus.Bus's.
func (b *Bus) Endpoints() bus.Endpoints {
	return bus.Endpoints{Requests: "mock:requests", Events: "mock:events"}
}

// Stats is bus.Bus's.
func (b *Bus) Stats() bus.Stats { return b.responder.Stats() }

// Close is bus.Bus's.
func (b *Bus) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.responder.Close() // before the subscribers go, so that a handler's last event reaches nobody half-closed
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.subs {
		delete(b.subs, s)
		close(s.queue)
	}
	return nil
}

func (b *Bus) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}
