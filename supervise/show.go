package supervise

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/procguard/procguard/state/journal/incident"
	"github.com/procguard/procguard/supervise/config"
)

// Summary is a configuration in a few words: how many workers in which groups.
func Summary(c *config.Config) string {
	var groups []string
	size := map[string]int{}
	for i := range c.Workers {
		g := c.Workers[i].Group
		if size[g] == 0 {
			groups = append(groups, g)
		}
		size[g]++
	}
	for i, g := range groups {
		groups[i] = fmt.Sprintf("%s (%d)", g, size[g])
	}
	s := fmt.Sprintf("%d workers in %s", len(c.Workers), strings.Join(groups, ", "))
	if len(c.Tasks) > 0 {
		s += fmt.Sprintf("; %d tasks", len(c.Tasks))
	}
	return s + "; state in " + c.State.Dir
}

// ShowIncidents writes a line for each incident, the newest last.
func ShowIncidents(out io.Writer, list []*incident.Incident) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "no incidents")
		return err
	}
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "INCIDENT\tTIME\tGROUP\tCULPRIT\tCAUSE\tVICTIMS\tOUTCOME\tTOOK")
	for _, i := range list {
		cause := strings.Join(i.Notes, "; ")
		if i.Cause != nil {
			cause = i.Cause.String()
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", i.Number, clock(i.TimeMS), i.Group, i.Culprit, cause,
			len(i.Victims), i.Outcome, took(i))
	}
	return t.Flush()
}

func clock(ms int64) string { return time.UnixMilli(ms).Format("2006-01-02 15:04:05") }

func took(i *incident.Incident) string {
	if len(i.Phases) == 0 {
		return "-"
	}
	return millis(i.Phases[len(i.Phases)-1].SinceMS)
}

func millis(ms float64) string {
	if ms >= 10_000 {
		return fmt.Sprintf("%.1f s", ms/1000)
	}
	return fmt.Sprintf("%.1f ms", ms)
}

// ShowIncident writes one incident for a person: what failed and why, who was
// stopped because of it, where the tasks went, and when.
func ShowIncident(out io.Writer, i *incident.Incident) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, "incident %d, group %s, %s: %s", i.Number, i.Group, clock(i.TimeMS), i.Outcome)
	if i.Why != "" {
		fmt.Fprintf(b, " (%s)", i.Why)
	}
	fmt.Fprintf(b, "\n\ncause     %s: %s\n", i.Culprit, i.Cause)
	if i.Class != "" {
		fmt.Fprintf(b, "class     %s (%s)\n", i.Class, i.Confidence)
	}
	if also := others(i); len(also) > 0 {
		fmt.Fprintf(b, "also      %s\n", some(also, 8))
	}
	if len(i.Victims) > 0 {
		fmt.Fprintf(b, "victims   %s (stopped with the group)\n", some(i.Victims, 8))
	}
	showMoves(b, i.Moves)
	showTimeline(b, i)
	for _, n := range i.Unclean {
		fmt.Fprintf(b, "unclean   %s\n", n)
	}
	for _, n := range i.Notes {
		fmt.Fprintf(b, "note      %s\n", n)
	}
	showFiles(b, i)
	if len(i.Workers) > 0 && len(i.Workers[0].Tail) > 0 {
		fmt.Fprintf(b, "\nlast lines of %s:\n", i.Culprit)
		for _, line := range i.Workers[0].Tail {
			fmt.Fprintf(b, "  | %s\n", line)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// others failed by themselves too; why each is not to blame is said where it is known.
func others(i *incident.Incident) (list []string) {
	because := map[string]string{}
	for k := range i.Workers {
		because[i.Workers[k].WorkerID] = i.Workers[k].Collateral
	}
	for _, id := range i.Culprits {
		switch {
		case id == i.Culprit:
		case because[id] != "":
			list = append(list, id+" ("+because[id]+")")
		default:
			list = append(list, id)
		}
	}
	return list
}

// showFiles names the evidence that is in the folder.
func showFiles(b *strings.Builder, i *incident.Incident) {
	if len(i.Files) > 0 {
		fmt.Fprintf(b, "files     %s\n", strings.Join(i.Files, " "))
	}
}

func showMoves(b *strings.Builder, moves []incident.Move) {
	type way struct{ from, to string }
	byWay := map[way][]string{}
	var ways []way
	for _, m := range moves {
		w := way{m.From, m.To}
		if byWay[w] == nil {
			ways = append(ways, w)
		}
		byWay[w] = append(byWay[w], m.TaskID)
	}
	for k, w := range ways {
		head := "tasks    "
		if k > 0 {
			head = "         "
		}
		fmt.Fprintf(b, "%s %s -> %s: %s\n", head, w.from, w.to, some(byWay[w], 8))
	}
}

func showTimeline(b *strings.Builder, i *incident.Incident) {
	t := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "\ntimeline")
	for _, p := range i.Phases {
		at := time.UnixMilli(p.TimeMS).Format("15:04:05.000")
		fmt.Fprintf(t, "  %s\t+%s\t%s\t%s\n", at, millis(p.SinceMS), p.Phase, p.Note)
	}
	_ = t.Flush() // a Builder does not fail
}

// some is a list cut to what a line can hold.
func some(list []string, most int) string {
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(slices.Clone(list[:most]), ", "), len(list)-most)
}
