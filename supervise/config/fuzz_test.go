package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-multierror"
)

// FuzzParse looks for input that panics, takes long, or is accepted although
// what comes out of it is not fit to run.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yaml", "testdata/good/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatal(pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	env := environ("WORD", "many", "N", "3", "EMPTY", "")
	f.Fuzz(func(t *testing.T, data []byte) {
		begin := time.Now()
		cfg, err := Parse("testdata/good/fuzz.yaml", data, env)
		if spent := time.Since(begin); spent > 20*time.Second {
			t.Fatalf("took %v for %d bytes", spent, len(data))
		}
		if err != nil {
			checkOrder(t, err)
			return
		}
		checkFit(t, cfg)
	})
}

// checkFit holds for every Config that Parse returns.
func checkFit(t *testing.T, cfg *Config) {
	t.Helper()
	known := map[string]bool{}
	for _, w := range cfg.Workers {
		if w.ID == "" || known[w.ID] || len(w.Command) == 0 || w.Command[0] == "" || w.Env == nil {
			t.Errorf("unfit: %+v", w)
		}
		known[w.ID] = true
		for _, s := range append(w.Command, w.WorkingDir, w.User, w.PIDFile) {
			if strings.ContainsRune(s, 0) {
				t.Errorf("%s: a NUL in %q", w.ID, s)
			}
		}
		if w.RestartDelay < 0 || w.Stop.Grace < 0 || w.StartupTimeout <= 0 || w.Backoff.Factor < 1 || w.Backoff.Max < w.RestartDelay {
			t.Errorf("%s: %+v", w.ID, w)
		}
	}
	for _, w := range cfg.Workers {
		for _, dep := range w.DependsOn {
			if !known[dep.Worker] || dep.Worker == w.ID {
				t.Errorf("%s depends on %s", w.ID, dep.Worker)
			}
		}
	}
	for _, task := range cfg.Tasks {
		if task.WorkerID != "" && !known[task.WorkerID] || task.Payload != nil && !json.Valid(task.Payload) || !(task.Weight > 0) {
			t.Errorf("%+v", task)
		}
	}
}

// TestHostileInput is what a fuzzer takes long to think of. The times are
// generous: the point is that none is quadratic.
func TestHostileInput(t *testing.T) {
	const size = 256 << 10
	for name, unit := range map[string]string{
		"brackets": "[", "braces": "{a: ", "dashes": "- ", "questions": "? ", "anchors": "&a ", "quotes": `"`, "comments": "#\n",
		"doubled keys": "a: b\n", "items": "- a\n", "commented": "- a #x\n", "documents": "---\n", "tabs": "\t", "colons": ": ",
		"variables": "${A:-", "aliases": "*a ", "bars": "|\n", "directives": "%a b\n", "blank": "\n \n",
	} {
		begin := time.Now()
		_, err := Parse(name, []byte(strings.Repeat(unit, size/len(unit))), environ())
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if spent := time.Since(begin); spent > 20*time.Second {
			t.Errorf("%s took %v", name, spent)
		}
		checkOrder(t, err)
	}
}

// TestSyntaxErrorsStayLocal breaks each line of a good file in turn, and expects
// any syntax error to name that line or one after it.
func TestSyntaxErrorsStayLocal(t *testing.T) {
	text, err := os.ReadFile("testdata/good/seed.yaml")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for i := 1; i < len(lines); i++ {
		broken := append(append([]string{}, lines[:i]...), append([]string{"  ]: \"" + lines[i]}, lines[i+1:]...)...)
		_, err := Parse("x", []byte(strings.Join(broken, "\n")), environ())
		var all *multierror.Error
		if !errors.As(err, &all) {
			t.Fatalf("line %d: %v", i+1, err)
		}
		if e := all.Errors[0].(*Error); e.Line != i+1 {
			t.Errorf("line %d is broken: %v", i+1, e)
		}
	}
}

func largeFile(n int) []byte {
	var b strings.Builder
	b.WriteString("workers:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - worker_id: worker_%d\n    command: python3 train.py --rank %d --lr 0.1\n    env: {RANK_NUMBER: %d, CUDA_VISIBLE_DEVICES: 0}\n    max_restarts: 5\n    restart_delay: 500ms\n    group: g%d\n    worker_type: training\n    stop: {signal: INT, grace: 60}\n    tasks: [t%d]\n", i, i, i, i%16, i)
	}
	return []byte(b.String())
}

func TestFiveThousandWorkers(t *testing.T) {
	cfg, err := Parse("large", largeFile(5000), environ())
	if err != nil || len(cfg.Workers) != 5000 || len(cfg.Tasks) != 5000 {
		t.Fatal(err)
	}
}

func BenchmarkFiveThousandWorkers(b *testing.B) {
	data := largeFile(5000)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Parse("large", data, environ()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFiveThousandReplicas(b *testing.B) {
	data := []byte("workers: [{worker_id: w, command: python3 train.py, replicas: 5000, env: {A: 1, B: 2}}]")
	for b.Loop() {
		if _, err := Parse("replicas", data, environ()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSmallFile(b *testing.B) {
	data := []byte("workers: [{worker_id: w, command: x}]")
	for b.Loop() {
		if _, err := Parse("small", data, environ()); err != nil {
			b.Fatal(err)
		}
	}
}
