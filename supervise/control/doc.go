// Package control is the operator's door: HTTP with JSON on unix sockets, and
// what a person sees of it.
//
// It owns the documents (Status), the server and the client. It decides nothing
// and holds no state: a Backend answers every request with a copy. It promises
// that a client which is slow, or many of them, never makes the backend wait nor
// takes more than a few descriptors, that a socket belongs to its owner alone
// (mode 0600), and that one which may be another procguard's is left as it is.
//
// The caller owes a Backend that may be called from several goroutines.
package control
