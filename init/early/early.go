// Package early takes signals before the program can do anything with them, so that none
// is lost and none ends it: until main asks for a TERM the Go runtime would end the
// program for it, and with it the container whose PID 1 it is.
//
// It has two stages. Packages are initialised in the order of what they import: this one
// imports next to nothing and so is the first, half a millisecond after the start and one or
// more before main. And where there is C, a constructor (hold_cgo.go) catches signals before
// the Go runtime starts.
package early

import "github.com/procguard/procguard/reaper/catch"

// An error leaves signals to the runtime; whoever needs them will meet it again.
func init() {
	useHeld()
	catch.Begin()
}

// Release gives signals back to the Go runtime, with what it wanted for them. What was caught
// is still in catch's queue.
func Release() {
	catch.End()
	release()
}
