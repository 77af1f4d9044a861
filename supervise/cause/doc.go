// Package cause names what ended a worker: a class that a program can act on, a
// sentence that a person understands, a signature that stays the same when the
// same thing happens again, and how sure it is. Of several workers that died
// together it names the first, and says of each other why it is collateral.
//
// It is pure: facts in, verdicts out. It reads no file and no clock; whoever
// collects the facts (package evidence, the reaper, the probes) fills in a Death.
// A fact that is not known is left at its zero value, and a verdict never claims
// what would need it: where the counters of the OOM killer could not be read, a
// SIGKILL from outside says so, and its confidence is lower.
//
// What the caller owes: the deaths given to Decide together are those of one
// group within one window, a few seconds at most; it looks at all of them as one
// story. Their texts are the last lines of output, the oldest first; 200 lines of
// each worker are ample.
package cause
