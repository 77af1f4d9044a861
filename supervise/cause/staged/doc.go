// Package staged makes workers die, each in a way of its own: small programs that
// really produce a death, with what the verdict on it must be. It is for tests:
// those of evidence and cause run each program by themselves, those of the loop
// run it as a worker.
//
// A case's program is one argv. Its files must be written into an empty directory
// first, which is its working directory; "{dir}" in arguments and files is
// replaced by that directory.
package staged
