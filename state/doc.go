// Package state is what is true: the durable facts about workers, tasks and
// recoveries, as plain data.
//
// It owns Snapshot (everything known), Record (one change) and Apply (the only
// way to change a Snapshot). It is pure: no clock, no files, no goroutines.
// The same records applied in the same order to the same snapshot give the
// same snapshot, on any machine, so a journal of records is enough to rebuild
// everything after a crash.
//
// It promises that a Snapshot which Apply has touched passes Validate: every
// task has at most one owner, and the tasks a worker lists are those that name
// it as their owner. The caller keeps records in order of Seq.
//
// The JSON of a Snapshot is a public format: `workers`, `tasks` and
// `task_queue` have the shape of the Python original, other keys are ours.
package state
