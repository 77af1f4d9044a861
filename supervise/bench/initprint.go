package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// print shows what was measured: two tables, and the aims.
func (r *initRace) print(out io.Writer) {
	fmt.Fprintf(out, "\nPlain inits in turns, %d starts each, ms; difference to %s\n", len(r.inits[0].start.ds), baseName)
	fmt.Fprintf(out, "%-12s %30s   %30s\n", "", "fork to first instruction", "fork to exit code")
	fmt.Fprintf(out, "%-12s %10s %9s %9s   %10s %9s %9s\n", "", "median", "p90", "", "median", "p90", "")
	for _, s := range r.inits {
		fmt.Fprintf(out, "%-12s %s   %s\n", s.name, r.column(s, &s.start, startOf), r.column(s, &s.whole, wholeOf))
	}
	fmt.Fprintf(out, "\nThe same with a command that stays, as %v; %d signals each, %v of rest, %d storms of %d orphans\n",
		r.where, len(r.inits[0].signal.ds), r.idle(), r.b.rounds(initStorms), stormOrphans)
	fmt.Fprintf(out, "%-12s %7s %7s  %5s %5s %9s %7s %5s   %8s %6s\n", "", "USR1 us", "p90",
		"RSS", "PSS", "anonymous", "threads", "wakes", "storm ms", "x "+baseName)
	for _, s := range r.inits {
		fmt.Fprintln(out, r.resting(s))
	}
	if len(r.missing) > 0 {
		fmt.Fprintf(out, "not installed, so not measured: %s\n", strings.Join(r.missing, ", "))
	}
	for _, a := range r.aims() {
		fmt.Fprintln(out, a)
	}
}

func startOf(s *standing) *sample { return &s.start }
func wholeOf(s *standing) *sample { return &s.whole }

// column is a time beside tini's.
func (r *initRace) column(s *standing, d *sample, of func(*standing) *sample) string {
	more := ""
	if base := r.find(baseName); base != nil && base != s {
		more = fmt.Sprintf("%+.2f", inMS(d.median()-of(base).median()))
	}
	return fmt.Sprintf("%10s %9s %9s", ms(d.median()), ms(d.quantile(0.9)), more)
}

func inMS(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func inUS(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// resting is a line of the second table. MiB are those of the init alone.
func (r *initRace) resting(s *standing) string {
	line := fmt.Sprintf("%-12s %7.0f %7.0f", s.name, inUS(s.signal.median()), inUS(s.signal.quantile(0.9)))
	if s.name == bareName {
		return line // what rests is the command itself
	}
	line += fmt.Sprintf("  %5.2f %5.2f %9.2f %7d %5d", s.rss, s.pss, s.anonymous, s.threads, s.wakes)
	if len(s.storm.ds) == 0 {
		return line + "   not root: not measured"
	}
	return line + fmt.Sprintf("   %8.0f %6s", inMS(s.storm.median()), r.storming(s))
}

func (r *initRace) storming(s *standing) string {
	base := r.find(baseName)
	if base == nil || base.storm.median() == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", float64(s.storm.median())/float64(base.storm.median()))
}

// What ProcGuard aims at.
const (
	aimStart = 3 * time.Millisecond // later than tini
	aimRSS   = 6.0                  // MiB
	aimStorm = 2.0                  // times tini's CPU time
)

// aims says of each whether it is met.
func (r *initRace) aims() []string {
	us, base := r.find(ourName), r.find(baseName)
	lines := []string{verdict(fmt.Sprintf("resident memory below %.0f MiB", aimRSS), fmt.Sprintf("%.2f", us.rss), us.rss < aimRSS)}
	if base == nil {
		return append(lines, "aim: beside "+baseName+": cannot tell, it is not installed")
	}
	late := us.start.median() - base.start.median()
	lines = append(lines, verdict(fmt.Sprintf("first instruction within %v of %s's", aimStart, baseName), fmt.Sprintf("%+.2f ms", inMS(late)), late <= aimStart))
	if base.storm.median() > 0 {
		times := float64(us.storm.median()) / float64(base.storm.median())
		lines = append(lines, verdict(fmt.Sprintf("CPU in a storm at most %.0f x %s's", aimStorm, baseName), fmt.Sprintf("%.2f x", times), times <= aimStorm))
	}
	return lines
}

func verdict(aim, is string, met bool) string {
	if met {
		return fmt.Sprintf("aim: %s: %s, met", aim, is)
	}
	return fmt.Sprintf("aim: %s: %s, NOT met", aim, is)
}

// find gives an init by name, nil if it is not here.
func (r *initRace) find(name string) *standing {
	for _, s := range r.inits {
		if s.name == name {
			return s
		}
	}
	return nil
}
