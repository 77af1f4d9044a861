package link

import (
	"time"
)

// nodeCore is a node's side.
type nodeCore struct {
	base
	name  string
	hub   string  // the hub's incarnation
	live  *stream // nil: no session
	idle  int64   // clock of the end of the last session: a welcome must answer a later hello
	hails int     // hellos since then
	next  time.Time
}

func newNodeCore(name string, o Options, now time.Time) *nodeCore {
	c := &nodeCore{base: newBase(o, now), name: name, next: now, idle: 1}
	c.relieved = c.drain
	return c
}

func (c *nodeCore) connected(now time.Time) {
	if c.live == nil {
		c.next = now
	} else {
		c.live.again(now)
	}
	c.tick(now)
}

func (c *nodeCore) receive(p Packet, now time.Time) {
	f := c.open(p)
	switch {
	case f == nil:
	case f.Kind == welcome:
		c.welcome(f, now)
	case f.Kind == hello:
		c.stats.Malformed++
	case c.live == nil || f.Session != c.live.session:
		c.stats.Stale++
		if f.Kind == reset {
			delete(c.parting, f.Session)
		}
	case f.Kind == reset:
		c.end(errorOf(f.Why), f.Why == "closed", now) // who closes waits to hear that we know
	default:
		c.live.fresh(f, now)
		c.follow(c.live, f, now, c.deliver)
		c.tick(now)
	}
}

// welcome begins the session that the hub offers, if it answers what was asked since the last one ended.
func (c *nodeCore) welcome(f *frame, now time.Time) {
	if f.Node != c.name || f.Inc != c.inc || c.live != nil || f.Echo < c.idle || !c.room() {
		c.stats.Stale++
		return
	}
	c.live, c.hub = newStream(&c.opt, f.Session, now, c.born), f.Hub
	c.live.fresh(f, now)
	c.live.ackAt = now // the hub waits for a first frame
	c.stats.Sessions++
	c.event(Event{Kind: Joined})
	c.tick(now)
}

func (c *nodeCore) deliver(m Message) { c.event(Event{Kind: Received, Message: m}) }

func (c *nodeCore) event(e Event) {
	e.Session, e.Incarnation = c.live.session, c.hub
	c.events = append(c.events, e)
}

func (c *nodeCore) end(why error, tell bool, now time.Time) {
	c.event(Event{Kind: Left, Why: why})
	if tell {
		c.emit("", &frame{Kind: reset, Session: c.live.session, Why: reasonOf(why), At: c.clock(now)})
	}
	c.live, c.hub = nil, ""
	c.idle, c.hails, c.next = c.clock(now)+1, 0, now.Add(time.Millisecond)
	if why == ErrReplaced { // two programs with one name must not take it from each other all the time
		c.next = now.Add(10 * c.opt.Resend)
	}
}

func (c *nodeCore) send(session string, m Message, now time.Time) error {
	if c.live == nil || c.live.session != session {
		return ErrNoSession
	}
	m, err := seal(m)
	if err != nil {
		return err
	}
	if err := c.live.push(m); err != nil {
		c.stats.Behind++
		c.end(err, true, now)
		return err
	}
	c.stats.Sent++
	c.tick(now)
	return nil
}

func (c *nodeCore) tick(now time.Time) {
	if c.live != nil {
		c.live.due(now, func(f *frame) { c.emit("", f) }, c.again)
		return
	}
	if now.Before(c.next) {
		return
	}
	c.emit("", &frame{Kind: hello, Node: c.name, Inc: c.inc, Round: c.stats.Sessions, At: c.clock(now)})
	c.hails++
	wait := c.opt.Resend
	for i := 1; i < c.hails && wait < 10*c.opt.Resend; i++ {
		wait *= 2
	}
	c.next = now.Add(min(wait, 10*c.opt.Resend))
}

func (c *nodeCore) deadline() time.Time {
	if c.live != nil {
		return c.live.deadline()
	}
	return c.next
}

func (c *nodeCore) drain(now time.Time) {
	if c.live != nil && c.live.starved {
		c.live.drain(now, c.room, func(m Message) {
			c.stats.Delivered++
			c.deliver(m)
		})
		c.live.ackAt = now
		c.tick(now)
	}
}

func (c *nodeCore) close(now time.Time) {
	if c.live != nil {
		c.parting[c.live.session] = struct{}{}
		c.end(ErrClosed, true, now)
	}
}

// contact is when this node sent the newest frame that the hub is known to have heard.
func (c *nodeCore) contact() (time.Time, bool) {
	if c.live == nil || c.live.echoAt == 0 {
		return time.Time{}, false
	}
	return c.born.Add(time.Duration(c.live.echoAt)), true
}
