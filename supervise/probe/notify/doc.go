// Package notify speaks the receiving side of sd_notify(3): a datagram socket for
// each worker, and what a datagram says.
//
// # Why a file, one for each worker, that everybody may write to
//
// A socket in the abstract namespace is not seen from another network namespace. A
// file is not seen from another mount namespace, but there it can be mounted, and a
// worker shares ProcGuard's mounts far more often than not.
//
// The kernel queues ten datagrams for a socket (net.unix.max_dgram_qlen) and then has
// the sender wait. With one socket for all, a worker that floods it would stop the
// others. A socket of its own also separates a process from its predecessor: what that
// one has left in the queue goes with its socket.
//
// The mode is 0666 because a worker may run as any user, and may change it. It keeps
// nobody out who could not do worse: what is checked is who the sender is, by its pid,
// against mix-ups such as a program that inherits the variable of somebody else.
//
// # What it promises
//
// Nothing that is received can crash it, keep a descriptor open or make it wait. What
// is malformed is counted by Parse, and the rest of the datagram still holds.
package notify
