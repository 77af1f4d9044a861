// Command testsum reads the event stream of `go test -json` and prints what a person wants of it: a line per package,
// the output of what failed, and at the end the counts, with every skipped test and its reason.
//
// It exits 1 if anything failed, if no test ran at all, or, with -strict, if a test was skipped for lack of something.
// A skip that names a variable starting with PROCGUARD_ is a choice (a longer run on request), not a lack.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// optIn marks the reason of a skip that was chosen: the test runs when a variable of that prefix is set.
const optIn = "PROCGUARD_"

// event is one line of `go test -json`; `go doc test2json` and `go help buildjson` are the source of the fields.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
	Elapsed    float64
}

type testID struct{ pkg, test string }

type skip struct {
	id     testID
	reason string
}

type summary struct {
	out      io.Writer
	pending  map[testID][]string // output of tests that have not ended, and of each package itself
	order    map[string][]testID // tests begun per package and not ended, oldest first
	skips    []skip
	failures []string
	passed   int
	packages int
}

func newSummary(out io.Writer) *summary {
	return &summary{out: out, pending: map[testID][]string{}, order: map[string][]testID{}}
}

func main() {
	strict := flag.Bool("strict", false, "fail on a skip that is not a choice")
	flag.Parse()
	s := newSummary(os.Stdout)
	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testsum: cannot read the events:", err)
		os.Exit(1)
	}
	if !s.report(*strict) {
		os.Exit(1)
	}
}

// read consumes the stream. A line that is no event (the go command's own errors) is passed on.
func (s *summary) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			s.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *summary) line(line string) {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil || e.Action == "" {
		fmt.Fprint(s.out, line)
		return
	}
	s.event(e)
}

func (s *summary) event(e event) {
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "run":
		s.order[e.Package] = append(s.order[e.Package], id)
	case "output":
		s.pending[id] = append(s.pending[id], e.Output)
	case "build-output":
		fmt.Fprint(s.out, e.Output)
	case "build-fail":
		s.failures = append(s.failures, "build of "+e.ImportPath)
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.endPackage(e)
		} else {
			s.endTest(id, e.Action)
		}
	}
}

func (s *summary) endTest(id testID, action string) {
	switch action {
	case "pass":
		s.passed++
	case "skip":
		s.skips = append(s.skips, skip{id, reason(s.pending[id])})
	case "fail":
		s.fail(id)
	}
	s.forget(id)
}

func (s *summary) forget(id testID) {
	delete(s.pending, id)
	s.order[id.pkg] = slices.DeleteFunc(s.order[id.pkg], func(other testID) bool { return other == id })
}

func (s *summary) fail(id testID) {
	s.failures = append(s.failures, id.pkg+" "+id.test)
	fmt.Fprintf(s.out, "\n--- failed: %s %s\n%s", id.pkg, id.test, strings.Join(s.pending[id], ""))
}

// endPackage also accounts for tests that never ended: a panic, an os.Exit or the time limit took the process down,
// and go test then reports the package alone.
func (s *summary) endPackage(e event) {
	id := testID{pkg: e.Package}
	own := s.pending[id]
	delete(s.pending, id)
	if e.Action == "skip" { // no test files
		return
	}
	s.packages++
	if e.Action == "pass" {
		fmt.Fprintf(s.out, "ok    %-60s %6.1fs\n", e.Package, e.Elapsed)
		return
	}
	fmt.Fprintf(s.out, "FAIL  %-60s %6.1fs\n%s", e.Package, e.Elapsed, strings.Join(own, ""))
	for _, lost := range slices.Clone(s.order[e.Package]) {
		s.fail(lost)
		s.forget(lost)
	}
	s.failures = append(s.failures, e.Package)
}

// reason finds what t.Skip was told in a test's output: all but the framework's own lines.
func reason(output []string) string {
	var kept []string
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			kept = append(kept, line)
		}
	}
	if len(kept) == 0 {
		return "no reason given"
	}
	return strings.Join(kept, " ")
}

// report prints the end of the run and says whether it was good.
func (s *summary) report(strict bool) bool {
	lacking := 0
	for _, sk := range s.skips {
		mark := "SKIPPED "
		if strings.Contains(sk.reason, optIn) {
			mark = "on request "
		} else {
			lacking++
		}
		fmt.Fprintf(s.out, "%s%s %s: %s\n", mark, sk.id.pkg, sk.id.test, sk.reason)
	}
	for _, f := range s.failures {
		fmt.Fprintf(s.out, "FAILED  %s\n", f)
	}
	fmt.Fprintf(s.out, "%d passed, %d failed, %d skipped in %d packages\n",
		s.passed, len(s.failures), len(s.skips), s.packages)
	return s.verdict(strict, lacking)
}

func (s *summary) verdict(strict bool, lacking int) bool {
	if s.packages == 0 {
		fmt.Fprintln(s.out, "no test ran")
		return false
	}
	if strict && lacking > 0 {
		fmt.Fprintf(s.out, "%d tests skipped for lack of something, which -strict does not allow\n", lacking)
		return false
	}
	return len(s.failures) == 0
}
