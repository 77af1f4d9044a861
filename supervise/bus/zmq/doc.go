// Package zmq is the bus over ZeroMQ: requests at tcp://host:port_base, events at the port after it.
//
// It owns its ZeroMQ context and two sockets, and nothing else touches them: one goroutine does, and sleeps in poll(2)
// until a peer or an answer wakes it. There are no timers and no periodic wake-ups.
//
// The request socket is a ROUTER and speaks to REQ clients as a REP would. A REP can hold one request at a time: a
// command that takes its time would then hold up every worker's heartbeat. Events are sent by a PUB socket as two frames,
// the topic and one JSON object.
//
// It promises what package bus does. Frames longer than [bus.MaxFrame] cost the peer its connection. A message whose
// envelope has no empty delimiter frame cannot be answered, because what follows the address is unknown; it is counted
// and dropped, as REP does.
//
// The adapter needs cgo and the build tag zmq, which the Makefile sets; without them New returns [bus.ErrUnavailable].
package zmq
