package supervise

import (
	"time"

	"github.com/procguard/procguard/reaper"
)

// How long the loop waits for the last words of all that have died by themselves in one turn.
// They are in the pipes by then; the first are read within a tenth of a millisecond, and each
// of the others takes a few microseconds.
const (
	tailPatience = 5 * time.Millisecond
	tailEach     = 100 * time.Microsecond
	tailMost     = 30 * time.Millisecond
)

// hearOut has the rest of what the dead have said read, of all at once: to wait for each in
// turn would let hundreds of deaths hold up the loop for seconds.
func (l *loop) hearOut(reports []any) {
	var wait []<-chan struct{}
	for _, r := range reports {
		x, ok := r.(reaper.Exit)
		w := l.instance(x.ID, x.Gen)
		if !ok || w == nil || w.lines == nil {
			continue
		}
		w.drained = w.lines.Finish()
		if toExamine(w, &x) {
			wait = append(wait, w.drained)
		}
	}
	if len(wait) == 0 {
		return
	}
	l.inquest.meter.Renew() // meanwhile: the counters after all these deaths
	patience := time.NewTimer(min(tailPatience+time.Duration(len(wait))*tailEach, tailMost))
	defer patience.Stop()
	for _, drained := range wait {
		select {
		case <-drained:
		case <-patience.C:
			return
		}
	}
}

// toExamine says whether an end is looked into: it was bad, and nobody had asked for it.
func toExamine(w *instance, x *reaper.Exit) bool {
	return !x.Unknown && x.ShellCode() != 0 && !sentFor(w, x)
}

// sentFor says that our signal ended it. One that was to tell it or to ask it something, as
// that for a dump, did so only if it died of it: it may have been sent days ago.
func sentFor(w *instance, x *reaper.Exit) bool {
	return x.Sent != 0 && (w.asked || x.Signal() == x.Sent)
}
