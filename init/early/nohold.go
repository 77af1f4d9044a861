//go:build !cgo || race

package early

// Without C nothing of ours runs before the Go runtime does.
func useHeld() {}
func release() {}
