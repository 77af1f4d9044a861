package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A shell that does what the peers do stands in for them: they are seldom
// installed where tests run.
func TestPeers(t *testing.T) {
	b := testBench(t)
	dir := t.TempDir()
	loop := "#!/bin/sh\ntrap 'kill $! 2>/dev/null; exit' TERM\nwhile :; do \"$1/run\" & wait $!; done\n"
	if err := os.WriteFile(filepath.Join(dir, "runsv"), []byte(loop), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	var out strings.Builder
	if err := b.comparePeers(newTable(&out)); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "runsv") || strings.Contains(text, "s6") || strings.Contains(text, " 0.00 ") {
		t.Errorf("table:\n%s", text)
	}
	t.Setenv("PATH", t.TempDir())
	if err := b.comparePeers(newTable(&out)); err == nil || !strings.Contains(err.Error(), "installed") {
		t.Errorf("without any peer: %v", err)
	}
}
