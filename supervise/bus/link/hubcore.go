package link

import (
	"slices"
	"time"
)

// hubCore is the hub's side.
type hubCore struct {
	base
	peers    map[string]*peer // by the node's name
	sessions map[string]*peer // by session, live and offered
	nextAt   time.Time        // no peer has anything to do before it
}

// peer is a node.
type peer struct {
	name  string
	route string
	inc   string
	live  *stream // nil: no session
	at    time.Time

	offers []offer // not used yet, the newest last
}

// offer is a session that a run of a node may begin. There are several, so that a late hello of an earlier run cannot
// take away what the present one has just been offered.
type offer struct {
	session, inc string
	round        uint64 // of the hello that it answers
}

const maxOffers = 4

func newHubCore(o Options, now time.Time) *hubCore {
	c := &hubCore{base: newBase(o, now), peers: map[string]*peer{}, sessions: map[string]*peer{}, nextAt: now.Add(time.Hour)}
	c.relieved = c.drain
	return c
}

func (c *hubCore) connected(time.Time) {}

func (c *hubCore) receive(p Packet, now time.Time) {
	f := c.open(p)
	switch {
	case f == nil:
	case f.Kind == hello:
		c.greet(p, f, now)
	case f.Kind == welcome:
		c.stats.Malformed++
	default:
		c.inSession(p, f, now)
	}
}

// greet offers a session. The one that is in progress goes on until the offer is used: a hello may be late, or sent by
// someone who cannot hear the answer.
func (c *hubCore) greet(p Packet, f *frame, now time.Time) {
	if p.Name != "" && p.Name != f.Node {
		c.forged(p, f.Node)
		return
	}
	n := c.peer(f.Node)
	if n == nil {
		c.refuse(p, f.Node, "there are too many nodes")
		return
	}
	if session := c.offer(n, f); session != "" {
		c.emit(p.Route, &frame{Kind: welcome, Node: f.Node, Inc: f.Inc, Hub: c.inc, Session: session, At: c.clock(now), Echo: f.At})
	}
}

// offer is the session for a hello: the same one for the same hello again, none for one that is older than another.
func (c *hubCore) offer(n *peer, f *frame) string {
	i := slices.IndexFunc(n.offers, func(o offer) bool { return o.inc == f.Inc })
	switch {
	case i >= 0 && n.offers[i].round == f.Round:
		return n.offers[i].session
	case i >= 0 && n.offers[i].round > f.Round:
		c.stats.Stale++
		return ""
	case i >= 0:
		c.withdraw(n, i)
	case len(n.offers) == maxOffers:
		c.withdraw(n, 0)
	}
	o := offer{c.opt.Rand(), f.Inc, f.Round}
	n.offers = append(n.offers, o)
	c.sessions[o.session] = n
	return o.session
}

func (c *hubCore) withdraw(n *peer, i int) {
	delete(c.sessions, n.offers[i].session)
	n.offers = slices.Delete(n.offers, i, i+1)
}

func (c *hubCore) forged(p Packet, node string) {
	c.stats.Forged++
	c.refuse(p, p.Name, "the key of "+p.Name+" was used to speak for "+node)
}

// peer finds or makes the record of a node. Where there are too many, one without a session makes room.
func (c *hubCore) peer(name string) *peer {
	if n := c.peers[name]; n != nil {
		return n
	}
	if len(c.peers) >= c.opt.Nodes && !c.evict() {
		return nil
	}
	n := &peer{name: name}
	c.peers[name] = n
	return n
}

func (c *hubCore) evict() bool {
	for name, n := range c.peers {
		if n.live == nil {
			for len(n.offers) > 0 {
				c.withdraw(n, 0)
			}
			delete(c.peers, name)
			return true
		}
	}
	return false
}

func (c *hubCore) inSession(p Packet, f *frame, now time.Time) {
	n := c.sessions[f.Session]
	if n == nil {
		c.stats.Stale++
		if f.Kind == reset {
			delete(c.parting, f.Session)
		} else {
			c.emit(p.Route, &frame{Kind: reset, Session: f.Session, Why: "unknown"})
		}
		return
	}
	if p.Name != "" && p.Name != n.name {
		c.forged(p, n.name)
		return
	}
	if !n.on(f.Session) && (f.Kind == reset || !c.begin(n, f.Session, p, now)) {
		return
	}
	if f.Kind == reset {
		c.end(n, errorOf(f.Why), f.Why == "closed", now) // who closes waits to hear that we know
		return
	}
	if n.live.fresh(f, now) {
		n.route = p.Route
	}
	c.follow(n.live, f, now, func(m Message) { c.event(n, Event{Kind: Received, Message: m}) })
	c.touch(n, now)
}

// on tells whether the session is in progress; if not, it is an offer.
func (n *peer) on(session string) bool { return n.live != nil && n.live.session == session }

// begin makes an offer the session. It waits for room, so that a node that comes and goes cannot fill the queue.
func (c *hubCore) begin(n *peer, session string, p Packet, now time.Time) bool {
	if !c.room() {
		return false
	}
	i := slices.IndexFunc(n.offers, func(o offer) bool { return o.session == session })
	o := n.offers[i]
	n.offers = slices.Delete(n.offers, i, i+1)
	if n.live != nil {
		why := ErrReplaced
		if n.inc == o.inc {
			why = ErrRestarted
		}
		c.end(n, why, true, now)
	}
	n.live, n.inc, n.route = newStream(&c.opt, session, now, c.born), o.inc, p.Route
	c.stats.Sessions++
	c.event(n, Event{Kind: Joined})
	return true
}

// end ends the session in progress; tell says whether the node does not know yet.
func (c *hubCore) end(n *peer, why error, tell bool, now time.Time) {
	delete(c.sessions, n.live.session)
	c.event(n, Event{Kind: Left, Why: why})
	if tell {
		c.emit(n.route, &frame{Kind: reset, Session: n.live.session, Why: reasonOf(why), At: c.clock(now)})
	}
	n.live, n.inc = nil, ""
}

func (c *hubCore) event(n *peer, e Event) {
	e.Peer, e.Session, e.Incarnation = n.name, n.live.session, n.inc
	c.events = append(c.events, e)
}

func (c *hubCore) send(session string, m Message, now time.Time) error {
	n := c.sessions[session]
	if n == nil || !n.on(session) {
		return ErrNoSession
	}
	m, err := seal(m)
	if err != nil {
		return err
	}
	if err := n.live.push(m); err != nil {
		c.stats.Behind++
		c.end(n, err, true, now)
		return err
	}
	c.stats.Sent++
	c.touch(n, now)
	return nil
}

// touch sends what is due to a node.
func (c *hubCore) touch(n *peer, now time.Time) {
	if now.Sub(n.live.heardAt) >= c.opt.Forget {
		c.end(n, ErrSilent, true, now)
		return
	}
	n.live.due(now, func(f *frame) { c.emit(n.route, f) }, c.again)
	n.at = n.live.deadline()
	if t := n.live.heardAt.Add(c.opt.Forget); t.Before(n.at) {
		n.at = t
	}
	if n.at.Before(c.nextAt) {
		c.nextAt = n.at
	}
}

func (c *hubCore) tick(now time.Time) {
	c.nextAt = now.Add(time.Hour)
	for _, n := range c.peers {
		switch {
		case n.live == nil:
		case n.at.After(now):
			if n.at.Before(c.nextAt) {
				c.nextAt = n.at
			}
		default:
			c.touch(n, now)
		}
	}
}

func (c *hubCore) deadline() time.Time { return c.nextAt }

// drain delivers what had to wait for room.
func (c *hubCore) drain(now time.Time) {
	for _, n := range c.peers {
		if n.live != nil && n.live.starved {
			n.live.drain(now, c.room, func(m Message) {
				c.stats.Delivered++
				c.event(n, Event{Kind: Received, Message: m})
			})
			n.live.ackAt = now
			c.touch(n, now)
		}
	}
}

func (c *hubCore) close(now time.Time) {
	for _, n := range c.peers {
		if n.live != nil {
			c.parting[n.live.session] = struct{}{}
			c.end(n, ErrClosed, true, now)
		}
	}
}

// contact is when a node was last heard.
func (c *hubCore) contact(node string) (time.Time, bool) {
	n := c.peers[node]
	if n == nil || n.live == nil {
		return time.Time{}, false
	}
	return n.live.heardAt, true
}
