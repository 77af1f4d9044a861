// Package supervise runs a fleet of workers: it owns the loop that feeds the
// pure machine (package fleet) with what happens and carries out what it
// decides, and it is the library's face.
//
//	cfg, err := supervise.Load("procguard.yaml")
//	g, err := supervise.New(cfg, supervise.Options{})
//	outcome, err := g.Run(ctx) // until all work is done, it gives up, or ctx ends
//
// It promises:
//
//   - One goroutine, the one in Run, owns the machine. Everybody else sees copies.
//   - An exit is never dropped. Of heartbeats the newest per worker is kept.
//   - Records are on disk before what they justify is done, unless the disk does
//     not answer within state.sync_timeout; then supervision goes on and Status
//     says what is degraded.
//   - Events have sequence numbers and come in the order in which the machine
//     decided. A subscriber that does not keep up loses the oldest and is told
//     how many; it can never make the loop wait.
//   - When Run returns, none of its workers is left, but for those the outcome
//     names as unkillable.
//
// What the caller owes: one Guard runs at a time in a process, because a process
// has one set of children; nothing else in it may wait for children (os/exec).
package supervise
