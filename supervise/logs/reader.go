package logs

import (
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// signal makes an eventfd readable; see eventfd(2).
func signal(fd int) {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(fd, one[:])
}

func quiet(fd int) {
	var n [8]byte
	_, _ = unix.Read(fd, n[:])
}

// run is the one goroutine that reads. Each round takes every ready pipe
// once, then what was asked for, then what has waited long enough.
func (c *Collector) run() {
	defer close(c.finished)
	events := make([]unix.EpollEvent, 128)
	buf := make([]byte, readSize)
	var ready []*stream
	for {
		n, err := unix.EpollWait(c.epoll, events, c.patience(time.Now()))
		c.wakeups.Add(1)
		if err != nil && err != unix.EINTR {
			c.notice(fmt.Sprintf("output of workers is read no more: epoll: %v", err))
			n = 0
		}
		now := time.Now()
		c.stamp = appendStamp(c.stamp[:0], now)
		var ending []*Worker
		var closing bool
		ready, ending, closing = c.look(events[:max(n, 0)], ready[:0])
		for _, s := range ready {
			c.readReady(s, buf, now)
		}
		clear(ready) // the array must not keep ended workers alive
		for _, w := range ending {
			c.end(w, buf, now)
		}
		c.showDue(now)
		if closing || err != nil && err != unix.EINTR {
			c.endAll(buf, now)
			return
		}
	}
}

// look takes, under the lock once, all that this round has to do.
func (c *Collector) look(events []unix.EpollEvent, ready []*stream) (_ []*stream, ending []*Worker, closing bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range events {
		key := keyOf(&events[i])
		if key == 0 {
			quiet(c.wakeup)
		} else if s := c.streams[key]; s != nil {
			ready = append(ready, s)
		}
	}
	ending, c.ending = c.ending, nil
	return ready, ending, c.closed
}

func (c *Collector) readReady(s *stream, buf []byte, now time.Time) {
	n, more := s.readOnce(buf, now)
	c.read.Add(uint64(n))
	if !more {
		s.hangUp()
	}
}

// end finishes a worker whose process is gone.
func (c *Collector) end(w *Worker, buf []byte, now time.Time) {
	for _, s := range w.streams {
		if s == nil {
			continue
		}
		before := s.total.Load()
		s.finish(buf, now)
		c.read.Add(s.total.Load() - before)
		delete(c.waiting, s)
		c.mu.Lock()
		delete(c.streams, s.key)
		c.mu.Unlock()
	}
	close(w.done)
}

// endAll is the reader's last act. Nothing is added any more, since closed is set,
// and nobody signals the eventfd after it is closed here.
func (c *Collector) endAll(buf []byte, now time.Time) {
	c.mu.Lock()
	c.closed = true
	workers := map[*Worker]struct{}{}
	for _, s := range c.streams {
		workers[s.w] = struct{}{}
	}
	c.mu.Unlock()
	for w := range workers {
		c.end(w, buf, now)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = unix.Close(c.epoll)
	_ = unix.Close(c.wakeup)
}

// await remembers a stream with an unfinished line.
func (c *Collector) await(s *stream) {
	due, yes := s.waiting()
	if !yes {
		return
	}
	if len(c.waiting) == 0 || due.Before(c.nextDue) {
		c.nextDue = due
	}
	c.waiting[s] = struct{}{}
}

// patience is epoll_wait's time-out in milliseconds; -1, for ever, when no line
// is unfinished.
func (c *Collector) patience(now time.Time) int {
	if len(c.waiting) == 0 {
		return -1
	}
	return int(max(0, c.nextDue.Sub(now)+time.Millisecond-1) / time.Millisecond)
}

// showDue looks at all waiting streams, but not before the first can be due.
func (c *Collector) showDue(now time.Time) {
	if len(c.waiting) == 0 || now.Before(c.nextDue) {
		return
	}
	c.nextDue = time.Time{}
	for s := range c.waiting {
		due, yes := s.waiting()
		switch {
		case !yes:
			delete(c.waiting, s)
		case !due.After(now):
			s.showWaiting(now)
			delete(c.waiting, s)
		case c.nextDue.IsZero() || due.Before(c.nextDue):
			c.nextDue = due
		}
	}
}

// keepScratch takes the grown buffer back, unless one huge line made it huge.
func (c *Collector) keepScratch(b []byte) {
	const most = 2 * readSize
	if cap(b) <= most {
		c.scratch = b
	} else {
		c.scratch = nil
	}
}
