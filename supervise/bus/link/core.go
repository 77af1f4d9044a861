package link

import (
	"errors"
	"time"
)

// core is one side of the protocol, without clocks, goroutines or sockets.
type core interface {
	receive(p Packet, now time.Time)
	connected(now time.Time) // the carrier has a new connection
	send(session string, m Message, now time.Time) error
	tick(now time.Time)  // does what was due
	deadline() time.Time // of the next tick; zero: at once
	close(now time.Time)
	shared() *base
}

// outgoing is a frame for the carrier.
type outgoing struct {
	route string
	frame []byte
}

// base is what both sides have.
type base struct {
	opt     Options
	inc     string // of this side
	born    time.Time
	out     []outgoing // for the carrier
	events  []Event    // for the program
	stats   Stats
	told    map[Refusal]struct{}
	news    []Refusal           // for Report
	parting map[string]struct{} // sessions that were closed here, and whose peers have not said yet that they know
	// relieved is called when the program has taken an event and there is room again.
	relieved func(now time.Time)
}

func newBase(o Options, now time.Time) base {
	o = o.withDefaults()
	return base{opt: o, inc: o.Rand(), born: now, told: map[Refusal]struct{}{}, parting: map[string]struct{}{}}
}

func (b *base) shared() *base { return b }

func (b *base) clock(now time.Time) int64 { return max(1, int64(now.Sub(b.born))) }

func (b *base) emit(route string, f *frame) {
	b.stats.Frames++
	b.out = append(b.out, outgoing{route, encode(f)})
}

// room tells whether another message may be given to the program.
func (b *base) room() bool {
	if len(b.events) < b.opt.Queue {
		return true
	}
	b.stats.Overflow++
	return false
}

// pop removes the event that the program has taken.
func (b *base) pop(now time.Time) {
	b.events[0] = Event{}
	b.events = b.events[1:]
	if len(b.events) == b.opt.Queue/2 {
		b.relieved(now)
	}
}

// maxTold bounds how many refusals are reported, and remembered.
const maxTold = 256

// refuse reports a refusal, if it is new and there were not too many.
func (b *base) refuse(p Packet, name, why string) {
	r := Refusal{Addr: p.Addr, Name: name, Why: why}
	if _, known := b.told[r]; known || len(b.told) >= maxTold {
		return
	}
	b.told[r] = struct{}{}
	b.news = append(b.news, r)
}

// open decodes a frame and counts those that are none.
func (b *base) open(p Packet) *frame {
	f, err := decode(p.Frame)
	var other versionError
	switch {
	case errors.As(err, &other):
		b.stats.Version++
		b.refuse(p, p.Name, err.Error())
	case err != nil:
		b.stats.Malformed++
		b.refuse(p, p.Name, err.Error())
	default:
		return f
	}
	return nil
}

// follow does what a frame of a session says.
func (b *base) follow(s *stream, f *frame, now time.Time, deliver func(Message)) {
	s.acknowledged(f.Ack)
	if f.Kind == ack {
		if f.Gap {
			s.missing(now)
		}
		return
	}
	count := func(m Message) {
		b.stats.Delivered++
		deliver(m)
	}
	if s.take(f, now, b.room, count) {
		b.stats.Duplicates++
	}
}

func (b *base) again() { b.stats.Resent++ }

// The reasons for the end of a session, on the wire.
var reasons = map[string]error{
	"behind": ErrBehind, "replaced": ErrReplaced, "silent": ErrSilent, "unknown": ErrRestarted, "closed": ErrClosed,
}

func reasonOf(err error) string {
	for word, e := range reasons {
		if errors.Is(err, e) {
			return word
		}
	}
	return "unknown"
}

func errorOf(word string) error {
	if err := reasons[word]; err != nil {
		return err
	}
	return ErrRestarted
}
