// Package probe watches for all that is not death: heartbeat files, readiness
// checks, health checks, and workers that live but do nothing any more. Death is
// the reaper's; a process that cannot be found is ignored here.
//
// # What it owns
//
// One inotify instance with one watch on one directory, one open /proc/PID/stat
// per sampled worker, and two goroutines however many workers there are: the
// scheduler, which samples, starts checks and reports, and the reader of inotify.
// Each check in progress is one short goroutine, at most one per worker and a
// bounded number in all.
//
// # What it promises
//
//   - Callbacks come one at a time, from one goroutine, in the order in which
//     things were seen. The heartbeat that makes a worker ready comes after
//     OnReady. OnReady comes at most once per Watch, and so does OnJudged: after
//     a verdict the worker is only sampled.
//   - With nothing to sample, to poll or to check there is no timer and no wake-up.
//   - No method waits for a probe, a check or the file system, but for Sample
//     where samples are not taken anyway (one read of /proc) and Close.
//   - Time is monotonic. If the scheduler itself comes late, because ProcGuard was
//     stopped, frozen or starved, nobody is judged by the time that it missed.
//   - What fails around it (no inotify, no /proc, no descriptors) is logged once,
//     and the rest goes on: heartbeat files are then polled every interval,
//     workers without samples are not judged by them.
//
// # Verdicts
//
// A worker is first judged when it is ready; until then its startup time-out
// rules, which is not ours. There are two verdicts:
//
//   - Unresponsive: the health check has succeeded before, and then failed at
//     least twice in a row and for HeartbeatTimeout, counted from the start of the
//     first check that failed.
//   - Zombie, the soft kind: the process lives, but gives no heartbeat (and has
//     given one since it was ready), prints nothing, has used less than
//     CPUThreshold since it fell silent and less than MemoryThreshold of memory,
//     all that for HeartbeatTimeout less a tenth, or less 200 ms where that is
//     shorter. The fleet keeps the heartbeat deadline and would call the same
//     worker unresponsive at HeartbeatTimeout, so this has to come just before.
//     One that is runnable, traced by a debugger or waits for a child of its own
//     is not idle. Little CPU alone convicts nobody, nor does much.
//
// # What the caller owes
//
//   - Callbacks return soon and do not call Close. They may come for a worker
//     for which Unwatch has just been called: match the generation.
//   - Watch after the process was made and Unwatch when it has ended. The
//     heartbeat file of an earlier process was removed before the process was
//     made: that it exists is taken as this one's first heartbeat.
//   - Subject.Activity is quick, and safe from another goroutine.
//   - Options.Exec returns when its context has ended.
package probe
