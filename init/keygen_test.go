package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/procguard/procguard/supervise/bus/curve"
)

// runKeygen runs the verb and returns what it said.
func runKeygen(t *testing.T, dir string, args ...string) (stdout, stderr string, ok bool) {
	t.Helper()
	cmd := exec.Command("procguard", append([]string{"keygen"}, args...)...)
	cmd.Dir = dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	return out.String(), errs.String(), err == nil
}

func TestKeygen(t *testing.T) {
	dir := t.TempDir()
	stdout, stderr, ok := runKeygen(t, dir, "trainer-0")
	if !ok || stderr != "" {
		t.Fatalf("keygen: %s", stderr)
	}
	info, err := os.Stat(filepath.Join(dir, "trainer-0.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the secret's mode: %v, %v", info, err)
	}
	text, err := curve.ReadFile(filepath.Join(dir, "trainer-0.key"))
	if err != nil {
		t.Fatal(err)
	}
	secret, _ := curve.Parse(text)
	public, _ := secret.Public()
	written, err := curve.ReadFile(filepath.Join(dir, "trainer-0.pub"))
	if err != nil || stdout != public+"\n" || written != public {
		t.Errorf("printed %q, written %q, %v, want %q", stdout, written, err, public)
	}
	again, stderr, ok := runKeygen(t, dir, "trainer-0")
	if ok || again != "" || !strings.Contains(stderr, "file exists") || !strings.Contains(stderr, "hint: ") {
		t.Errorf("a second time: %q %q %v", again, stderr, ok)
	}
	if now, err := curve.ReadFile(filepath.Join(dir, "trainer-0.key")); err != nil || now != text {
		t.Error("the secret was overwritten")
	}
	if strings.Contains(stdout+stderr+again, text) {
		t.Error("the secret was printed")
	}
}

// TestKeygenKeepsWhatIsThere: half a pair is not completed, and nothing is left of a failure.
func TestKeygenKeepsWhatIsThere(t *testing.T) {
	for _, have := range []string{"n.key", "n.pub"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, have), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, ok := runKeygen(t, t.TempDir(), "--out", dir, "n"); ok {
			t.Errorf("%s is there, and it went on", have)
		}
		files, _ := os.ReadDir(dir)
		text, _ := os.ReadFile(filepath.Join(dir, have))
		if len(files) != 1 || string(text) != "mine" {
			t.Errorf("%s was there; now %v, %q", have, files, text)
		}
	}
	for _, name := range []string{"", "../x", "a/b", ".x"} {
		if _, stderr, ok := runKeygen(t, t.TempDir(), "--", name); ok {
			t.Errorf("the name %q: %s", name, stderr)
		}
	}
}
