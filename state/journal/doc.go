// Package journal keeps a state.Snapshot on a volume: the bytes, and what can
// go wrong with them.
//
// # Files
//
// A state directory holds
//
//	journal-N.jsonl   the truth: JSON lines, each with a CRC-32C. The first is a
//	                  snapshot, the others are records that follow it; N is the
//	                  number of the first one. There is one such segment, and
//	                  two for a moment when the next one takes over.
//	state.json        a copy of the snapshot for people and tools, at most about
//	                  two seconds old; also what the Python original wrote.
//	lock              flock(2)ed by the ProcGuard that uses the directory.
//	journal.torn, *.damaged, state.json.vN
//	                  what a repair or a migration put aside.
//	*.tmp             unfinished; removed when the directory is opened.
//
// A segment is made under a temporary name, synced and renamed, and appended to
// by the process that made it, never by a later one. So only its end can be
// torn by a crash, and an error of the disk is always answered in the same way:
// the segment is abandoned and the next one begins with a new snapshot.
//
// # Promises
//
// Append returns nil only for what a crash cannot take back, and returns in
// SyncTimeout whatever the disk does. Records get to the disk in order: what is
// loaded after a crash is the state after some record, at least the last one
// for which Append returned nil. Damage is found by its checksum; it is an
// error only where no intact copy makes up for it, and Open then changes
// nothing. Nothing is deleted before its replacement is durable. When nothing
// changes the package has no timer and wakes nobody.
//
// Goroutines: one writer, which appends, and one for the duration of an Offer,
// which encodes snapshots, so that records do not wait for that.
//
// # What the caller owes
//
// One goroutine owns the state. It applies a record, appends it, then acts on
// it; after each step, and after each value from Notify, it asks
//
//	if j.Wants() { j.Offer(snap.Clone()) }
//
// and sets its timer by Due. Without Offers a disk that failed is never tried
// again. What must not happen before a record is durable, such as giving work
// to another machine, waits for Durable to reach it.
package journal
