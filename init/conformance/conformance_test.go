package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// published is where the tables are.
const published = "../../doc/init.md"

// suite builds the suite without cgo, as it has to be, and gives back what it needs.
func suite(t *testing.T) (program, init string) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes PID and mount namespaces")
	}
	init, err := filepath.Abs(os.Getenv("PROCGUARD"))
	if os.Getenv("PROCGUARD") == "" || err != nil {
		t.Skip("needs the binary to judge: PROCGUARD=/path/to/procguard; make test sets it")
	}
	if err := exec.Command("unshare", "--pid", "--fork", "--mount", "--mount-proc", "true").Run(); err != nil {
		t.Skipf("needs PID and mount namespaces, which are not to be had here: %v", err)
	}
	program = filepath.Join(t.TempDir(), "conformance")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program, init
}

// judge runs the rows whose name contains only.
func judge(t *testing.T, program, init, only string) map[string]map[string]verdict {
	t.Helper()
	c := exec.Command(program, "-format", "json", "-only", only, "-init", init)
	c.Stderr = os.Stderr
	out, err := c.Output() // exit code 1 says only that something is missed, which is looked at here
	var r report
	if jsonErr := json.Unmarshal(out, &r); jsonErr != nil {
		t.Fatalf("%v, and no report: %v\n%s", err, jsonErr, out)
	}
	return r.Cells
}

// TestProcGuardConforms: every required row holds, and the published column is what
// is measured. A busy machine makes a row late now and then, so a bad one is tried again.
func TestProcGuardConforms(t *testing.T) {
	program, init := suite(t)
	name := filepath.Base(init)
	told := column(t, string(procguard))
	cells := judge(t, program, init, "")
	for _, a := range areas() {
		for _, w := range a.rows {
			v := cells[w.name][name]
			for try := 0; try < 2 && !w.fits(v, told[w.name]); try++ {
				v = judge(t, program, init, w.name)[w.name][name]
			}
			if w.required && !v.Good {
				t.Errorf("%s is required: %s", w.name, v.Cell)
			}
			if !w.fits(v, told[w.name]) {
				t.Errorf("%s: %s has %q, measured is %q", w.name, published, told[w.name], v.Cell)
			}
		}
	}
}

// fits compares what was measured with what is published.
func (w row) fits(v verdict, told string) bool {
	if w.required && !v.Good {
		return false
	}
	return told != "" && (w.loose || v.Cell == told)
}

// column is what the tables say of one init, by row.
func column(t *testing.T, name string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(published)
	if err != nil {
		t.Fatal(err)
	}
	told, at := map[string]string{}, 0
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "| ") || len(cells) < 2 {
			continue
		}
		if strings.TrimSpace(cells[0]) == "" {
			for i, c := range cells {
				if strings.TrimSpace(c) == name {
					at = i
				}
			}
			continue
		}
		if at > 0 && at < len(cells) {
			told[strings.TrimSuffix(strings.TrimSpace(cells[0]), " *")] = strings.TrimSpace(cells[at])
		}
	}
	return told
}

// TestTheTablesAreComplete: a row that was added, or renamed, is published too.
func TestTheTablesAreComplete(t *testing.T) {
	told := column(t, string(procguard))
	seen := map[string]bool{}
	for _, a := range areas() {
		for _, w := range a.rows {
			if seen[w.name] {
				t.Errorf("two rows are called %q", w.name)
			}
			if told[w.name] == "" {
				t.Errorf("%s has no row %q: make conformance UPDATE=doc/init.md", published, w.name)
			}
			seen[w.name] = true
		}
	}
}

// TestAnInitThatIsNoneFails: the suite finds what is wrong with a program that does
// nothing of what an init has to.
func TestAnInitThatIsNoneFails(t *testing.T) {
	program, _ := suite(t)
	for _, name := range []string{"1 orphan", "128+n"} {
		for row, cells := range judge(t, program, "/usr/bin/env", name) {
			if cells["env"].Good {
				t.Errorf("env is said to do %q: %s", row, cells["env"].Cell)
			}
		}
	}
}

func TestWrongCommandLines(t *testing.T) {
	for _, args := range [][]string{{"-format", "html"}, {"word"}, {"-jobs", "0"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}
