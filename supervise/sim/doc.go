// Package sim is a seeded world for the machine of package fleet: a kernel, a
// clock, a disk, an operator and a ProcGuard, all of them fake, none of them
// reliable. One seed is one world; the same seed always gives the same history.
//
// It owns the faults: processes that crash, hang, ignore signals, leave
// children behind or cannot be killed; spawns that fail; a disk that stalls; a
// clock that leaps; commands at any moment; and the death of ProcGuard itself,
// at random and between any two records or actions.
//
// It promises that whatever the machine asks for is held against the truth of
// the world and not against the machine's own belief: Run fails with the first
// rule that was broken, see check.go and settle.go. Faults end at some point;
// from there on every world must come to rest, and then stop, in bounded time.
//
// The caller owes nothing but the seed. Run starts no goroutines, reads no
// clock and shares nothing, so worlds may run side by side.
package sim
