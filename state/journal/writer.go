package journal

import "fmt"

// work is what the writer does in one turn.
type work struct {
	lines []byte
	last  uint64 // newest record in lines
	sync  bool
	next  *segment // adopt it; lines are all since its base
	void  bool     // discard next: lines since its base are missing
}

// write is the writer's goroutine, the only one that appends to a segment. It
// sleeps until it is woken, has no timer, and ends when wake is closed and all
// is written.
func (j *Journal) write() {
	defer close(j.stopped)
	for range j.wake {
		j.drain()
	}
	j.drain()
}

func (j *Journal) drain() {
	for {
		w, ok := j.take()
		if !ok {
			return
		}
		switch {
		case w.void:
			j.discard(w.next)
		case w.next != nil:
			j.adopted(w, w.next.adopt(w.lines))
		default:
			j.wrote(w, j.perform(w))
		}
		j.reportHealth()
	}
}

// take fetches all that is to be written now. What comes in the meantime forms
// the next batch, so a slow sync is shared by many.
func (j *Journal) take() (work, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	w := work{last: j.appended, sync: j.wantSync}
	switch {
	case j.next != nil && !j.tailing:
		w.next, w.void, j.next = j.next, true, nil
		return w, true
	case j.next != nil:
		// pending is a part of tail: every line goes to both.
		w.next, w.lines = j.next, j.tail
		j.next, j.tailing, j.tail, j.pending = nil, false, nil, nil
		// From here on lines go to the coming segment, by way of pending.
		j.gap = false
	case j.gap || (len(j.pending) == 0 && !j.wantSync):
		return w, false
	default:
		w.lines, j.pending, j.spare = j.pending, j.spare[:0], nil
	}
	j.wantSync = false
	return w, true
}

// perform writes a batch. Outside of mu: this is where a disk stalls.
func (j *Journal) perform(w work) error {
	if len(w.lines) > 0 {
		if err := j.seg.append(w.lines); err != nil {
			return err
		}
	}
	if !w.sync {
		return nil
	}
	return j.seg.file.Datasync()
}

func (j *Journal) wrote(w work, err error) {
	if err != nil {
		_ = j.seg.file.Close() // not under mu: close(2) waits for some disks too
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.segSize = j.seg.size
	if cap(w.lines) <= 1<<20 {
		j.spare = w.lines
	}
	if err != nil {
		j.abandon(err)
		return
	}
	j.written = max(j.written, w.last)
	if w.sync {
		j.durable = max(j.durable, w.last)
	}
	j.caughtUp()
}

// abandon gives up the segment after an error. It is never written to again: a
// failed sync says nothing about which pages are lost, and a second one would
// say that all is well. The next segment begins with a snapshot instead.
func (j *Journal) abandon(err error) {
	j.retire()
	j.gap, j.pending = true, nil
	j.health.clear(faultStall) // it did answer
	j.fail(faultJournal, err)
	j.release()
	j.signal()
}

// retire takes the segment out of use; it is closed already.
func (j *Journal) retire() {
	if j.seg != nil {
		j.obsolete = append(j.obsolete, j.seg.path)
		j.seg = nil
	}
}

// discard ends a replacement that came to nothing.
func (j *Journal) discard(next *segment) {
	next.discard()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.replacing = false
	j.signal()
}

// adopted makes the next segment the one in use, which heals whatever was
// wrong with the last. If it could not be adopted the last one may be intact,
// but lines are missing behind it, so it is abandoned as well.
func (j *Journal) adopted(w work, err error) {
	if j.seg != nil {
		_ = j.seg.file.Close()
	}
	if err != nil {
		w.next.discard()
	}
	j.mu.Lock()
	j.replacing = false
	if err != nil {
		// It has its name already where only the directory's sync failed.
		j.obsolete = append(j.obsolete, w.next.path)
		j.abandon(err)
		j.mu.Unlock()
		return
	}
	j.retire()
	j.use(w.next)
	j.written, j.durable = max(j.written, w.last), max(j.durable, w.last)
	j.pub.failures = 0
	j.health.clear(faultJournal)
	j.caughtUp()
	j.signal()
	j.mu.Unlock()
	j.removeObsolete()
}

// caughtUp lets the waiting go on, and ends a stall once nothing is left over.
func (j *Journal) caughtUp() {
	j.release()
	if j.health.has(faultStall) && len(j.pending) == 0 && !j.gap {
		j.health.clear(faultStall)
		j.signal()
	}
}

// fail notes an error of the disk. The first try to heal is due at once, for
// most are of the moment or have to do with one file.
func (j *Journal) fail(f fault, err error) {
	now := j.opt.Now()
	j.health.set(f, fmt.Sprintf("cannot write to %s: %v", j.dir, err), now)
	j.pub.failed(now)
}
