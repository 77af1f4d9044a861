package bus

import "sync"

// maxTold bounds how many refusals are reported, and remembered, in a run.
const maxTold = 256

// Refusals passes on who was turned away: each once, and no more than a flood of them is worth. Its methods may be
// called by several goroutines at once. The zero value tells nobody.
type Refusals struct {
	Report func(Refusal)

	mu    sync.Mutex
	told  map[Refusal]struct{}
	count uint64
}

// Add counts a refusal, and reports it if it is new.
func (r *Refusals) Add(what Refusal) {
	if r.note(what) && r.Report != nil {
		r.Report(what)
	}
}

func (r *Refusals) note(what Refusal) (fresh bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	if _, known := r.told[what]; known || len(r.told) >= maxTold {
		return false
	}
	if r.told == nil {
		r.told = map[Refusal]struct{}{}
	}
	r.told[what] = struct{}{}
	return true
}

// Count is how many were added.
func (r *Refusals) Count() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}
