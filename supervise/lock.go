package supervise

import (
	"errors"
	"time"

	"github.com/procguard/procguard/reaper"
	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/state/journal"
)

// inherited is how long a lock may outlive the procguard that took it. A child
// that it had forked, and that has not executed its program yet, still holds it;
// on a busy machine that takes a while. Waiting also means that such a child is
// a worker, with its marker, by the time survivors are looked for.
const inherited = 5 * time.Second

// openJournal is journal.Open, but for a lock whose owner is dead it waits.
func openJournal(dir string, opt journal.Options) (*journal.Journal, *state.Snapshot, error) {
	for end := time.Now().Add(inherited); ; time.Sleep(5 * time.Millisecond) {
		j, snap, err := journal.Open(dir, opt)
		var locked *journal.LockedError
		if !errors.As(err, &locked) || !ownerDied(locked) || time.Now().After(end) {
			return j, snap, err
		}
	}
}

func ownerDied(e *journal.LockedError) bool {
	if !e.Here || e.PID == 0 {
		return false // its pid is of another machine, or of another container
	}
	d, err := reaper.Describe(e.PID)
	return err != nil || d.State == 'Z' || d.State == 'X'
}
