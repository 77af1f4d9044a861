// Package solo runs one command as a container's init: it passes signals on, reaps whatever
// turns up, and ends with the command.
//
// # What it owns
//
// All signals of the process, its terminal and its children. [Run] is for a process that does
// nothing else and exits when it returns; what it took over is not given back.
//
// # What it promises
//
//   - Every signal that can be caught is passed on, from the moment Run is called: one
//     that comes before or during the fork is delivered after it. Queued (real-time)
//     signals are neither merged nor lost, and keep their value. The kernel merges
//     equal standard signals that are pending; nobody can tell those apart.
//   - Signals go on in the order in which the kernel gave them to us.
//   - No signal reaches a process that was reaped: the command's zombie is kept until the
//     last signal to it was sent.
//   - The command starts with default dispositions and an empty mask, whatever we inherited,
//     with our standard files untouched and every descriptor that was passed to us.
//   - Only the command's own exit counts as its exit.
//   - A child that stops us from being stopped for ever: where a shell with job control
//     started us we stop and continue with the command; as PID 1, where nobody could
//     continue us, a command that the terminal stopped is continued.
//
// # How
//
// The main thread waits for signals, decides (machine.go, which is pure) and acts. A second
// thread blocks in waitid(2): a storm of orphans costs two system calls each and
// wakes nobody. Both put what happens into one pipe.
//
// It imports little and allocates next to nothing, because it is all that runs in a
// container whose command needs no supervisor.
package solo
