//go:build race

package sim

// The race detector makes a step ten times as dear, and there is nothing to
// race with in a world.
const seedsByDefault = 25
