// Package bus is the communication adapter: how programs outside ProcGuard speak to it with the wire shape of the
// original, and hear what happens.
//
// It owns the wire format and its rules, shared by every adapter: [Decode], [Options.Check] and the [Responder].
// The adapters are bus/mock (in process, the default) and bus/zmq (ZeroMQ over TCP). One conformance test, in
// bus/bustest, runs against both. Package bus/curve has the keys and rights, and package bus/link carries messages
// between ProcGuards, over carriers that both adapters have.
//
// A request is a JSON object {"command", "worker_id", "kwargs"} and gets exactly one answer,
// {"worker_id", "status", "timestamp"}; a request that cannot be served is answered with status "error" and an
// "error" text. A heartbeat is the command "heartbeat". Events are published as a topic and a JSON object, to whoever
// subscribed to a prefix of the topic.
//
// It promises:
//
//   - Every request that was read is answered within Options.Timeout, whatever the handler does, as long as the peer
//     is there to receive the answer.
//   - Nothing a peer sends can stop the bus or make it use unbounded memory: sizes, frames and requests in progress
//     are limited, and what is refused is counted in [Stats].
//   - [Bus.Publish] never blocks. A subscriber that is too slow, and a queue that is full, lose events, and the queue's
//     losses are counted.
//   - With Options.Keys a request reaches the handler only if the peer's key has the right to it.
//   - [Bus.Close] returns after the last handler did, and leaves no goroutine behind.
//
// The caller owes a [Handler] that may be called by several goroutines at once and returns soon after its context ends.
// Requests of one peer are handled in order only if the peer waits for each answer, as a REQ socket does.
package bus
