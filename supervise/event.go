package supervise

import (
	"context"
	"sync"
	"time"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/fleet"
)

// Event is something that the machine decided or saw, for whoever watches.
// Events are numbered without gaps, from 1 in each run of ProcGuard.
type Event struct {
	Seq      uint64         `json:"seq"`
	Time     time.Time      `json:"time"`
	Kind     fleet.NoteKind `json:"kind"`
	Worker   string         `json:"worker,omitempty"`
	Gen      uint64         `json:"generation,omitempty"`
	PID      int            `json:"pid,omitempty"`
	Group    string         `json:"group,omitempty"`
	Incident uint64         `json:"incident,omitempty"`
	Epoch    uint64         `json:"epoch"`
	Phase    state.Phase    `json:"phase,omitempty"`
	Attempt  int            `json:"attempt,omitempty"`
	Cause    *state.Cause   `json:"cause,omitempty"`
	Expected bool           `json:"expected,omitempty"`
	Culprit  bool           `json:"culprit,omitempty"`
	Tasks    []string       `json:"tasks,omitempty"`
	From     string         `json:"from,omitempty"`
	DelayMS  int64          `json:"delay_ms,omitempty"`
	Code     int            `json:"code,omitempty"`
	Text     string         `json:"text,omitempty"`
	// Missed counts the events that this subscriber lost just before this one.
	Missed uint64 `json:"missed,omitempty"`
}

func event(n *fleet.Note) Event {
	return Event{Time: n.Time, Kind: n.Kind, Worker: n.Worker, Gen: n.Gen, PID: n.PID, Group: n.Group, Incident: n.Incident,
		Epoch: n.Epoch, Phase: n.Phase, Attempt: n.Attempt, Cause: n.Cause, Expected: n.Expected, Culprit: n.Culprit,
		Tasks: n.Tasks, From: n.From, DelayMS: n.Delay.Milliseconds(), Code: n.Code, Text: n.Text}
}

// backlog is how many events a subscriber may be behind.
const backlog = 4096

// hub numbers events and hands them to subscribers.
type hub struct {
	mu   sync.Mutex
	seq  uint64
	subs map[*Subscription]bool
	over bool
}

// Subscription is one listener's queue.
type Subscription struct {
	hub    *hub
	queue  []Event // the oldest first
	missed uint64
	ready  chan struct{}
}

func (h *hub) subscribe() *Subscription {
	s := &Subscription{hub: h, ready: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subs == nil {
		h.subs = map[*Subscription]bool{}
	}
	h.subs[s] = true
	return s
}

func (h *hub) publish(e Event) Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	e.Seq = h.seq
	for s := range h.subs {
		s.push(e)
	}
	return e
}

// push is called with the hub locked.
func (s *Subscription) push(e Event) {
	if len(s.queue) >= backlog {
		s.queue = s.queue[1:]
		s.missed++
	}
	s.queue = append(s.queue, e)
	s.signal()
}

func (s *Subscription) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// close ends all subscriptions once their queues are read.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
	for s := range h.subs {
		s.signal()
	}
}

// Next waits for the next event. ok is false when ctx has ended, or when Run
// has returned and all events were read.
func (s *Subscription) Next(ctx context.Context) (e Event, ok bool) {
	for {
		e, ok, over := s.pop()
		if ok || over {
			return e, ok
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
			return Event{}, false
		}
	}
}

func (s *Subscription) pop() (e Event, ok, over bool) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if len(s.queue) == 0 {
		return Event{}, false, s.hub.over
	}
	e = s.queue[0]
	s.queue = s.queue[1:]
	e.Missed, s.missed = s.missed, 0
	return e, true, false
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	delete(s.hub.subs, s)
}
