package fleet

import (
	"fmt"
	"strings"

	"github.com/procguard/procguard/state"
)

// show is an action in one line.
func show(a Action) string {
	switch a := a.(type) {
	case Persist:
		return "save" + map[bool]string{true: "!", false: ""}[a.Sync] + showRecords(a.Records)
	case Spawn:
		s := fmt.Sprintf("spawn %s/%d epoch=%d", a.Worker, a.Gen, a.Epoch)
		if a.Restarts > 0 {
			s += fmt.Sprintf(" restarts=%d", a.Restarts)
		}
		if len(a.Tasks) > 0 {
			s += fmt.Sprintf(" %v", a.Tasks)
		}
		if a.Rank != nil {
			s += fmt.Sprintf(" rank %d of %d at %s", a.Rank.Rank, a.Rank.World, a.Rank.Rendezvous)
		}
		return s
	case Adopt:
		return fmt.Sprintf("adopt %s/%d pid=%d", a.Worker, a.Gen, a.PID)
	case Signal:
		if a.Signal == sigCont {
			return ""
		}
		return fmt.Sprintf("signal %s/%d %d%s", a.Worker, a.Gen, a.Signal, map[bool]string{true: " group"}[a.Group])
	case Kill:
		return fmt.Sprintf("KILL %s/%d", a.Worker, a.Gen)
	case Retask:
		return fmt.Sprintf("retask %s/%d", a.Worker, a.Gen)
	case Dump:
		return fmt.Sprintf("dump %s/%d (%s)", a.Worker, a.Gen, &a.Cause)
	case Emit:
		return "- " + showNote(a.Note)
	case Exit:
		return fmt.Sprintf("EXIT %d %s", a.Code, a.Why)
	}
	return "?"
}

func showRecords(recs []state.Record) string {
	var b strings.Builder
	for _, r := range recs {
		fmt.Fprintf(&b, " %s", r.Kind)
		var args []string
		for _, s := range []string{r.Worker, r.Group, string(r.Phase), r.TaskID} {
			if s != "" && !(r.Kind == state.KindWorker && s == r.Group) {
				args = append(args, s)
			}
		}
		if r.Kind == state.KindHold && !r.Held {
			args = append(args, "off")
		}
		if r.Task != nil {
			args = append(args, r.Task.TaskID)
		}
		for _, t := range sortedKeys(r.Moves) {
			args = append(args, t+">"+r.Moves[t])
		}
		if r.Count > 0 {
			args = append(args, fmt.Sprintf("#%d in a row", r.Count))
		}
		if r.Step > 0 {
			args = append(args, fmt.Sprintf("step %d", r.Step))
		}
		if r.Millis > 0 {
			args = append(args, fmt.Sprintf("%dms", r.Millis))
		}
		if len(args) > 0 {
			fmt.Fprintf(&b, "(%s)", strings.Join(args, " "))
		}
	}
	return b.String()
}

func showNote(n Note) string {
	var b strings.Builder
	b.WriteString(string(n.Kind))
	add := func(on bool, format string, args ...any) {
		if on {
			fmt.Fprintf(&b, " "+format, args...)
		}
	}
	add(n.Worker != "", "%s/%d", n.Worker, n.Gen)
	add(n.Worker == "" && n.Group != "", "%s", n.Group)
	add(n.Phase != "", "%s", n.Phase)
	add(n.PID != 0, "pid=%d", n.PID)
	add(n.Cause != nil, "(%s)", n.Cause)
	add(n.Expected, "expected")
	add(n.Culprit, "culprit")
	add(n.From != "", "from %s", n.From)
	add(len(n.Tasks) > 0, "%v", n.Tasks)
	add(n.Delay != 0, "delay=%s", n.Delay)
	add(n.Incident != 0, "#%d", n.Incident)
	add(n.Attempt > 1, "attempt %d", n.Attempt)
	add(n.Code != 0, "code %d", n.Code)
	add(n.Text != "", "%q", n.Text)
	return b.String()
}
