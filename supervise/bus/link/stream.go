package link

import (
	"fmt"
	"time"
)

const (
	// flight is how many messages may be under way at once; the others wait for acknowledgements.
	flight = 128
	// ackEvery is after how many messages an acknowledgement waits no longer.
	ackEvery = 16
	// hurry is the shortest time between two sendings of one message, where the peer says that it is missing.
	hurry = 10 * time.Millisecond
)

// letter is a message on its way.
type letter struct {
	seq    uint64
	msg    Message
	sentAt time.Time // zero: not yet
	tries  int
}

// stream is one session, as one side of it sees it: what it has sent and what it has received.
type stream struct {
	opt     *Options
	session string
	born    time.Time // At is counted from it

	next    uint64   // of the next message sent
	out     []letter // sent or waiting, not acknowledged, in order
	outSize int      // bytes of their bodies

	got     uint64 // all up to it were delivered
	early   map[uint64]Message
	ahead   int       // bytes of their bodies
	owed    int       // messages received since the last acknowledgement
	ackAt   time.Time // when one must be sent
	starved bool      // messages were not taken for want of room

	peerAt  int64     // the greatest At that came
	echoAt  int64     // the greatest Echo that came
	heardAt time.Time // when the frame with peerAt came
	spokeAt time.Time
}

func newStream(o *Options, session string, now time.Time, born time.Time) *stream {
	return &stream{opt: o, session: session, born: born, next: 1, early: map[uint64]Message{}, heardAt: now, spokeAt: now}
}

// clock is At: at least 1, and growing with time.
func (s *stream) clock(now time.Time) int64 { return max(1, int64(now.Sub(s.born))) }

// push queues a message, or says that there is no room.
func (s *stream) push(m Message) error {
	if len(s.out) >= s.opt.Window || s.outSize+len(m.Body) > s.opt.WindowBytes && len(s.out) > 0 {
		return fmt.Errorf("%w: %d messages and %d bytes are not acknowledged", ErrBehind, len(s.out), s.outSize)
	}
	s.out = append(s.out, letter{seq: s.next, msg: m})
	s.outSize += len(m.Body)
	s.next++
	return nil
}

// fresh tells whether a frame is newer than all others, and notes what every frame says.
func (s *stream) fresh(f *frame, now time.Time) bool {
	s.echoAt = max(s.echoAt, min(f.Echo, s.clock(now)))
	if f.At <= s.peerAt {
		return false
	}
	s.peerAt, s.heardAt = f.At, now
	return true
}

// acknowledged drops what the peer has. A peer that acknowledges what was never sent is ignored.
func (s *stream) acknowledged(upTo uint64) {
	if upTo >= s.next {
		return
	}
	n := 0
	for n < len(s.out) && s.out[n].seq <= upTo {
		s.outSize -= len(s.out[n].msg.Body)
		n++
	}
	if n > 0 {
		s.out = append(s.out[:0:0], s.out[n:]...)
	}
}

// missing makes the oldest message due again, unless it has just been sent.
func (s *stream) missing(now time.Time) {
	if len(s.out) > 0 && !s.out[0].sentAt.IsZero() && now.Sub(s.out[0].sentAt) >= hurry {
		s.out[0].sentAt = now.Add(-s.wait(s.out[0].tries))
	}
}

// take receives a message: deliver gets what is now in order, as long as room says that there is space. dup tells that
// it was here before.
func (s *stream) take(f *frame, now time.Time, room func() bool, deliver func(Message)) (dup bool) {
	s.owe(now)
	_, held := s.early[f.Seq]
	if f.Seq <= s.got || held {
		s.ackAt = now // the acknowledgement was lost, or will be
		return true
	}
	if f.Seq > s.got+flight || f.Seq > s.got+1 && s.ahead+len(f.Body) > s.opt.WindowBytes {
		return false // more than a peer may have under way; it will come again
	}
	s.early[f.Seq] = f.message()
	s.ahead += len(f.Body)
	s.drain(now, room, deliver)
	return false
}

// drain delivers what is in order.
func (s *stream) drain(now time.Time, room func() bool, deliver func(Message)) {
	for {
		m, here := s.early[s.got+1]
		if !here {
			break
		}
		if s.starved = !room(); s.starved {
			return
		}
		delete(s.early, s.got+1)
		s.ahead -= len(m.Body)
		s.got++
		deliver(m)
	}
	if len(s.early) > 0 {
		s.ackAt = now // something is missing: say so at once
	}
}

// owe notes that an acknowledgement is due.
func (s *stream) owe(now time.Time) {
	s.owed++
	switch due := now.Add(s.opt.AckDelay); {
	case s.owed >= ackEvery:
		s.ackAt = now
	case s.ackAt.IsZero():
		s.ackAt = due
	}
}

// wait is the time from a sending to the next.
func (s *stream) wait(tries int) time.Duration {
	d := s.opt.Resend
	for i := 1; i < tries && d < 10*s.opt.Resend; i++ {
		d *= 2
	}
	return min(d, 10*s.opt.Resend)
}

// due gives emit what must be sent now: messages, else an acknowledgement.
func (s *stream) due(now time.Time, emit func(*frame), again func()) {
	for i := range s.out[:min(len(s.out), flight)] {
		l := &s.out[i]
		if !l.sentAt.IsZero() && now.Before(l.sentAt.Add(s.wait(l.tries))) {
			continue
		}
		if l.tries > 0 {
			again()
		}
		l.sentAt, l.tries = now, l.tries+1
		s.say(&frame{Kind: data, Seq: l.seq, Type: l.msg.Type, Epoch: l.msg.Epoch, Lease: l.msg.Lease, Body: l.msg.Body}, now, emit)
	}
	if !s.ackAt.IsZero() && !now.Before(s.ackAt) || !now.Before(s.spokeAt.Add(s.opt.Heartbeat)) {
		s.say(&frame{Kind: ack, Gap: len(s.early) > 0 && !s.starved}, now, emit)
	}
}

// say completes a frame with what every one of a session carries.
func (s *stream) say(f *frame, now time.Time, emit func(*frame)) {
	f.Session, f.Ack, f.At, f.Echo = s.session, s.got, s.clock(now), s.peerAt
	// Messages owe their gap still: only an ack frame can tell of it.
	if f.Kind == ack || len(s.early) == 0 {
		s.owed, s.ackAt = 0, time.Time{}
	}
	s.spokeAt = now
	emit(f)
}

// again makes everything under way due: the connection that had it is gone.
func (s *stream) again(now time.Time) {
	for i := range s.out[:min(len(s.out), flight)] {
		if l := &s.out[i]; !l.sentAt.IsZero() && now.Sub(l.sentAt) >= hurry {
			l.sentAt = now.Add(-s.wait(l.tries))
		}
	}
	s.ackAt = now
}

// deadline is when due has something to do.
func (s *stream) deadline() time.Time {
	at := s.spokeAt.Add(s.opt.Heartbeat)
	if !s.ackAt.IsZero() && s.ackAt.Before(at) {
		at = s.ackAt
	}
	for i := range s.out[:min(len(s.out), flight)] {
		l := &s.out[i]
		if l.sentAt.IsZero() {
			return time.Time{} // at once
		}
		if t := l.sentAt.Add(s.wait(l.tries)); t.Before(at) {
			at = t
		}
	}
	return at
}
