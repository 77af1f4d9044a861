// Package bustest is the conformance test of bus adapters: what every one of them must do, seen from outside, through
// the frames that go in and come out. An adapter's test calls [Run] with a way to start it and to talk to it.
package bustest
