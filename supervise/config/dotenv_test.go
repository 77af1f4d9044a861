package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestDotenv(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "",
		"\n\n# x\n  # y\n":               "",
		"A=1":                            "A=1",
		"A=1\nB=2\n":                     "A=1 B=2",
		"\ufeffA=1\r\nB=2\r\n":           "A=1 B=2",
		"  export A = 1  ":               "A=1",
		"A=":                             "A=",
		"A= # none":                      "A=",
		"A=a # b":                        "A=a",
		"A=a#b":                          "A=a#b",
		`A='it''s'`:                      "!1: A: text after the closing quote",
		`A='a # b' # c`:                  "A=a # b",
		`A="x\ty\qz\$é\é"`:               "A=x\ty\\qz$é\\é",
		"A=\"1\n2\n\"\nB=3":              "A=1\n2\n B=3",
		"A='1\n2' junk\nB=3\nC":          "B=3 !1: A: text after the closing quote !4: expected NAME=value, got \"C\"",
		"A=$B ${C}":                      "A=$B ${C}",
		"A=1\nA=2":                       "A=1 A=2",
		"1A=2\n=3\nA B=4":                "!1: expected NAME=value, got \"1A=2\" !2: expected NAME=value, got \"=3\" !3: expected NAME=value, got \"A B=4\"",
		"A=\"open\nB=2":                  "B=2 !1: A: the \" quote is not closed",
		"PROCGUARD_TASKS=1":              "!1: PROCGUARD_TASKS: this variable is set by ProcGuard itself",
		"A=\x00":                         "!0: the env file holds a NUL byte or is not valid UTF-8",
		"A=\xff":                         "!0: the env file holds a NUL byte or is not valid UTF-8",
		"X=\"" + strings.Repeat(`\"`, 3): "!1: X: the \" quote is not closed",
	} {
		vars, bad := parseDotenv("f", []byte(text))
		var got []string
		for _, v := range vars {
			got = append(got, v.name+"="+v.value)
		}
		for _, e := range bad {
			got = append(got, fmt.Sprintf("!%d: %s", e.Line, e.Msg))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q:\n got %q\nwant %q", text, strings.Join(got, " "), want)
		}
	}
}

// TestEnvFileKinds names what would block or exhaust a start.
func TestEnvFileKinds(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "big"), make([]byte, maxEnvFile+1), 0o600); err != nil {
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

func FuzzDotenv(f *testing.F) {
	f.Add([]byte("A='1\n2'\nexport B=\"\\n\" # x\nC=3"))
	f.Fuzz(func(t *testing.T, data []byte) {
		vars, bad := parseDotenv("f", data)
		for _, v := range vars {
			if !isVarName(v.name) || strings.ContainsRune(v.value, 0) {
				t.Errorf("%q", v)
			}
		}
		for _, e := range bad {
			if strings.ContainsAny(e.Error(), "\n\x00") {
				t.Errorf("%q", e.Error())
			}
		}
	})
}
