package logs

import (
	"bytes"
	"time"
)

// piece is a line, or a part of one.
type piece struct {
	data  []byte
	shown int  // bytes of data that the console has had already
	cont  bool // an earlier piece of the same line went out
	end   bool // the line ends here
}

// lineSink takes what a splitter finds. Slices are valid during the call only.
type lineSink interface {
	// lines gets one or more whole lines, each with its "\n", none with a "\r".
	lines(b []byte)
	piece(p piece)
}

// splitter cuts a stream of bytes into lines. It holds memory only
// while a line is incomplete.
type splitter struct {
	out  lineSink
	part []byte // the line so far, since its last lone "\r"
	cont bool   // a full piece of this line went out before part
	cr   bool   // a "\r" was the last byte: the next one says what it meant

	shown     int       // bytes of part that the console has had
	lastShown time.Time // when an unfinished state of this line was last shown
	began     time.Time // first byte that is not shown yet
	touched   time.Time // newest byte
}

// feed takes bytes as they were read; at most readSize at a time.
func (s *splitter) feed(b []byte) {
	plain := bytes.IndexByte(b, '\r') < 0
	for len(b) > 0 {
		if plain && s.atStart() {
			if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
				s.out.lines(b[:i+1])
				b = b[i+1:]
				continue
			}
		}
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			s.add(b)
			return
		}
		s.add(b[:i])
		s.finish()
		b = b[i+1:]
	}
}

func (s *splitter) atStart() bool {
	return len(s.part) == 0 && !s.cont && !s.cr && s.lastShown.IsZero()
}

// add takes bytes without "\n" and applies what "\r" means.
func (s *splitter) add(b []byte) {
	for len(b) > 0 {
		if s.cr && b[0] != '\r' {
			s.restart()
		}
		i := bytes.IndexByte(b, '\r')
		if i < 0 {
			s.grow(b)
			return
		}
		s.grow(b[:i])
		s.cr = true
		b = b[i+1:]
	}
}

// restart forgets the line's state so far: a lone "\r" said it is overwritten.
func (s *splitter) restart() {
	if s.cont { // full pieces of it are out: they need an end of their own
		s.out.piece(piece{cont: true, end: true})
	}
	s.part, s.shown, s.cont, s.cr = s.part[:0], 0, false, false
}

func (s *splitter) grow(b []byte) {
	for len(s.part)+len(b) > maxLine {
		n := maxLine - len(s.part)
		s.part = append(s.part, b[:n]...)
		b = b[n:]
		s.out.piece(piece{data: s.part, shown: s.shown, cont: s.cont})
		s.part, s.shown, s.cont = s.part[:0], 0, true
	}
	s.part = append(s.part, b...)
}

// finish ends the line. An empty one is a line too.
func (s *splitter) finish() {
	s.out.piece(piece{data: s.part, shown: s.shown, cont: s.cont, end: true})
	keep := s.part[:0]
	if cap(keep) > 256 { // thousands of quiet streams must hold next to nothing
		keep = nil
	}
	*s = splitter{out: s.out, part: keep}
}

// flush ends a line that will get no more bytes.
func (s *splitter) flush() {
	if len(s.part) > 0 || s.cont {
		s.finish()
	}
}

// note dates what feed left over; it tells whether something waits to be shown.
func (s *splitter) note(now time.Time) (waiting bool) {
	if len(s.part) <= s.shown {
		s.began = time.Time{}
		return false
	}
	if s.began.IsZero() {
		s.began = now
	}
	s.touched = now
	return true
}

// due is when the unfinished line is to be shown: when it is still, or has not
// been still for an interval, and not sooner than an interval after its last state.
func (s *splitter) due(still, interval time.Duration) time.Time {
	t := s.touched.Add(still)
	if late := s.began.Add(interval); late.Before(t) {
		t = late
	}
	if !s.lastShown.IsZero() && s.lastShown.Add(interval).After(t) {
		t = s.lastShown.Add(interval)
	}
	return t
}

// unshown gives the unfinished line and counts it as shown.
func (s *splitter) unshown(now time.Time) piece {
	p := piece{data: s.part, shown: s.shown, cont: s.cont}
	s.shown, s.lastShown, s.began = len(s.part), now, time.Time{}
	return p
}
