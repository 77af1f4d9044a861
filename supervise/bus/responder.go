package bus

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// MaxInFlight bounds the requests in progress on one bus, and with them its goroutines and memory.
const MaxInFlight = 64

// Responder turns request frames into answer frames. It is the part of every adapter that has no sockets in it, so
// that all adapters mean the same.
type Responder struct {
	// Permit says whether the holder of a key may give a command; nil: everyone may. It is set before the first Accept.
	Permit func(name, command string) error

	handler Handler
	timeout time.Duration
	slots   chan struct{} // one token per request in progress
	ctx     context.Context
	cancel  context.CancelFunc

	mu      sync.Mutex // closing against Accept: no Add on running once Close waits on it
	closed  bool
	running sync.WaitGroup

	requests, malformed, busy, expired, published, dropped, forbidden atomic.Uint64
}

// NewResponder returns a Responder that calls h.
func NewResponder(h Handler, timeout time.Duration) *Responder {
	ctx, cancel := context.WithCancel(context.Background())
	return &Responder{handler: h, timeout: timeout, slots: make(chan struct{}, MaxInFlight), ctx: ctx, cancel: cancel}
}

// Accept takes one frame. If it can be answered at once (it is malformed, or there is no room) the answer is returned;
// otherwise nil is returned and reply is called once, from another goroutine, within the timeout.
func (r *Responder) Accept(frame []byte, reply func([]byte)) []byte {
	return r.AcceptFrom("", frame, reply)
}

// AcceptFrom is Accept for a frame that came with the key of that name.
func (r *Responder) AcceptFrom(name string, frame []byte, reply func([]byte)) []byte {
	req, err := Decode(frame)
	if err != nil {
		return r.Malformed(err.Error())
	}
	req.From = name
	if r.Permit != nil {
		if err := r.Permit(name, req.Command); err != nil {
			r.forbidden.Add(1)
			return failure(req, err.Error())
		}
	}
	if !r.begin() {
		r.busy.Add(1)
		return failure(req, fmt.Sprintf("busy: %d requests in progress, or closing", MaxInFlight))
	}
	r.requests.Add(1)
	go r.serve(req, reply)
	return nil
}

// Malformed counts a message that is no request and returns the answer to it.
func (r *Responder) Malformed(why string) []byte {
	r.malformed.Add(1)
	return failure(Request{}, why)
}

func (r *Responder) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	select {
	case r.slots <- struct{}{}:
		r.running.Add(1)
		return true
	default:
		return false
	}
}

// serve answers when the handler returns or the time is up, whichever is first. The slot stays taken until the handler
// has returned, so a handler that hangs cannot pile up goroutines.
func (r *Responder) serve(req Request, reply func([]byte)) {
	defer r.running.Done()
	defer func() { <-r.slots }()
	ctx, cancel := context.WithTimeout(r.ctx, r.timeout)
	defer cancel()

	answered := make(chan struct{})
	inTime := context.AfterFunc(ctx, func() {
		defer close(answered)
		reply(r.overdue(req))
	})
	resp := r.handler(ctx, req)
	switch {
	case !inTime():
		<-answered // Close relies on it: no reply comes after serve
	case ctx.Err() != nil:
		reply(r.overdue(req)) // the handler saw the end before inTime's function was started
	default:
		reply(Encode(complete(resp, req, time.Now())))
	}
}

func (r *Responder) overdue(req Request) []byte {
	if r.ctx.Err() != nil {
		return failure(req, "the bus is closing")
	}
	r.expired.Add(1)
	return failure(req, fmt.Sprintf("no answer within %v", r.timeout))
}

// CountPublished counts one event that the adapter took.
func (r *Responder) CountPublished() { r.published.Add(1) }

// CountDropped counts one event that was lost.
func (r *Responder) CountDropped() { r.dropped.Add(1) }

// Stats returns the counters.
func (r *Responder) Stats() Stats {
	return Stats{
		Requests: r.requests.Load(), Malformed: r.malformed.Load(), Busy: r.busy.Load(),
		Expired: r.expired.Load(), Published: r.published.Load(), Dropped: r.dropped.Load(), Forbidden: r.forbidden.Load(),
	}
}

// Close refuses further requests, ends the context of those in progress, and returns when their handlers have returned
// and their replies were given. It may be called again.
func (r *Responder) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.running.Wait()
}
