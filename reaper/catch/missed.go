package catch

import "sync/atomic"

// TakeMissed gives the signals for which the queue had no room since the last call: each
// of them came at least once.
func TakeMissed() uint64 { return atomic.SwapUint64(&missed, 0) }
