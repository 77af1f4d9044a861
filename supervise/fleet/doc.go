// Package fleet is the machine that decides: worker states, restart budgets,
// the recovery chain, task and rank assignment, the orderly stop.
//
// It is pure. Step takes the time and one event and returns actions; it never
// waits, never fails, reads no clock and touches nothing outside itself. The
// same machine runs under the supervisor, in the transcripts of testdata, under
// the fuzzer and in the simulation.
//
// What is found out about a living worker goes through one gate: observe, dump,
// act (suspect.go). A sign of life that contradicts the verdict withdraws it as
// long as nothing has been done.
//
// It owns every worker's status, budget and deadline, each group's phase, and
// who owns which task. Only the functions named to… in states.go assign a
// worker's state, only (*Fleet).phase assigns a group's.
//
// What the caller owes: one goroutine calls Step, with times that do not run
// backwards. It carries out the actions in their order. A Persist that comes
// first must be on disk (or known to be impossible for now) before the rest is
// carried out. After each Spawn it gives back Started or SpawnFailed; after each
// Started one Exited, and one Gone unless the Exited said so already; what an
// Exited leaves behind it kills by itself. After a Dump it gives back Dumped, or
// lets the time for it run out. A Judged that still holds may be said again: it
// counts once, and not while the worker has asked for time. When
// Deadline has come it calls Step with Tick. Events of other generations may
// come at any time; they are dropped in one place, (*Fleet).find.
package fleet
