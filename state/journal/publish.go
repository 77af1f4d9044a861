package journal

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"sync"
	"time"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/state/journal/disk"
)

const (
	debounce  = 100 * time.Millisecond // quiet time before state.json is written
	maxStale  = 2 * time.Second        // how far behind it may be while changes go on
	maxPause  = 30 * time.Second       // longest pause for the sake of a slow disk
	firstTry  = 100 * time.Millisecond // between the tries to heal, doubling
	longTry   = 5 * time.Second
	costShare = 10 // a write may take one tenth of the time
)

// publishing says when the next snapshot is due. Guarded by Journal.mu, but
// for wait.
type publishing struct {
	wait     sync.WaitGroup // the goroutine of an Offer
	busy     bool           // there is one
	mirrored uint64         // Seq of state.json
	stale    bool           // it is to be written although nothing changed
	first    time.Time      // first change that state.json does not have
	latest   time.Time      // last change
	ended    time.Time      // end of the last write
	cost     time.Duration  // what it took
	failures int
	retry    time.Time // earliest time for another try after a failure
}

func (p *publishing) changed(now time.Time) {
	if p.first.IsZero() {
		p.first = now
	}
	p.latest = now
}

// failed sets the time of the next try: at once, then after 0.1 s, 0.2 s ... 5 s.
func (p *publishing) failed(now time.Time) {
	p.retry = now
	if p.failures > 0 {
		p.retry = now.Add(min(longTry, firstTry<<min(p.failures-1, 10)))
	}
	p.failures++
}

// next is when state.json is due.
func (p *publishing) next() time.Time {
	t := p.latest.Add(debounce)
	if limit := p.first.Add(maxStale); limit.Before(t) {
		t = limit
	}
	if rest := p.ended.Add(min(maxPause, costShare*p.cost)); rest.After(t) {
		t = rest
	}
	return t
}

// Due is when Wants will be true if nothing happens until then; false where it
// will not be, or where only the disk can tell, of which Notify has news. The
// owner sets its timer by it after each Append and Offer, and each Notify.
func (j *Journal) Due() (time.Time, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.due()
}

func (j *Journal) due() (time.Time, bool) {
	switch {
	case j.lock == nil || j.closed || j.pub.busy || j.replacing:
		return time.Time{}, false
	case j.gap || j.health.has(faultMirror) || j.health.has(faultJournal):
		return j.pub.retry, true
	case j.segSize > j.segLimit:
		return j.pub.ended.Add(min(maxPause, costShare*j.pub.cost)), true
	case j.pub.stale || !j.pub.first.IsZero():
		return j.pub.next(), true
	}
	return time.Time{}, false
}

// Wants reports that a snapshot should be offered now: state.json is behind,
// the segment is long, or the disk may have healed.
func (j *Journal) Wants() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	t, ok := j.due()
	return ok && !j.opt.Now().Before(t)
}

// Offer gives a snapshot to be written in the background. It belongs to the
// Journal from then on, so it must be a Clone, and it must have all appended
// records and no other. One that comes while another is being written is
// ignored.
func (j *Journal) Offer(snap *state.Snapshot) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.closed:
		return ErrClosed
	case snap.Seq != j.appended:
		return &SequenceError{Got: snap.Seq, Want: j.appended}
	case j.lock == nil || j.pub.busy || j.replacing:
		return nil
	}
	replace := j.gap || j.segSize > j.segLimit
	if replace {
		j.replacing, j.tailing, j.tail = true, true, nil
	}
	j.pub.busy = true
	j.pub.first = time.Time{}
	j.pub.wait.Add(1)
	go j.publish(snap, replace)
	return nil
}

// publish is the goroutine of one Offer. The costly part, encoding, is done
// here and not by the writer, which records wait for.
func (j *Journal) publish(snap *state.Snapshot, replace bool) {
	defer j.pub.wait.Done()
	start := j.opt.Now()
	var err error
	if replace {
		err = j.replaceSegment(snap)
	}
	if err == nil {
		err = j.writeMirror(snap)
		j.mirrorWritten(snap.Seq, err)
	}
	j.mu.Lock()
	j.pub.busy = false
	j.pub.ended = j.opt.Now()
	j.pub.cost = j.pub.ended.Sub(start)
	_, more := j.due()
	j.mu.Unlock()
	j.reportHealth()
	if more {
		j.signal()
	}
}

// replaceSegment prepares a segment and gives it to the writer.
func (j *Journal) replaceSegment(snap *state.Snapshot) error {
	next, err := prepareSegment(j.opt.FS, j.dir, snap)
	j.mu.Lock()
	if err == nil && !j.closed {
		j.next = next // void by now if too many records came
		j.poke()
		j.mu.Unlock()
		return nil
	}
	j.replacing, j.tailing, j.tail = false, false, nil
	if err != nil {
		j.fail(faultJournal, err)
	}
	j.mu.Unlock()
	if err == nil {
		next.discard()
	}
	return err
}

// writeMirror writes state.json, indented for people.
func (j *Journal) writeMirror(snap *state.Snapshot) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(snap); err != nil {
		return err
	}
	return disk.WriteFile(j.opt.FS, filepath.Join(j.dir, MirrorName), buf.Bytes(), true)
}

func (j *Journal) mirrorWritten(seq uint64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.fail(faultMirror, err)
		return
	}
	j.pub.mirrored, j.pub.stale = seq, false
	// state.json alone is enough to come back to seq.
	j.written, j.durable = max(j.written, seq), max(j.durable, seq)
	j.health.clear(faultMirror)
	if !j.replacing && !j.health.has(faultJournal) {
		j.pub.failures = 0
	}
	j.release()
}
