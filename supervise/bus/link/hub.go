package link

import (
	"errors"
	"fmt"
	"time"
)

// Hub is the one side that all nodes speak to. All methods may be called by several goroutines at once.
type Hub struct {
	core   *hubCore
	engine *engine
}

// NewHub opens a hub.
func NewHub(o Options, open Open) (*Hub, error) {
	c := newHubCore(o, time.Now())
	e, err := start(c, open)
	if err != nil {
		return nil, fmt.Errorf("cannot open the link's hub: %w", err)
	}
	return &Hub{c, e}, nil
}

// Send queues a message for the node of a session. It fails with ErrNoSession if that is over, with ErrBehind if this
// message ends it, with ErrMessage or with ErrClosed.
func (h *Hub) Send(session string, m Message) error { return h.engine.send(session, m) }

// Events is where sessions and messages arrive; it is closed by Close.
func (h *Hub) Events() <-chan Event { return h.engine.events }

// Incarnation is the name of this run.
func (h *Hub) Incarnation() string { return h.core.inc }

// Contact is when the newest frame of a node was received. It is false if the node has no session.
func (h *Hub) Contact(node string) (time.Time, bool) {
	h.engine.mu.Lock()
	defer h.engine.mu.Unlock()
	return h.core.contact(node)
}

// Stats returns the counters.
func (h *Hub) Stats() Stats { return h.engine.stats() }

// Close ends all sessions and tells their nodes, as far as they can be reached at once. It may be called again.
func (h *Hub) Close() error { return h.engine.close() }

// Node is the side that speaks to one hub. All methods may be called by several goroutines at once.
type Node struct {
	core   *nodeCore
	engine *engine
}

// NewNode opens a node and looks for its hub from then on; [Joined] says when there is a session.
func NewNode(name string, o Options, open Open) (*Node, error) {
	if name == "" || len(name) > maxName {
		return nil, errors.New("cannot open the link: the node's name is empty or too long")
	}
	c := newNodeCore(name, o, time.Now())
	e, err := start(c, open)
	if err != nil {
		return nil, fmt.Errorf("cannot open the link of %s: %w", name, err)
	}
	return &Node{c, e}, nil
}

// Send is as Hub.Send.
func (n *Node) Send(session string, m Message) error { return n.engine.send(session, m) }

// Events is where sessions and messages arrive; it is closed by Close.
func (n *Node) Events() <-chan Event { return n.engine.events }

// Incarnation is the name of this run.
func (n *Node) Incarnation() string { return n.core.inc }

// Contact is when this node sent the newest frame that the hub is known to have received in this session: the safe
// start of a lease. It is false where there is none.
func (n *Node) Contact() (time.Time, bool) {
	n.engine.mu.Lock()
	defer n.engine.mu.Unlock()
	return n.core.contact()
}

// Stats returns the counters.
func (n *Node) Stats() Stats { return n.engine.stats() }

// Close ends the session and tells the hub, as far as it can be reached at once. It may be called again.
func (n *Node) Close() error { return n.engine.close() }
