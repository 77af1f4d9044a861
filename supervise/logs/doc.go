// Package logs carries what workers print: from two anonymous pipes per worker
// to the container's own stdout and stderr, to files, and to a short tail in
// memory for incidents.
//
// What it owns: the read ends of the pipes, the log files, and three or four
// goroutines however many workers there are - one reader with its own epoll set and
// one 64 KiB buffer, one writer for all files, one writer per console
// destination. It has no timer and wakes for nothing unless output arrived, a
// worker finished, or a line without an end waits to be shown.
//
// What it promises:
//
//   - A worker never waits for a sink. The reader copies into bounded queues; a
//     queue that is full drops, counts, and leaves a mark exactly where the gap
//     is. One worker may fill at most half of a queue, so a flood does not
//     silence the others.
//   - A line is never cut by another worker's line on the console. Lines longer
//     than 64 KiB go out in pieces; a piece that continues a line carries
//     "[worker+]" in text and every piece but the last `"partial":true` in JSON.
//   - Order is kept within a stream. Between the two streams of a worker, and
//     between workers, order is the order of reading.
//   - Text files hold the worker's bytes as written. Marks of ProcGuard's are
//     lines that begin with "[procguard]".
//   - End of file is never taken for death. The child's ends are opened for
//     reading and writing: the worker itself keeps the pipe alive, so it gets no
//     SIGPIPE when the supervisor is killed, and the next supervisor opens the
//     same pipe again through /proc/PID/fd (Adopt). What was still in the pipe
//     is read then. What the dead supervisor had already read but not yet
//     written, some milliseconds of output, is lost with it.
//
// Carriage returns: "\r\n" ends a line. A lone "\r" begins an update of the same
// line, as progress bars do: the console shows the newest state at most once a
// second and when the line ends; tail, OnLine and JSON lines see the last state
// only; text files keep every byte.
//
// A line without an end (a prompt) is shown when it has been still for 200 ms.
//
// What the caller owes: CloseChildEnds after the fork, whether it succeeded or
// not; Finish when the process is gone, as learned from wait, never from this
// package; an OnLine that is quick and calls nothing of this package; Close at
// the end.
package logs
