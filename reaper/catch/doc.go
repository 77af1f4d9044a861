// Package catch takes signals by a handler of its own and queues them, with all that the
// kernel tells of them, in a pipe.
//
// Why not os/signal: it remembers one bit per signal, so queued real-time signals become one;
// it hands them out in the order of their numbers; and each signal that is asked for costs a
// hand-over between two threads, 25 us, 1.6 ms for all. A handler of our own costs
// one system call each. It is 30 lines of assembler, because the kernel calls it on any
// thread of ours, where no Go code may run.
//
// The package imports nothing, so that it can be initialised, and be of use, before
// everything else: see package early of the program.
//
// [Begin] is called on the main thread. The runtime's handlers are called on from ours for
// what is about the program itself: its faults, and what it sends to its own threads.
package catch
