package fleet

import (
	"container/heap"
	"time"
)

// alarm is something that can be due once. The zero value is not set.
type alarm struct {
	at    time.Time
	index int // in the heap, plus one; 0 if not in it
	order uint64
	fire  func(*Fleet)
}

// alarms is a heap of those that are set, so that the next one is known at
// once and setting one costs the logarithm of their number.
type alarms struct {
	list []*alarm
	tick uint64 // numbers settings: equal times fire in the order they were set
}

func (h *alarms) Len() int { return len(h.list) }
func (h *alarms) Less(i, j int) bool {
	a, b := h.list[i], h.list[j]
	if a.at.Equal(b.at) {
		return a.order < b.order
	}
	return a.at.Before(b.at)
}
func (h *alarms) Swap(i, j int) {
	h.list[i], h.list[j] = h.list[j], h.list[i]
	h.list[i].index, h.list[j].index = i+1, j+1
}
func (h *alarms) Push(x any) {
	a := x.(*alarm)
	h.list = append(h.list, a)
	a.index = len(h.list)
}
func (h *alarms) Pop() any {
	n := len(h.list) - 1
	a := h.list[n]
	h.list[n] = nil
	h.list = h.list[:n]
	a.index = 0
	return a
}

func (h *alarms) set(a *alarm, at time.Time) {
	h.tick++
	a.at, a.order = at, h.tick
	if a.index == 0 {
		heap.Push(h, a)
		return
	}
	heap.Fix(h, a.index-1)
}

func (h *alarms) clear(a *alarm) {
	if a.index != 0 {
		heap.Remove(h, a.index-1)
	}
}

// due takes the first alarm that is not after now, nil if there is none.
func (h *alarms) due(now time.Time) *alarm {
	if len(h.list) == 0 || h.list[0].at.After(now) {
		return nil
	}
	return heap.Pop(h).(*alarm)
}
