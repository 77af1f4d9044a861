package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/procguard/procguard/init/plain"
)

// TestVerbsAreKnown: a verb that package plain does not know would be taken for a
// command to run.
func TestVerbsAreKnown(t *testing.T) {
	code := 0
	root := rootCommand(&code, make(chan os.Signal))
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd("x")
	for _, c := range root.Commands() {
		for _, name := range append(c.Aliases, c.Name()) {
			if !plain.IsVerb(name) {
				t.Errorf("package plain takes the verb %s for a command", name)
			}
		}
	}
}

func TestHelpNamesPlainFlags(t *testing.T) {
	code := 0
	root := rootCommand(&code, make(chan os.Signal))
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetArgs([]string{"--help"})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	head, tail, ok := strings.Cut(out.String(), "\nFlags of a plain init")
	for _, f := range plain.Flags() {
		if !ok || strings.Contains(head, "  --"+f.Name+" ") || strings.Count(tail, " --"+f.Name+" ") != 1 {
			t.Errorf("--%s is not named once, at the end:\n%s", f.Name, out.String())
		}
	}
}

func TestPlainFlagsAreCompleted(t *testing.T) {
	for typed, want := range map[string]string{"--gra": "--grace", "--kill": "--kill-orphans", "--stop-signal=Q": "QUIT"} {
		code := 0
		root := rootCommand(&code, make(chan os.Signal))
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetArgs([]string{"__complete", typed})
		if err := root.Execute(); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %v\n%s", typed, err, out.String())
		}
	}
}

// TestPlainFlagsWantACommand: such a mix is no plain call, so root sees it.
func TestPlainFlagsWantACommand(t *testing.T) {
	code := 0
	root := rootCommand(&code, make(chan os.Signal))
	root.SetArgs([]string{"--grace", "5", "--config", "/dev/null"})
	if err := root.Execute(); err == nil || !strings.Contains(err.Error(), "--grace: only for a command") {
		t.Errorf("%v", err)
	}
}
