// Package timer understands the countdown timers of torch's elastic agent, as its
// client FileTimerClient writes them into a FIFO: one JSON object in a line,
//
//	{"version": 1, "pid": 42, "scope_id": "step", "expiration_time": 1700000000.5, "signal": 9}
//
// where the time is in seconds since the Unix epoch, and a negative one releases the
// timer of that process and scope. A client opens the FIFO for writing without
// waiting, which fails if nobody reads, writes one line and closes it: the FIFO has to
// be there and open before the program starts, and its path in TORCHELASTIC_TIMER_FILE.
// Lines are no longer than PIPE_BUF, and so arrive in one piece.
//
// A timer's signal that is not positive means, there as here, that nothing is to be
// done about its expiry.
//
// The wall clock is asked once, when a line comes; from then on time is monotonic.
package timer
