// Package probe watches for all that is not death: heartbeat files, readiness
// checks, health checks, and workers that live but do nothing any more. Death is
// the reaper's; a process that cannot be found is ignored here.
//
// # What it owns
//
// One inotify instance with one watch on one directory, one epoll set with a socket and
// a FIFO for each worker that has them, one open /proc/PID/stat per sampled worker, and
// three goroutines however many workers there are: the scheduler, which samples, starts
// checks and reports, and the readers of inotify and of the epoll set. Each check in
// progress, each look at a worker that is about to be judged and each look at a progress
// file is one short goroutine, a bounded number for each worker.
//
// The rooms below it: notify speaks sd_notify, timer understands torch's timers, tree
// adds up process trees.
//
// # Signs of life
//
// A heartbeat comes by file, by WATCHDOG=1 or by a line that matches. Output, a step
// that grew, CPU time and any message of sd_notify are signs of life that keep a worker
// from being taken for a zombie; they do not move the fleet's heartbeat deadline. A
// worker that asks for time (EXTEND_TIMEOUT_USEC, a phase with a length, Prober.Extend)
// is not judged by silence before that has passed.
//
// Samples are of the whole tree of a worker's processes. A leader that waits for a busy
// child is not idle.
//
// # What it promises
//
//   - Callbacks come one at a time, from one goroutine, in the order in which
//     things were seen. The heartbeat that makes a worker ready comes after
//     OnReady. OnReady comes at most once per Watch. OnJudged comes at most once for
//     silence, until OnCleared, and at most once for what silence is not: after that
//     the worker is only sampled. Independently of both it comes at most once for
//     MaxMemory or MaxCPU.
//   - However fast a worker sends, there is at most one report of it on its way, with
//     the newest that it has said.
//   - With nothing to sample, to poll or to check there is no timer and no wake-up.
//   - No method waits for a probe or a check, but for Explain, for Sample where
//     samples are not taken anyway (one scan of /proc) and Close. OpenNotify and
//     OpenTimer make a file, Watch may.
//   - Time is monotonic. If the scheduler itself comes late, because ProcGuard was
//     stopped, frozen or starved, nobody is judged by the time that it missed.
//   - What fails around it (no inotify, no /proc, no descriptors) is logged once, and
//     named by Degraded, and the rest goes on: heartbeat files are then polled every
//     interval, workers without samples are not judged by them.
//
// # Verdicts
//
// A worker is first judged when it is ready; until then its startup time-out
// rules, which is not ours. The verdicts are:
//
//   - Unresponsive: the health check has succeeded before, and then failed at
//     least twice in a row and for HeartbeatTimeout, counted from the start of the
//     first check that failed. Or it has printed nothing for LogSilence, after it had
//     printed something. Or a timer of torch's has run out, or it said WATCHDOG=trigger.
//   - Log: a line matched the fail pattern.
//   - Zombie, the soft kind: the process lives, but gives no heartbeat (and has
//     given one since it was ready), shows no other sign of life, and its tree has used
//     less than CPUThreshold since it fell silent and less than MemoryThreshold of
//     memory, all that for HeartbeatTimeout less a tenth, or less 200 ms where that is
//     shorter. The fleet keeps the heartbeat deadline and would call the same
//     worker unresponsive at HeartbeatTimeout, so this has to come just before.
//     One of whose processes one is runnable or traced by a debugger is not idle.
//     Little CPU alone convicts nobody, nor does much.
//   - Over a limit: MaxMemory in three samples in a row, and if there are children also
//     by the proportional set size, which counts shared pages once; MaxCPU on average
//     over its window. The detail names value and limit.
//
// But for the zombie's, whose deadline is near, a verdict is preceded by a look at the
// process of 200 ms, which says what it does: Look.
//
// # What the caller owes
//
//   - Callbacks return soon and do not call Close. They may come for a worker
//     for which Unwatch has just been called: match the generation.
//   - OpenNotify and OpenTimer before the process is made, Watch after that, and
//     Unwatch when it has ended. The heartbeat file of an earlier process was removed
//     before the process was made: that it exists is taken as this one's first heartbeat.
//   - Extend for phases whose length is configured rather than announced, or their
//     silence is held against the worker.
//   - Subject.Activity is quick, and safe from another goroutine.
//   - Options.Exec returns when its context has ended.
package probe
