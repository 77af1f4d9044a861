// Package zmq is the bus over ZeroMQ: requests at tcp://host:port_base, events at the port after it. It also has the
// carriers of package link, [OpenHub] and [OpenNode].
//
// A bus or carrier owns its ZeroMQ context and its sockets, and nothing else touches them: one goroutine does, and
// sleeps in poll(2) until a peer, an answer or (a node that is connecting) the time wakes it. With keys there is one
// more, the gate, which owns the socket on which ZeroMQ asks who may come in (ZAP, RFC 27).
//
// The request socket is a ROUTER and speaks to REQ clients as a REP would. A REP can hold one request at a time: a
// command that takes its time would then hold up every worker's heartbeat. Events are sent by a PUB socket as two frames,
// the topic and one JSON object.
//
// It promises what package bus does. Frames longer than [bus.MaxFrame] cost the peer its connection. A message whose
// envelope has no empty delimiter frame cannot be answered, because what follows the address is unknown; it is counted
// and dropped, as REP does. With keys every socket is a CURVE server, and a key gets in only where it has a right; who
// does not get in is reported once, with the address.
//
// A node's carrier has at most one connection. ZeroMQ's own reconnecting is off: each connection is a new socket to a
// name that is resolved anew, because a container that comes back may have another address.
//
// The adapter needs cgo and the build tag zmq, which the Makefile sets; without them all of it answers
// [bus.ErrUnavailable].
package zmq
