package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-multierror"
)

var update = flag.Bool("update", false, "write golden files anew")

// environ is a lookup in fixed variables.
func environ(kv ...string) func(string) (string, bool) {
	m := map[string]string{"PROCGUARD_NODE": "node-1"}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return func(name string) (string, bool) { v, ok := m[name]; return v, ok }
}

// mustParse is a file that has to be right.
func mustParse(t testing.TB, text string, kv ...string) *Config {
	t.Helper()
	cfg, err := Parse("test.yaml", []byte(text), environ(kv...))
	if err != nil {
		t.Fatalf("unexpected mistakes:\n%v", err)
	}
	return cfg
}

// mistakesIn is what is wrong with a file that has to be wrong.
func mistakesIn(t testing.TB, text string, kv ...string) string {
	t.Helper()
	cfg, err := Parse("test.yaml", []byte(text), environ(kv...))
	if err == nil {
		t.Fatalf("accepted:\n%s", text)
	}
	if cfg != nil {
		t.Fatalf("a Config came with the mistakes")
	}
	return err.Error()
}

// TestMistakes compares every message of every bad file with its golden one.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			cfg, err := Load(file, environ("WORD", "many", "NUMBER", "99"))
			if err == nil || cfg != nil {
				t.Fatalf("accepted, or a Config beside the error: %v", cfg)
			}
			checkOrder(t, err)
			golden(t, strings.TrimSuffix(file, ".yaml")+".err", err.Error()+"\n")
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// checkOrder checks the promises of Load about its error.
func checkOrder(t testing.TB, err error) {
	t.Helper()
	var all *multierror.Error
	if !errors.As(err, &all) {
		t.Fatalf("a %T, not a multierror", err)
	}
	last := map[string]int{}
	for _, err := range all.Errors {
		e, ok := err.(*Error)
		if !ok {
			t.Fatalf("a %T inside: %v", err, err)
		}
		if e.File == "" || e.Msg == "" || strings.ContainsAny(e.Error(), "\n\x00") {
			t.Errorf("not one clear line: %q", e.Error())
		}
		at := e.Line*10000 + e.Col
		if at < last[e.File] && e.Line > 0 {
			t.Errorf("out of order: %v", e)
		}
		last[e.File] = at
	}
}
