package logs

import (
	"slices"
	"sync"
)

// source is one stream's place in one queue.
type source struct {
	worker  string
	stream  Stream
	attempt int
	file    *target // for the queue of the files

	// Guarded by the queue's mutex.
	batch     uint64 // the batch that queued counts for
	queued    int
	lostLines uint64
	lostBytes uint64
}

// record says whose the next n bytes of a batch are. Bytes of one source that
// follow each other are one record.
type record struct {
	src  *source
	n    int
	done bool // nothing more will come from src
}

// loss is a gap at the end of a batch.
type loss struct {
	src          *source
	lines, bytes uint64
}

// batch is what a writer takes at a time. It is valid until its next take.
type batch struct {
	data   []byte
	recs   []record
	losses []loss
}

// size counts records too: one-byte reads must not cost what nobody counts.
func (b *batch) size() int { return len(b.data) + 32*len(b.recs) }

// queue holds bytes between the reader, which never waits, and one writer,
// which may take as long as it likes. It holds at most limit bytes, those that
// the writer has in its hands included.
type queue struct {
	limit int

	mu       sync.Mutex
	more     sync.Cond
	cur      batch
	lossy    []*source // with a gap in cur
	number   uint64    // of cur
	inflight int
	closed   bool

	spare batch // the writer's alone, between two takes: the next cur's memory

	lostLines, lostBytes uint64
}

func newQueue(limit int) *queue {
	q := &queue{limit: limit, number: 1}
	q.more.L = &q.mu
	return q
}

// open tells whether src may put more now. Only the writer makes it open again,
// so the reader may skip the work of formatting when it is not.
func (q *queue) open(src *source) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.fits(src, 1)
}

// fits: after a loss nothing more of src is taken into the same batch, so that
// its gap is one gap, and the mark stands where it is. The half kept from
// each source is for the others.
func (q *queue) fits(src *source, n int) bool {
	if src.batch != q.number {
		src.batch, src.queued = q.number, 0
	}
	if src.lostBytes != 0 || q.closed {
		return false
	}
	used := q.cur.size() + q.inflight
	return used == 0 || src.queued+n <= q.limit/2 && used+n <= q.limit
}

// put appends whole lines, or a file's bytes; all of b or nothing of it.
func (q *queue) put(src *source, b []byte, lines int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.fits(src, len(b)) {
		q.loseLocked(src, lines, len(b))
		return
	}
	src.queued += len(b)
	if have := cap(q.cur.data); have < len(q.cur.data)+len(b) {
		// Twice as much each time: append's own steps are smaller, and copying
		// megabytes again and again is what a flood would spend its time on.
		q.cur.data = slices.Grow(q.cur.data, max(len(b), have))
	}
	q.cur.data = append(q.cur.data, b...)
	q.record(src, len(b))
	q.wake()
}

func (q *queue) record(src *source, n int) {
	if k := len(q.cur.recs); k > 0 && q.cur.recs[k-1].src == src {
		q.cur.recs[k-1].n += n
		return
	}
	q.cur.recs = append(q.cur.recs, record{src: src, n: n})
}

// lose counts output that was not even formatted.
func (q *queue) lose(src *source, lines, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.loseLocked(src, lines, bytes)
}

func (q *queue) loseLocked(src *source, lines, bytes int) {
	if src.lostBytes == 0 {
		q.lossy = append(q.lossy, src)
	}
	src.lostLines += uint64(lines)
	src.lostBytes += uint64(bytes)
	q.lostLines += uint64(lines)
	q.lostBytes += uint64(bytes)
	q.wake()
}

// finish tells the writer, in order, that src has ended.
func (q *queue) finish(src *source) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.cur.recs = append(q.cur.recs, record{src: src, done: true})
	q.wake()
}

func (q *queue) wake() { q.more.Signal() }

// take waits for output and gives all of it. False: the queue is closed and
// everything was taken.
func (q *queue) take() (batch, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inflight = 0
	for len(q.cur.recs) == 0 && len(q.lossy) == 0 {
		if q.closed {
			return batch{}, false
		}
		q.forget()
		q.more.Wait()
	}
	b := q.cur
	for _, src := range q.lossy {
		b.losses = append(b.losses, loss{src, src.lostLines, src.lostBytes})
		src.lostLines, src.lostBytes = 0, 0
	}
	q.cur = batch{data: q.spare.data[:0], recs: q.spare.recs[:0], losses: q.spare.losses[:0]}
	q.spare = b
	clear(q.lossy)
	q.lossy = q.lossy[:0]
	q.number++
	q.inflight = b.size()
	return b, true
}

// forget gives memory back when there is nothing to do: a flood that is over must
// not be paid for ever, and ended sources must not be kept alive.
func (q *queue) forget() {
	const small = 256 << 10
	if cap(q.cur.data) > small {
		q.cur.data = nil
	}
	if cap(q.spare.data) > small {
		q.spare.data = nil
	}
	q.cur.recs, q.spare.recs, q.spare.losses, q.lossy = nil, nil, nil, nil
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.more.Broadcast()
}

// lostWith is what was refused since the beginning, plus what the writer could
// not write.
func (q *queue) lostWith(c *lostCount) (lines, bytes uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lostLines + c.lines.Load(), q.lostBytes + c.bytes.Load()
}

// left is what a writer that was given up did not write.
func (q *queue) left() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.cur.data) + q.inflight
}
