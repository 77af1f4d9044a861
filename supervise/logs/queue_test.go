package logs

import (
	"strings"
	"testing"
)

func put(q *queue, src *source, text string) { q.put(src, []byte(text), strings.Count(text, "\n")) }

func take(t *testing.T, q *queue) batch {
	t.Helper()
	b, ok := q.take()
	if !ok {
		t.Fatal("the queue ended")
	}
	return b
}

func TestQueueDropsWholeAndMarksOneGap(t *testing.T) {
	q, a, b := newQueue(1000), &source{worker: "a"}, &source{worker: "b"}
	put(q, a, strings.Repeat("a", 399)+"\n")
	put(q, a, strings.Repeat("A", 199)+"\n") // over a's half
	put(q, a, "a\n")                         // would fit, but would stand before the gap's mark
	put(q, b, strings.Repeat("b", 399)+"\n") // the other half is b's
	if q.open(a) || !q.open(b) {
		t.Error("open(a), open(b) should be false, true")
	}
	got := take(t, q)
	if len(got.data) != 800 || strings.ContainsAny(string(got.data), "A") {
		t.Errorf("batch: %q", got.data)
	}
	if len(got.losses) != 1 || got.losses[0] != (loss{a, 2, 202}) {
		t.Errorf("losses: %+v", got.losses)
	}
	if len(got.recs) != 2 || got.recs[0] != (record{src: a, n: 400}) || got.recs[1].src != b {
		t.Errorf("records: %+v", got.recs)
	}
	lines, bytes := q.lostWith(&lostCount{})
	if lines != 2 || bytes != 202 {
		t.Errorf("lost %d, %d", lines, bytes)
	}
}

func TestQueueCountsWhatTheWriterHolds(t *testing.T) {
	q, a, b := newQueue(1000), &source{}, &source{}
	put(q, a, strings.Repeat("a", 450))
	put(q, b, strings.Repeat("b", 450))
	take(t, q)
	put(q, a, strings.Repeat("a", 100)) // 900 are still in the writer's hands
	got := take(t, q)
	if len(got.data) != 0 || len(got.losses) != 1 {
		t.Errorf("limit not kept: %d bytes, losses %v", len(got.data), got.losses)
	}
	put(q, a, strings.Repeat("a", 100))
	if got = take(t, q); len(got.data) != 100 {
		t.Error("not open again after the writer came back")
	}
}

// What is larger than the queue goes through alone, or it never could.
func TestQueueTakesOneHugeLine(t *testing.T) {
	q, a := newQueue(10), &source{}
	put(q, a, strings.Repeat("a", 500))
	put(q, a, "b")
	if got := take(t, q); len(got.data) != 500 || len(got.losses) != 1 {
		t.Errorf("%d bytes, losses %v", len(got.data), got.losses)
	}
}

// One-byte records of alternating sources must not grow without count.
func TestQueueCountsRecords(t *testing.T) {
	q, a, b := newQueue(3300), &source{}, &source{}
	for range 1000 {
		put(q, a, "a")
		put(q, b, "b")
	}
	if got := take(t, q); len(got.recs) > 101 {
		t.Errorf("%d records in a queue of 3300 bytes", len(got.recs))
	}
}

func TestQueueEndsAfterTheLastBatch(t *testing.T) {
	q, a := newQueue(1000), &source{}
	put(q, a, "last\n")
	q.finish(a)
	q.close()
	put(q, a, "too late\n")
	got := take(t, q)
	if string(got.data) != "last\n" || len(got.recs) != 2 || !got.recs[1].done || len(got.losses) != 1 {
		t.Errorf("last batch: %q %+v", got.data, got.recs)
	}
	if _, ok := q.take(); ok {
		t.Error("a closed and empty queue gave a batch")
	}
}

func TestQueueGivesMemoryBack(t *testing.T) {
	q, a := newQueue(8<<20), &source{}
	for range 3 {
		put(q, a, strings.Repeat("a", 3<<20))
		take(t, q)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.forget()
	if n := cap(q.cur.data) + cap(q.spare.data); n > 512<<10 {
		t.Errorf("%d bytes held when idle", n)
	}
}
