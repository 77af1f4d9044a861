package link

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Message is what the program sends. Only Type is required.
type Message struct {
	Type  string          // what it is, at most 64 bytes
	Epoch uint64          // carried as it is
	Lease int64           // carried as it is
	Body  json.RawMessage // a JSON value of at most MaxBody bytes, or nil
}

// EventKind is what happened to a session.
type EventKind int

// The kinds of events.
const (
	Joined   EventKind = iota + 1 // a session has begun
	Received                      // a message came
	Left                          // the session is over
)

func (k EventKind) String() string {
	switch k {
	case Joined:
		return "joined"
	case Received:
		return "received"
	case Left:
		return "left"
	}
	return fmt.Sprintf("EventKind(%d)", int(k))
}

// Event is one thing that happened.
type Event struct {
	Kind        EventKind
	Session     string // to send in
	Peer        string // the node's name, on the hub; empty on a node
	Incarnation string // of the peer: another one is another run of its program
	Message     Message
	Why         error // of Left: ErrBehind, ErrReplaced, ErrSilent, ErrRestarted or ErrClosed
}

var (
	// ErrClosed says that this side, or the other one, was closed.
	ErrClosed = errors.New("the link is closed")
	// ErrNoSession says that the session is over, or never was.
	ErrNoSession = errors.New("no such session")
	// ErrBehind says that a session ended because the peer was too far behind.
	ErrBehind = errors.New("peer too far behind")
	// ErrReplaced says that another run of the node's program has taken its place.
	ErrReplaced = errors.New("another run of the node has taken its place")
	// ErrSilent says that nothing was heard for too long.
	ErrSilent = errors.New("silent for too long")
	// ErrRestarted says that the peer no longer knows the session: it has restarted.
	ErrRestarted = errors.New("the peer has begun anew")
	// ErrMessage says that a message cannot be sent by anyone: too long, not JSON, or without a type.
	ErrMessage = errors.New("not a message")
)

const (
	// MaxBody is the longest body of a message, in bytes.
	MaxBody = 192 << 10
	// MaxFrame is the longest frame that a carrier lets in, in bytes.
	MaxFrame = 256 << 10
	// maxName bounds names of nodes, incarnations, sessions and types, in bytes.
	maxName = 128
)

// Options are what both sides can be told. Zero values stand for the defaults.
type Options struct {
	Window      int           // messages of one direction of a session that wait for acknowledgement; 1024
	WindowBytes int           // and their bodies' bytes; 4 MiB
	Queue       int           // events that wait for the program, 1024
	Heartbeat   time.Duration // between signs of life, 1 s
	Resend      time.Duration // before the first re-sending, 200 ms; it doubles up to ten times that
	AckDelay    time.Duration // how long an acknowledgement may wait for company, 2 ms
	Forget      time.Duration // after how much silence the hub ends a session, 10 min
	Nodes       int           // the most nodes on a hub, 4096
	// Report is told of what was refused: a bounded number of times, and never twice the same. It must not wait.
	Report func(Refusal)
	// Rand is the source of session names and incarnations, for tests; nil is crypto/rand.
	Rand func() string
}

// Refusal is something that a peer sent and that was not accepted.
type Refusal struct {
	Addr string // of the peer, as far as it is known
	Name string // of its key, as far as it has one
	Why  string
}

// Stats counts what passed through one side.
type Stats struct {
	Sent, Delivered  uint64 // messages
	Frames           uint64 // given to the carrier
	Resent           uint64 // frames of messages that were sent before
	Duplicates       uint64 // messages received again, and dropped
	Malformed        uint64 // frames that are none
	Version          uint64 // frames of another version
	Forged           uint64 // frames that speak for another node
	Stale            uint64 // frames of sessions that are over
	Overflow         uint64 // messages not taken for want of room; they are sent again
	Sessions, Behind uint64 // begun; ended because the peer was too far behind
}

func (o Options) withDefaults() Options {
	ints := []struct {
		at  *int
		def int
	}{{&o.Window, 1024}, {&o.WindowBytes, 4 << 20}, {&o.Queue, 1024}, {&o.Nodes, 4096}}
	for _, i := range ints {
		if *i.at <= 0 {
			*i.at = i.def
		}
	}
	times := []struct {
		at  *time.Duration
		def time.Duration
	}{{&o.Heartbeat, time.Second}, {&o.Resend, 200 * time.Millisecond}, {&o.AckDelay, 2 * time.Millisecond}, {&o.Forget, 10 * time.Minute}}
	for _, d := range times {
		if *d.at <= 0 {
			*d.at = d.def
		}
	}
	if o.Rand == nil {
		o.Rand = random
	}
	if o.Report == nil {
		o.Report = func(Refusal) {}
	}
	return o
}

// Packet is one frame as a carrier brought it.
type Packet struct {
	Route string // where an answer goes; the carrier's own notation
	Name  string // whose key it came with; empty where there are no keys
	Addr  string // of the peer, for people
	Frame []byte
}

// Carrier takes frames to the other side, as far as it can.
type Carrier interface {
	// Send hands over a frame for a route that a Packet had; a node has only one way, and its route is empty. It
	// never waits and never calls back; what there is no room for is lost.
	Send(route string, frame []byte)
	// Close sends what it can in a bounded time and ends. No Inlet is called after it.
	Close() error
}

// Inlet is where a carrier brings frames. Its methods may be called by any goroutine, but not from within Send.
type Inlet interface {
	Receive(Packet)
	// Connected says that there is a new connection: what was lost with the old one may be sent again.
	Connected()
}

// Open starts a carrier.
type Open func(Inlet) (Carrier, error)
