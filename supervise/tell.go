package supervise

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/procguard/procguard/reaper"
	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/fleet"
)

// tell passes a note on to everybody who listens, in the order of the machine.
func (l *loop) tell(n *fleet.Note) {
	e := l.g.hub.publish(event(n))
	if e.Kind == fleet.NoteReady {
		l.watch.Ready(e.Worker, e.Gen)
		if w := l.instance(e.Worker, e.Gen); w != nil {
			w.ready = e.Time
		}
	}
	l.write(&e)
	l.story.add(e, l.evidence(&e))
	if w := l.instance(e.Worker, e.Gen); w != nil && e.Kind == fleet.NoteWell {
		w.found = nil // it says nothing about what comes later
	}
	if l.bus != nil {
		_ = l.bus.Publish(string(e.Kind), e) // it queues, or counts what it drops
	}
}

// evidence is the instance that an event is about, dead or alive.
func (l *loop) evidence(e *Event) *instance {
	if e.Worker == "" {
		return nil
	}
	if w := l.instance(e.Worker, e.Gen); w != nil {
		return w
	}
	if w := l.fallen[e.Worker]; w != nil && w.gen == e.Gen {
		return w
	}
	return nil
}

// write puts an event into ProcGuard's own log.
func (l *loop) write(e *Event) {
	level, text := sentence(e)
	if text == "" {
		return
	}
	if e.Kind == fleet.NoteStuck {
		if d, err := reaper.Describe(e.PID); err == nil {
			text += ": " + d.String()
		}
	}
	l.log.Log(context.Background(), level, text)
}

const debug0, info, warn, bad = slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError

// sentence is an event in words; "" for those that others imply.
func sentence(e *Event) (slog.Level, string) {
	switch e.Kind {
	case fleet.NotePhase:
		return phaseSentence(e)
	case fleet.NoteStarted:
		return info, fmt.Sprintf("%s started, pid %d", e.Worker, e.PID)
	case fleet.NoteAdopted:
		return info, fmt.Sprintf("%s lives since before this start, pid %d: adopted", e.Worker, e.PID)
	case fleet.NoteReady:
		return debug0, e.Worker + " is ready"
	case fleet.NoteExited:
		return exitSentence(e)
	case fleet.NoteSuspected:
		return warn, fmt.Sprintf("%s is suspected: %s; looking into it before anything is done", e.Worker, e.Cause)
	case fleet.NoteHung:
		return bad, fmt.Sprintf("[incident %d] %s hangs, and is left alone (on_hang: notify): %s", e.Incident, e.Worker, e.Cause)
	case fleet.NoteWell:
		return info, fmt.Sprintf("%s is well again (%s)", e.Worker, e.Text)
	case fleet.NoteStopping:
		return debug0, fmt.Sprintf("%s is asked to stop, pid %d", e.Worker, e.PID)
	case fleet.NoteKilling:
		return warn, fmt.Sprintf("%s did not stop within %.1fs: SIGKILL to all of it, pid %d", e.Worker, float64(e.DelayMS)/1000, e.PID)
	case fleet.NoteStuck:
		return bad, fmt.Sprintf("%s survived SIGKILL: unkillable, pid %d", e.Worker, e.PID)
	case fleet.NoteGone:
		return debug0, "nothing of " + e.Worker + " is left"
	case fleet.NoteDone:
		return info, e.Worker + " is done"
	case fleet.NoteExcluded:
		return bad, e.Worker + " is excluded: " + e.Text
	case fleet.NoteStandby:
		return warn, e.Worker + " (standby) takes the place of " + e.Text
	case fleet.NoteRetry:
		return warn, fmt.Sprintf("%s failed (%s) while its group comes back: tried alone in %.1fs", e.Worker, e.Cause, float64(e.DelayMS)/1000)
	case fleet.NoteRestarted:
		return info, fmt.Sprintf("%s starts again in %.1fs", e.Worker, float64(e.DelayMS)/1000)
	case fleet.NoteMoved:
		return info, movedSentence(e)
	case fleet.NoteSetAside:
		return bad, fmt.Sprintf("task %s is set aside: its owners keep dying, last %s", strings.Join(e.Tasks, " "), e.Worker)
	case fleet.NoteShrunk:
		return warn, fmt.Sprintf("group %s goes on with %s", e.Group, e.Text)
	case fleet.NoteHeld:
		return info, e.Worker + " is held down by request"
	case fleet.NoteReloaded:
		return info, "configuration reloaded: " + e.Text
	case fleet.NoteStopAll:
		return info, "stopping everything: " + e.Text
	case fleet.NoteFinished:
		return debug0, "finished: " + e.Text
	}
	return debug0, string(e.Kind)
}

func exitSentence(e *Event) (slog.Level, string) {
	level, text := warn, fmt.Sprintf("%s ended: %s, pid %d", e.Worker, e.Cause, e.PID)
	switch {
	case e.Cause.Kind == state.CauseSpawn:
		text = fmt.Sprintf("%s %s", e.Worker, e.Cause)
	case e.Text != "":
		text = fmt.Sprintf("%s: %s; %s", e.Worker, e.Cause, e.Text)
	case e.Expected:
		level = debug0
	case e.Cause.Kind == state.CauseExit && e.Cause.Code == 0:
		level = info
	}
	return level, text
}

func movedSentence(e *Event) string {
	what := fmt.Sprintf("%d tasks", len(e.Tasks))
	if len(e.Tasks) <= 8 {
		what = strings.Join(e.Tasks, " ")
	}
	if e.From == "" {
		return fmt.Sprintf("%s gets %s", e.Worker, what)
	}
	return fmt.Sprintf("%s gets %s from %s", e.Worker, what, e.From)
}

func phaseSentence(e *Event) (slog.Level, string) {
	at := "group " + e.Group + ": "
	if e.Incident != 0 {
		at = fmt.Sprintf("[incident %d] %s", e.Incident, at)
	}
	switch e.Phase {
	case state.Detected:
		text := fmt.Sprintf("%s%s failed: %s", at, e.Worker, e.Cause)
		if e.Text != "" {
			text += "; " + e.Text
		}
		return bad, text
	case state.StopAll:
		if e.Attempt > 1 {
			return warn, fmt.Sprintf("%sstopping, attempt %d", at, e.Attempt)
		}
		return info, at + "stopping"
	case state.Completed:
		return info, at + "recovered"
	case state.GaveUp:
		return bad, at + "gave up: " + e.Text
	case state.Verify:
		return debug0, at + "verifying"
	}
	return info, at + string(e.Phase)
}
