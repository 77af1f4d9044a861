package config

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/procguard/procguard/supervise/config/dotenv"
)

// TestEnvFileKinds names what would block or exhaust a start.
func TestEnvFileKinds(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "big"), make([]byte, dotenv.MaxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"fifo": "not a plain file", "big": "larger than", "/dev/zero": "not a plain file", "none": "no such file", "": "not empty"} {
		text := "workers: [{worker_id: w, command: x, env_file: \"" + file + "\"}]"
		_, err := Parse(filepath.Join(dir, "c.yaml"), []byte(text), environ())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", file, err, want)
		}
	}
}

func TestEnvFilePrecedence(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"one": "A=1\nB=1\nC=1", "two": "B=2\nC=2"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := Parse(filepath.Join(dir, "c.yaml"), []byte("workers: [{worker_id: w, command: x, env_file: [one, \"${F}\"], env: {C: 3}}]"),
		environ("F", filepath.Join(dir, "two")))
	if err != nil {
		t.Fatal(err)
	}
	if w := cfg.Workers[0]; w.Env["A"]+w.Env["B"]+w.Env["C"] != "123" || len(w.EnvFiles) != 2 {
		t.Errorf("%v %v", w.Env, w.EnvFiles)
	}
}
