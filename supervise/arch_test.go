package supervise

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/procguard/procguard/"

// allowed says which of our own packages each room may import, directly or not.
// A room that is not listed may import nothing of ours. "…/" covers what is below.
var allowed = map[string][]string{
	"state":                  {},
	"state/journal":          {"state", "state/journal/"},
	"state/journal/":         {"state", "state/journal/"},
	"reaper":                 {"reaper/cgroup", "reaper/command", "reaper/proc"},
	"reaper/":                {"reaper", "reaper/"},
	"reaper/account":         {},
	"reaper/cgroup":          {},
	"reaper/command":         {},
	"reaper/proc":            {},
	"reaper/catch":           {},
	"reaper/solo":            {"reaper/catch", "reaper/command", "reaper/proc", "reaper/trim"},
	"reaper/trim":            {},
	"supervise/fleet":        {"state"},
	"supervise/config":       {"supervise/config/"},
	"supervise/config/":      {},
	"supervise/logs":         {},
	"supervise/probe":        {"state", "supervise/probe/"},
	"supervise/probe/":       {},
	"supervise/cause":        {},
	"supervise/cause/":       {"supervise/cause"},
	"supervise/evidence":     {"supervise/cause", "state", "state/journal/disk", "state/journal/incident"},
	"supervise/control":      {"state"},
	"supervise/slate":        {},
	"supervise/bus":          {"supervise/bus/"},
	"supervise/bus/":         {"supervise/bus", "supervise/bus/"},
	"supervise/sim":          {"state", "supervise/fleet"},
	"supervise/bench":        {"state", "state/", "reaper", "reaper/", "supervise", "supervise/"},
	"supervise":              {"state", "state/", "reaper", "reaper/", "supervise/"},
	"init":                   {"state", "state/", "reaper", "reaper/", "supervise", "supervise/", "init/"},
	"init/":                  {"state", "state/", "reaper", "reaper/", "supervise", "supervise/"},
	"init/early":             {"reaper/catch"},
	"init/first":             {"init/plain", "reaper/account", "reaper/catch", "reaper/command", "reaper/proc", "reaper/solo", "reaper/trim", "supervise/config/dotenv", "supervise/config/words"},
	"init/plain":             {"reaper/account", "reaper/catch", "reaper/command", "reaper/proc", "reaper/solo", "reaper/trim", "supervise/config/dotenv", "supervise/config/words"},
	"examples/library":       {"state", "state/", "reaper", "reaper/", "supervise", "supervise/"},
	"build/testsum":          {},
	"state/journal/disk":     {},
	"state/journal/incident": {"state", "state/journal/disk"},
}

type pkg struct {
	ImportPath string
	Deps       []string
}

func list(t *testing.T) (all []pkg) {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Deps", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// rule finds the entry of the package itself, else that of the nearest room above.
func rule(name string) ([]string, bool) {
	if may, ok := allowed[name]; ok {
		return may, true
	}
	for at := strings.LastIndexByte(name, '/'); at >= 0; at = strings.LastIndexByte(name[:at], '/') {
		if may, ok := allowed[name[:at]+"/"]; ok {
			return may, true
		}
	}
	return nil, false
}

func covers(may []string, dep string) bool {
	return slices.ContainsFunc(may, func(m string) bool {
		return dep == m || strings.HasSuffix(m, "/") && strings.HasPrefix(dep, m)
	})
}

// TestImportsGoDown: init -> supervise -> {reaper, state/journal, supervise/*},
// fleet -> state -> the standard library.
func TestImportsGoDown(t *testing.T) {
	for _, p := range list(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		may, known := rule(name)
		if !known {
			t.Errorf("%s has no rule: say here what it may import", name)
		}
		for _, dep := range p.Deps {
			if own, ok := strings.CutPrefix(dep, module); ok && !covers(may, own) {
				t.Errorf("%s imports %s", name, own)
			}
		}
	}
}

// TestPureRoomsUseOnlyTheStandardLibrary, and of that nothing that reaches outside.
func TestPureRoomsUseOnlyTheStandardLibrary(t *testing.T) {
	for _, name := range []string{"state", "supervise/fleet", "supervise/cause"} {
		out, err := exec.Command("go", "list", "-f", `{{join .Imports " "}}`, module+name).Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range strings.Fields(string(out)) {
			first, _, _ := strings.Cut(imp, "/")
			if own := strings.HasPrefix(imp, module); own || slices.Contains([]string{"os", "syscall", "sync", "log", "net", "runtime", "unsafe"}, first) || strings.Contains(first, ".") {
				if !own || imp != module+"state" {
					t.Errorf("%s imports %s", name, imp)
				}
			}
		}
	}
}

// TestForksAreTheReapers: nobody else may fork or wait, or statuses get lost.
func TestForksAreTheReapers(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}: {{join .Imports " "}}`, module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		name, imports, _ := strings.Cut(strings.TrimSpace(line), ": ")
		name = strings.TrimPrefix(name, module)
		if slices.Contains(strings.Fields(imports), "os/exec") && !strings.HasPrefix(name, "build/") && !strings.HasPrefix(name, "supervise/bench") && !strings.HasPrefix(name, "init/e2e") {
			t.Errorf("%s imports os/exec", name)
		}
	}
}
