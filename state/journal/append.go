package journal

import (
	"time"

	"github.com/procguard/procguard/state"
)

// waiter is an Append that waits for its records to be written, or synced.
type waiter struct {
	seq  uint64
	sync bool
	done chan struct{}
}

// Append adds records, which must follow each other and the one before. It
// returns nil once they are written: to the kernel, where a kill of this
// process cannot lose them, or with sync to stable storage, where a power
// failure cannot. With sync and no records it waits for all earlier ones.
//
// An error that matches ErrDegraded means that they are in memory and will get
// to the disk when it works again; the caller goes on. A stalled disk costs the
// caller SyncTimeout once, not each time: see credit. Records are taken over
// also with other errors, which are mistakes in the caller's data; the next
// snapshot then has to make up for them.
func (j *Journal) Append(recs []state.Record, sync bool) error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return ErrClosed
	}
	if err := j.enqueue(recs); err != nil {
		j.mu.Unlock()
		return err
	}
	if j.gap {
		return j.unlockDegraded()
	}
	if j.reached(j.appended, sync) {
		j.mu.Unlock()
		return nil
	}
	j.wantSync = j.wantSync || sync
	j.poke()
	if j.health.has(faultStall) {
		return j.unlockDegraded()
	}
	wait := j.credit.take(j.opt.Now(), j.opt.SyncTimeout)
	w := waiter{j.appended, sync, make(chan struct{})}
	j.waiters = append(j.waiters, w)
	j.mu.Unlock()
	return j.await(w, wait)
}

// enqueue gives the lines of recs to the writer, or only notes that they exist
// while there is nothing that they could be appended to.
func (j *Journal) enqueue(recs []state.Record) error {
	if len(recs) == 0 {
		return nil
	}
	for i := range recs {
		if want := j.appended + 1 + uint64(i); recs[i].Seq != want {
			return &SequenceError{Got: recs[i].Seq, Want: want}
		}
	}
	j.appended = recs[len(recs)-1].Seq
	j.pub.changed(j.opt.Now())
	if j.gap && !j.tailing {
		return nil
	}
	from := len(j.pending)
	lines, err := j.enc.appendRecords(j.pending, recs)
	if err != nil {
		j.breakOff(err)
		return err
	}
	j.keepTail(lines[from:])
	if !j.gap {
		j.pending = lines
		j.boundPending()
	}
	return nil
}

// breakOff gives up appending until a new segment begins.
func (j *Journal) breakOff(err error) {
	j.gap, j.pending, j.tailing, j.tail = true, nil, false, nil
	j.fail(faultJournal, err)
	j.release()
}

func (j *Journal) keepTail(lines []byte) {
	if !j.tailing {
		return
	}
	if len(j.tail)+len(lines) > j.opt.MaxQueue {
		j.tailing, j.tail = false, nil
		return
	}
	j.tail = append(j.tail, lines...)
}

// boundPending drops the queue of a disk that takes nothing: the snapshot that
// the caller will be asked for has it all.
func (j *Journal) boundPending() {
	if len(j.pending) > j.opt.MaxQueue {
		j.gap, j.pending = true, nil
		now := j.opt.Now()
		j.health.set(faultJournal, "the disk takes too little: the queue is full", now)
		j.pub.retry = now
		j.release()
	}
}

func (j *Journal) reached(seq uint64, sync bool) bool {
	if sync {
		return j.durable >= seq
	}
	return j.written >= seq
}

// poke wakes the writer. The caller holds mu, so that wake is not closed.
func (j *Journal) poke() {
	if j.closed {
		return
	}
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// await blocks until w is done, for wait at most.
func (j *Journal) await(w waiter, wait time.Duration) error {
	limit := time.NewTimer(wait)
	defer limit.Stop()
	start := j.opt.Now()
	late := false
	select {
	case <-w.done:
	case <-limit.C:
		late = true
	}
	j.mu.Lock()
	now := j.opt.Now()
	j.credit.spend(now, now.Sub(start), j.opt.SyncTimeout)
	if j.reached(w.seq, w.sync) { // also where it came at the last moment
		j.mu.Unlock()
		return nil
	}
	if late {
		j.forget(w)
		j.stall()
	}
	return j.unlockDegraded()
}

func (j *Journal) forget(w waiter) {
	for i := range j.waiters {
		if j.waiters[i].done == w.done {
			j.waiters = append(j.waiters[:i], j.waiters[i+1:]...)
			return
		}
	}
}

// release ends the waiting of every Append whose records are written, and of
// all of them where they cannot be.
func (j *Journal) release() {
	left := j.waiters[:0]
	for _, w := range j.waiters {
		if j.gap || j.reached(w.seq, w.sync) {
			close(w.done)
		} else {
			left = append(left, w)
		}
	}
	j.waiters = left
}

// stall notes that the disk is too slow to wait for. The writer takes it back
// when it has caught up.
func (j *Journal) stall() {
	j.health.set(faultStall, "the disk does not answer in time", j.opt.Now())
}

// unlockDegraded ends an Append that goes on in memory.
func (j *Journal) unlockDegraded() error {
	err := &DegradedError{Why: j.health.why(), Since: j.health.since()}
	j.mu.Unlock()
	j.reportHealth()
	return err
}

// credit bounds how long a slow disk may hold up its caller in all: a recovery
// makes several Appends in a row, and the promise is SyncTimeout for the lot.
// What a sound disk takes, up to a fiftieth of SyncTimeout each time, is free
// and always granted: many quick writes must not use up the credit, and a disk
// that has just healed must not be called stalled unasked. One tenth of the
// time that passes comes back, so that a slow disk is waited for now and then.
type credit struct {
	left time.Duration
	at   time.Time
}

func free(limit time.Duration) time.Duration { return max(limit/50, time.Millisecond) }

func (c *credit) take(now time.Time, limit time.Duration) time.Duration {
	if !c.at.IsZero() {
		c.left = min(limit, c.left+now.Sub(c.at)/10)
	}
	c.at = now
	return max(c.left, free(limit))
}

func (c *credit) spend(now time.Time, d, limit time.Duration) {
	if d > free(limit) {
		c.left = max(0, c.left-d)
	}
	c.at = now
}
