package control

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Show writes s for a person: the verdict, then what explains it, then a line
// for each worker.
func Show(out io.Writer, s *Status, now time.Time) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s: %s\n", s.Verdict, s.Summary)
	for _, d := range s.Degraded {
		fmt.Fprintf(b, "degraded: %s\n", d)
	}
	fmt.Fprintln(b, strings.Join(facts(s, now), ", "))
	for i := range s.Groups {
		showGroup(b, &s.Groups[i], now)
	}
	if len(s.Workers) > 0 {
		fmt.Fprintln(b)
		showWorkers(b, s.Workers, now)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func facts(s *Status, now time.Time) []string {
	var f []string
	if s.Running {
		f = append(f, fmt.Sprintf("pid %d", s.PID), "up "+age(s.Since, now))
	}
	f = append(f, fmt.Sprintf("epoch %d", s.Epoch), count(int(s.Incidents), "incident"))
	if t := s.Tasks; t.Total > 0 {
		f = append(f, fmt.Sprintf("tasks %d of %d done", t.Done, t.Total))
		if t.Queued > 0 {
			f = append(f, fmt.Sprintf("%d queued", t.Queued))
		}
		if len(t.SetAside) > 0 {
			f = append(f, "set aside: "+strings.Join(t.SetAside, " "))
		}
	}
	return append(f, "state in "+orNone(s.StateDir, "memory"))
}

func showGroup(b *strings.Builder, g *Group, now time.Time) {
	if g.Phase == "steady" {
		return
	}
	fmt.Fprintf(b, "group %s: %s", g.Name, g.Phase)
	if g.Incident > 0 {
		fmt.Fprintf(b, ", incident %d", g.Incident)
	}
	if len(g.Culprits) > 0 {
		fmt.Fprintf(b, " of %s", strings.Join(g.Culprits, ", "))
	}
	if g.Attempt > 1 {
		fmt.Fprintf(b, ", attempt %d", g.Attempt)
	}
	if g.Deadline > 0 {
		fmt.Fprintf(b, ", %s left", until(g.Deadline, now))
	}
	fmt.Fprintln(b)
}

func showWorkers(b *strings.Builder, workers []Worker, now time.Time) {
	t := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "WORKER\tSTATUS\tPID\tUP\tRESTARTS\tBUDGET\tTASKS\tREMARK")
	for i := range workers {
		w := &workers[i]
		pid, up := "-", "-"
		if w.PID != 0 {
			pid, up = fmt.Sprint(w.PID), age(w.StartTime, now)
		}
		budget := fmt.Sprint(w.BudgetUsed)
		if w.MaxRestarts > 0 || w.State != string(w.Status) {
			budget += fmt.Sprintf("/%d", w.MaxRestarts)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", w.WorkerID, word(w, now), pid, up, w.RestartCount,
			budget, orNone(fmt.Sprint(len(w.AssignedTasks)), "-"), remark(w))
	}
	_ = t.Flush() // a Builder does not fail
}

// remark is what there is to say of a worker: why it is not well, what it says of itself, or
// how it ended last.
func remark(w *Worker) string {
	switch {
	case w.Verdict != "":
		return "NOT WELL: " + w.Verdict
	case w.PID == 0:
		return w.LastError
	}
	var parts []string
	if w.Phase != "" {
		parts = append(parts, "phase "+w.Phase)
	}
	if w.Step > 0 {
		parts = append(parts, fmt.Sprintf("step %d", w.Step))
	}
	if w.Says != "" {
		parts = append(parts, w.Says)
	}
	if w.LastError != "" {
		parts = append(parts, "last: "+w.LastError)
	}
	return strings.Join(parts, ", ")
}

// word is a worker's status, and what the machine is waiting for where that
// says more.
func word(w *Worker, now time.Time) string {
	switch {
	case w.Excluded:
		return "excluded"
	case w.Done:
		return "done"
	case w.Held:
		return string(w.Status) + " (held)"
	case w.Standby:
		return "standby"
	case w.State == "waiting" && w.Due > 0:
		return "starts in " + until(w.Due, now)
	case w.State == "waiting":
		return "waits for others"
	case w.State == "stopping" || w.State == "sweeping":
		return "stopping, " + until(w.Due, now) + " left"
	case w.State == "stuck":
		return "unkillable"
	}
	return string(w.Status)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func orNone(s, none string) string {
	if s == "" || s == "0" {
		return none
	}
	return s
}

func age(since float64, now time.Time) string {
	return short(now.Sub(time.UnixMilli(int64(since * 1000))))
}

func until(at float64, now time.Time) string {
	return short(time.UnixMilli(int64(at * 1000)).Sub(now))
}

// short is a duration with the two units that matter.
func short(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}
