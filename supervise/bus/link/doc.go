// Package link carries messages between one hub and many nodes, reliably and in order, over a carrier that may lose,
// repeat, reorder and delay them: doc/protocol.md has the wire format.
//
// It owns the protocol: frames, sessions, sequence numbers, acknowledgement, re-sending. The protocol itself is a
// machine without clocks, goroutines or sockets (hubCore, nodeCore), which an engine drives over a [Carrier]. The
// carriers are in bus/mock and bus/zmq; one conformance test in linktest runs over both.
//
// A *session* joins one run of a node to one run of the hub. It begins with a handshake in which the hub chooses the
// session's random name, so that nothing late or repeated from an earlier run can be taken for the present one. It
// outlives connections: a network that comes back finds it as it was. It ends when either side ends or restarts, when
// a side is too far behind, or when the node has been silent for Options.Forget. The next handshake begins anew.
//
// It promises:
//
//   - Within a session each message is delivered exactly once and in the order of the sends, in both directions. What
//     was not delivered when a session ended is lost, and both sides are told of the end: [Joined] is the moment for
//     each side to say how things stand.
//   - Every Joined is followed by the session's messages and at last one [Left]; nothing of another session is between
//     them on a node, and nothing of another session of that node on the hub.
//   - Memory is bounded, whatever peers do: by Options.Window and WindowBytes for each session, Options.Nodes, and
//     Options.Queue for what the program has not yet taken. A peer that does not keep up costs the session
//     ([ErrBehind]), never memory.
//   - Send and Contact never wait for the network or for a peer.
//   - Where the carrier knows whose key a frame came with, a frame that speaks for another node is dropped, counted and
//     reported.
//   - [Node.Contact] is safe for a lease: it is the time at which this node *sent* what the hub is known to have heard,
//     so that a frame which the network kept for a minute extends nothing. [Hub.Contact] is the time of receipt.
//
// The caller owes an empty Events channel within reasonable time. Epoch and Lease of a message mean nothing here.
package link
