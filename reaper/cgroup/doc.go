// Package cgroup gives each worker a cgroup (v2) of its own, where we may have one: a
// process leaves it in no way that an unprivileged program has, so that what a worker
// left behind is known without guessing, and is killed by one write.
//
// # What it owns
//
// The cgroups "procguard-*" below our own, and, if [Options.Controllers] asks for it,
// the leaf "procguard.self", into which the processes of our own cgroup are moved: the
// kernel lends controllers only to the children of a cgroup that has no processes.
//
// # What it promises
//
//   - [Detect] finds a hierarchy that may be used, or says why there is none. It writes
//     nothing that it does not take back, without Options.Controllers.
//   - [Group.Kill] returns when every process of the group has KILL pending, those that are
//     being forked included. Kernels before 5.14 have no cgroup.kill: there the group
//     is frozen while its processes are killed one by one.
//   - A Group is nobody's but its maker's until Remove. Its methods may be called from several
//     goroutines, but none after Remove.
//
// # What the caller owes
//
//   - Remove, after the last process has died. It fails while there is one.
//   - Sweep at the start: groups of an earlier run that was killed are still there.
package cgroup
