package sim

import (
	"math/rand/v2"
	"time"
)

// dice is the only source of chance in a world.
type dice struct{ *rand.Rand }

// newDice gives the stream of numbers of a seed. Streams with different names
// are independent, so that one more draw in one of them leaves the rest alone.
func newDice(seed, stream uint64) dice {
	return dice{rand.New(rand.NewPCG(seed, stream))}
}

func (d dice) chance(p float64) bool { return p > 0 && d.Float64() < p }

// between is a time in [lo, hi).
func (d dice) between(lo, hi time.Duration) time.Duration {
	if hi <= lo {
		return lo
	}
	return lo + time.Duration(d.Int64N(int64(hi-lo)))
}

// within is an exponentially distributed time with the given mean: the time
// until something that may happen at any moment.
func (d dice) within(mean time.Duration) time.Duration {
	return time.Duration(d.ExpFloat64() * float64(mean))
}

// lag is how long a message, a fork or a kill takes: mostly nothing to speak
// of, sometimes as long as on a machine that swaps.
func (d dice) lag() time.Duration {
	switch n := d.IntN(100); {
	case n < 60:
		return time.Duration(d.IntN(300)) * time.Microsecond
	case n < 98:
		return time.Duration(d.IntN(5000)) * time.Microsecond
	}
	return time.Duration(d.IntN(400)) * time.Millisecond
}

func pick[T any](d dice, from ...T) T { return from[d.IntN(len(from))] }
