package supervise

import (
	"context"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/fleet"
)

// callBack calls Options.OnFailure for every failure, from its own goroutine, so
// that a slow callback makes nobody wait. Failures that it has not got to yet
// are given to it together.
func (g *Guard) callBack() (stop func()) {
	if g.opt.OnFailure == nil {
		return func() {}
	}
	sub := g.hub.subscribe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			e, ok := sub.Next(context.Background())
			if !ok {
				return
			}
			if list := append(failures(e), sub.pending()...); len(list) > 0 {
				g.opt.OnFailure(list)
			}
		}
	}()
	return func() { <-done }
}

func failures(e Event) []Failure {
	detected := e.Kind == fleet.NotePhase && e.Phase == state.Detected && e.Culprit
	if (!detected && e.Kind != fleet.NoteRetry) || e.Cause == nil {
		return nil
	}
	return []Failure{{Worker: e.Worker, Incident: e.Incident, Cause: *e.Cause}}
}

// pending takes all failures that are queued.
func (s *Subscription) pending() (list []Failure) {
	for {
		e, ok, _ := s.pop()
		if !ok {
			return list
		}
		list = append(list, failures(e)...)
	}
}
