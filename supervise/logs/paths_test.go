package logs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPath(t *testing.T) {
	got := Path("/var/log", 3, "trainer_0", Stderr)
	if got != "/var/log/attempt_3/trainer_0/stderr.log" {
		t.Error(got)
	}
}

func TestSafeName(t *testing.T) {
	for in, want := range map[string]string{
		"worker_0": "worker_0", "a.b-c": "a.b-c", ".": "%2E", "..": "%2E.", ".hidden": "%2Ehidden",
		"../../etc": "%2E.%2F..%2Fetc", "a b": "a%20b", "": "%", "%": "%25", "é": "%C3%A9", "a\x00b": "a%00b",
	} {
		if got := safeName(in); got != want {
			t.Errorf("safeName(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSafeNamesAreOneFileNameEach(t *testing.T) {
	seen := map[string]string{}
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.String().Draw(t, "id")
		if rapid.Bool().Draw(t, "long") {
			id = strings.Repeat("x", 300) + id
		}
		name := safeName(id)
		if filepath.Base(name) != name || len(name) > 255 || name == "." || name == ".." {
			t.Fatalf("safeName(%q) = %q", id, name)
		}
		if other, ok := seen[name]; ok && other != id {
			t.Fatalf("%q and %q are both %q", id, other, name)
		}
		seen[name] = id
	})
}

func TestPruneAttempts(t *testing.T) {
	dir := t.TempDir()
	for n := range 12 {
		for _, w := range []string{"a", "b"} {
			if w == "b" && n < 3 {
				continue
			}
			if err := os.MkdirAll(filepath.Dir(Path(dir, n, w, Stdout)), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "attempt_x", "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	pruneAttempts(dir, "a", 10, 4)
	var left []string
	for _, p := range must(filepath.Glob(dir + "/attempt_*/a")) {
		left = append(left, strings.TrimPrefix(p, dir+"/attempt_"))
	}
	// 10 is the current one, 11 is not older and not ours to judge.
	if got := strings.Join(left, " "); got != "10/a 11/a 7/a 8/a 9/a x/a" {
		t.Errorf("left: %s", got)
	}
	if n := len(must(filepath.Glob(dir + "/attempt_*/b"))); n != 9 {
		t.Errorf("another worker's folders: %d of 9 left", n)
	}
	if _, err := os.Stat(filepath.Join(dir, "attempt_2")); !os.IsNotExist(err) {
		t.Errorf("an attempt that holds nobody was left: %v", err)
	}
	pruneAttempts(dir, "b", 11, -1)
	if n := len(must(filepath.Glob(dir + "/attempt_*/b"))); n != 9 {
		t.Errorf("keep all: %d of 9 left", n)
	}
}
