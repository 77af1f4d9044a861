package config

import (
	"os"
	"strings"
	"testing"
)

const docFile = "../../doc/config.md"

// TestReference keeps the tables of doc/config.md those of the parser;
// -update writes them.
func TestReference(t *testing.T) {
	text, err := os.ReadFile(docFile)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- keys: made by go test ./supervise/config -run TestReference -update -->\n", "<!-- end of keys -->"
	head, rest, ok1 := strings.Cut(string(text), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s lacks the marks around its tables", docFile)
	}
	golden(t, docFile, head+begin+Reference()+"\n"+end+tail)
}

// TestReferenceExamples parses every example of the tables, and every YAML block
// of the page.
func TestReferenceExamples(t *testing.T) {
	base := "defaults: {command: x}\nworkers:\n  - {worker_id: loader, env_file: []}\n  - {worker_id: trainer_1, env_file: [], worker_type: training}\n"
	for _, s := range table().sections {
		for _, k := range s.keys {
			if k.example == "" || k.name == "env_file" {
				continue
			}
			text := exampleFile(base, s.name, k.name, k.example)
			if _, err := Parse("example.yaml", []byte(text), environ()); err != nil {
				t.Errorf("%s %s: %v\n%s", s.name, k.name, err, text)
			}
		}
	}
	page, err := os.ReadFile(docFile)
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```yaml\n")[1:]
	for _, b := range blocks {
		text, _, _ := strings.Cut(b, "```")
		if _, err := Parse("testdata/page.yaml", []byte(text), environ("HOME", "/root")); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
	if len(blocks) < 2 {
		t.Errorf("only %d YAML blocks", len(blocks))
	}
}

// exampleFile puts one example where its section is.
func exampleFile(base, section, name, example string) string {
	line := name + ": " + example
	switch {
	case section == "" && name == "defaults":
		return "defaults: {command: x, restart_delay: 1, env: {PYTHONUNBUFFERED: 1}}\nworkers: [{worker_id: w}]\n"
	case section == "":
		return base + line + "\n"
	case section == "workers[]" && name == "worker_id":
		return base + "  - " + line + "\n"
	case section == "workers[]" && name == "standby", section == "workers[]" && name == "max_restarts":
		return base + "  - {worker_id: spare, " + line + "}\n"
	case section == "workers[]":
		extra := ""
		if needs := map[string]string{"min_replicas": "replicas: 2", "health_check_body": "health_check_url: http://localhost/",
			"heartbeat_floor": "heartbeat_timeout: auto", "max_cpu_window": "max_cpu: 100"}[name]; needs != "" {
			extra = "\n    " + needs
		}
		return base + "  - worker_id: w\n    " + line + extra + "\n"
	case strings.HasPrefix(section, "workers[]."):
		return base + "  - worker_id: w\n    restart_delay: 0\n    " + section[len("workers[]."):] + ":\n      " + line + "\n"
	case section == "tasks[]" && name == "task_id":
		return base + "tasks:\n  - " + line + "\n"
	case section == "tasks[]":
		return base + "tasks:\n  - task_id: t\n    " + line + "\n"
	}
	line = strings.TrimSpace(line + map[string]string{"allow": "\nsecret: /s.key", "may": "\nkey: /k.pub"}[name])
	section, inPeer := strings.CutSuffix(section, ".allow{}")
	if inPeer {
		line = "secret: /s.key\nallow:\n  peer:\n    " + strings.ReplaceAll(line, "\n", "\n    ")
	}
	nest := ""
	for outer := range strings.SplitSeq(section, ".") {
		base += nest + outer + ":\n"
		nest += "  "
	}
	return base + nest + strings.ReplaceAll(line, "\n", "\n"+nest) + "\n"
}

// TestTable checks what every row of the table owes its readers.
func TestTable(t *testing.T) {
	for _, s := range table().sections {
		for _, k := range s.keys {
			if k.effect == "" || !strings.HasSuffix(k.effect, ".") {
				t.Errorf("%s %s: the effect %q is no sentence", s.name, k.name, k.effect)
			}
			if k.kind.label() != "mapping" && !strings.HasPrefix(k.kind.label(), "list of") && k.example == "" && s.name != "" {
				t.Errorf("%s %s: no example", s.name, k.name)
			}
			for _, other := range k.aka {
				if hint := hintFor(other, s); hint != didYouMean(k.name) {
					t.Errorf("%s: %s leads to %q, not to %s", s.name, other, hint, k.name)
				}
			}
		}
		for _, name := range s.later {
			for _, k := range s.keys {
				if k.name == name {
					t.Errorf("%s: %s is both known and not", s.name, name)
				}
			}
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "ab", 1}, {"abc", "axc", 1}, {"kitten", "sitting", 3}, {"ca", "abc", 3}} {
		if got := distance(c.a, c.b); got != c.want || distance(c.b, c.a) != c.want {
			t.Errorf("%q, %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
	if nearest(strings.Repeat("x", 1<<20), []string{"x"}) != "" {
		t.Error("a long name has no near one")
	}
}
