package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// stream writes events as go test would.
func stream(t *testing.T, events ...event) string {
	t.Helper()
	var b strings.Builder
	for _, e := range events {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.String()
}

func run(action, test string) event { return event{Action: action, Package: "p", Test: test} }

func said(test, text string) event {
	return event{Action: "output", Package: "p", Test: test, Output: text + "\n"}
}

func TestVerdictAndReport(t *testing.T) {
	pass := []event{run("run", "TestA"), run("pass", "TestA"), run("pass", "")}
	cases := []struct {
		name         string
		events       []event
		raw          string
		strict, good bool
		want         []string
	}{
		{name: "all pass", events: pass, strict: true, good: true, want: []string{"1 passed, 0 failed, 0 skipped in 1 packages"}},
		{name: "nothing ran", want: []string{"no test ran"}},
		{name: "a package without tests does not count", events: []event{run("skip", "")}, want: []string{"no test ran"}},
		{name: "a failure shows its output",
			events: []event{run("run", "TestA"), said("TestA", "boom"), run("fail", "TestA"), run("fail", "")},
			want:   []string{"--- failed: p TestA\nboom", "FAILED  p TestA"}},
		{name: "a panic leaves a test without an end",
			events: []event{run("run", "TestA"), said("TestA", "panic: nil map"), run("fail", "")},
			want:   []string{"panic: nil map", "FAILED  p TestA"}},
		{name: "a build failure",
			events: []event{{Action: "build-output", ImportPath: "p", Output: "x.go:1: undefined\n"}, {Action: "build-fail", ImportPath: "p"}, run("fail", "")},
			want:   []string{"x.go:1: undefined", "FAILED  build of p"}},
		{name: "a skip is named",
			events: append([]event{run("run", "TestS"), said("TestS", "=== RUN   TestS"), said("TestS", "    s_test.go:3: needs root"), said("TestS", "--- SKIP: TestS (0.00s)"), run("skip", "TestS")}, pass...),
			good:   true, want: []string{"SKIPPED p TestS: s_test.go:3: needs root", "1 passed, 0 failed, 1 skipped"}},
		{name: "strict refuses it", strict: true,
			events: append([]event{run("run", "TestS"), said("TestS", "needs root"), run("skip", "TestS")}, pass...),
			want:   []string{"1 tests skipped for lack of something"}},
		{name: "strict allows a choice", strict: true, good: true,
			events: append([]event{run("run", "TestS"), said("TestS", "set PROCGUARD_SOAK=1"), run("skip", "TestS")}, pass...),
			want:   []string{"on request p TestS: set PROCGUARD_SOAK=1"}},
		{name: "a skip without a word is a lack", strict: true,
			events: append([]event{run("run", "TestS"), run("skip", "TestS")}, pass...),
			want:   []string{"no reason given"}},
		{name: "other lines pass through", raw: "go: no such module\n", events: pass, good: true, want: []string{"go: no such module"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			s := newSummary(&out)
			if err := s.read(strings.NewReader(c.raw + stream(t, c.events...))); err != nil {
				t.Fatal(err)
			}
			if got := s.report(c.strict); got != c.good {
				t.Errorf("good = %v, want %v", got, c.good)
			}
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("output lacks %q:\n%s", want, out.String())
				}
			}
		})
	}
}

// The last line may lack its newline when the stream is cut.
func TestCutStream(t *testing.T) {
	var out strings.Builder
	s := newSummary(&out)
	if err := s.read(strings.NewReader(`{"Action":"fail","Package":"p"}`)); err != nil {
		t.Fatal(err)
	}
	if s.report(false) {
		t.Errorf("a failed package counted as good:\n%s", out.String())
	}
}
