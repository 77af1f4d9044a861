// Package reaper is the only code of the program that forks, waits and kills.
//
// # What it owns
//
// Pids, process groups, zombies, orphans and pidfds. One goroutine on its own
// thread blocks in waitid(2); nothing polls, but for an adopted process where there is
// no pidfd, and a zombie that may be that of a Spawn on its way. For each dead child it peeks
// (WNOWAIT), sweeps (while the child is a zombie neither its pid nor its group
// can be reused, so what it left behind can be killed safely) and reaps
// (wait4(2), which yields the raw wait status and the rusage).
//
// # What it promises
//
//   - The death of each process that [Reaper.Spawn] returned is reported
//     exactly once, by one [Exit]. If something of it was still there at that
//     time (a child in its group, a daemon that left its session) that is
//     killed, and one [Gone] follows when nothing is left. Exit.Gone says that
//     there was nothing, and that no Gone follows.
//   - Exit comes before Gone; events about different processes come in the order
//     in which the kernel showed them. Events are delivered one at a time.
//   - An Exit may be delivered before the Spawn it belongs to has returned:
//     match it by ID and Gen, which the caller chose.
//   - No signal goes to a pid that was reaped, nor to one that was reused.
//   - Children of nobody we know (orphans, docker exec, failed execs) are reaped
//     and counted, and left alone while they live. What belongs to a worker is
//     told by its group, its session, its marker variable, its cgroup and its recorded
//     ancestors; that we are the parent never convicts.
//   - Children start with default signal dispositions, an empty signal mask, the
//     original RLIMIT_NOFILE and no descriptors but those they were given.
//
// # What the caller owes
//
//   - Nothing else in the program may wait for children: os/exec,
//     os.StartProcess and wait4(-1) would compete for statuses. For helper
//     commands there is [Reaper.Run].
//   - Callbacks run on the waiter and hold up every other exit: they append to
//     a queue and return. They must not call Close or Run.
//   - A leftover in uninterruptible sleep keeps its worker pending for as long as
//     it lasts. The caller owns the time-out; [Describe] gives the evidence.
//   - The package re-executes /proc/self/exe with argv[0] "procguard-exec" for a
//     [Spec] with umask, nice, limits, affinity or an OOM score, which must be set
//     between fork and exec; its init function takes over in that process.
//
// # How a leftover is known
//
// By its group, its session, its marker variable (root reads that of other users' processes
// as that user, which takes no CAP_SYS_PTRACE), by a chain of parents that was recorded
// while it held (see [Reaper.Survey]), and, with [Spec.Cgroup], by its cgroup: that alone
// is complete, and one write kills it.
//
// # What it cannot see
//
// Without a cgroup, a process that left both its group and its session, dropped or overwrote
// its environment, and lost its parent before anybody recorded it, cannot be told from an
// orphan of somebody else; it is left alone. The same holds for a process that
// takes more than a second for its exec while its worker dies, and, where /proc is
// missing, for everything that left its group. A process that was moved out of its
// cgroup by root counts as if it had none.
package reaper
