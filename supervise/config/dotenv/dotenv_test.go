package dotenv

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func keep(name string) string {
	if name == "KEPT" {
		return "it is ours"
	}
	return ""
}

func TestParse(t *testing.T) {
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
		"KEPT=1":                         "!1: KEPT: it is ours",
		"A=\x00":                         "!0: the env file holds a NUL byte or is not valid UTF-8",
		"A=\xff":                         "!0: the env file holds a NUL byte or is not valid UTF-8",
		"X=\"" + strings.Repeat(`\"`, 3): "!1: X: the \" quote is not closed",
	} {
		vars, bad := Parse([]byte(text), keep)
		var got []string
		for _, v := range vars {
			got = append(got, v.Name+"="+v.Value)
		}
		for _, e := range bad {
			got = append(got, fmt.Sprintf("!%d: %s", e.Line, e.Msg))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q:\n got %q\nwant %q", text, strings.Join(got, " "), want)
		}
	}
}

// TestRead names what would block or exhaust a start.
func TestRead(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"big": MaxSize + 1, "full": MaxSize} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for file, want := range map[string]string{"fifo": "not a plain file", "big": "larger than", "../../../../../../dev/zero": "not a plain file", "none": "no such file", ".": "not a plain file"} {
		if _, err := Read(filepath.Join(dir, file)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", file, err, want)
		}
	}
	if data, err := Read(filepath.Join(dir, "full")); err != nil || len(data) != MaxSize {
		t.Errorf("a file of the largest size: %d bytes, %v", len(data), err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("A='1\n2'\nexport B=\"\\n\" # x\nC=3"))
	f.Fuzz(func(t *testing.T, data []byte) {
		vars, bad := Parse(data, keep)
		for _, v := range vars {
			if !IsName(v.Name) || strings.ContainsRune(v.Value, 0) {
				t.Errorf("%q", v)
			}
		}
		for _, e := range bad {
			if strings.ContainsAny(e.Msg, "\n\x00") {
				t.Errorf("%q", e.Msg)
			}
		}
	})
}
