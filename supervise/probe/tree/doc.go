// Package tree adds up what whole process trees use: a leader, its children, theirs,
// and those of them that have lost their parent.
//
// # What it owns
//
// A table of the processes that it has seen, and nothing else: no descriptor stays
// open, and no goroutine runs. One scan of /proc serves all leaders. Processes that
// belong to none of them are read again only at every eighth scan, so that a small
// job on a large machine costs little.
//
// # Who belongs to a leader
//
// Whoever has it as parent, or somebody who belongs to it; else whoever is in the
// process group or in the session that the leader leads. Who belonged to it once
// still does when its parent has ended. A process that leaves its group, its session
// and its parent between two scans is not seen; the reaper finds it when it counts,
// by its marker.
//
// # What it promises
//
//   - CPU time never falls. A child that ends takes nothing with it: what its
//     parent inherits is counted once, and what nobody inherits is kept.
//   - Resident memory is the sum over the processes, as in ps(1): pages that they
//     share count several times.
//   - Input and output are what /proc/PID/io calls read_bytes and write_bytes, of
//     the processes whose file may be read.
//
// # What the caller owes
//
// One call at a time, and the leaders' own numbers, which it has read already, in
// Tree.Own before each look.
package tree
