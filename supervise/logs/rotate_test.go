package logs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestRotation(t *testing.T) {
	l := &logFile{path: filepath.Join(t.TempDir(), "a", "b", "stdout.log"), max: 10, keep: 2}
	defer l.close()
	for _, line := range []string{"1234\n", "5678\n", "abcd\n", "efg\n", "x\n", "\n"} {
		if n, err := l.write([]byte(line)); err != nil || n != len(line) {
			t.Fatal(n, err)
		}
	}
	for path, want := range map[string]string{l.path + ".2": "1234\n5678\n", l.path + ".1": "abcd\nefg\n", l.path: "x\n\n"} {
		if got := readFile(t, path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if got := logsOf(t, l.path); got != "1234\n5678\nabcd\nefg\nx\n\n" {
		t.Errorf("all together: %q", got)
	}
	for range 10 {
		_, _ = l.write([]byte("more of it\n"))
	}
	if n := len(must(filepath.Glob(l.path + "*"))); n != 3 {
		t.Errorf("%d files, want 3", n)
	}
}

func TestRotationCutsAtLines(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		l := &logFile{path: filepath.Join(dir, "f"), max: int64(rapid.IntRange(8, 50).Draw(rt, "max")), keep: 60}
		defer l.close()
		var all strings.Builder
		for _, s := range rapid.SliceOfN(rapid.StringMatching(`([a-z]{0,7}\n){0,6}([a-z]{0,60})?\n`), 0, 4).Draw(rt, "writes") {
			if rapid.Bool().Draw(rt, "reopen") {
				l.close() // as if the descriptor was needed elsewhere, or we were restarted
			}
			if n, err := l.write([]byte(s)); n != len(s) || err != nil {
				rt.Fatal(n, err)
			}
			all.WriteString(s)
		}
		if all.Len() == 0 {
			return
		}
		if got := logsOf(t, l.path); got != all.String() {
			rt.Fatalf("got %q\nwant %q", got, all.String())
		}
		for _, f := range must(filepath.Glob(l.path + "*")) {
			if b := readFile(t, f); int64(len(b)) > l.max {
				rt.Fatalf("%s has %d bytes, limit %d", f, len(b), l.max)
			}
		}
	})
}

func TestRotationWithoutOldFiles(t *testing.T) {
	l := &logFile{path: filepath.Join(t.TempDir(), "f"), max: 10, keep: -1}
	defer l.close()
	for range 5 {
		if _, err := l.write([]byte("1234567\n")); err != nil {
			t.Fatal(err)
		}
	}
	if got := logsOf(t, l.path); got != "1234567\n" {
		t.Errorf("%q", got)
	}
}

func TestNoRotation(t *testing.T) {
	l := &logFile{path: filepath.Join(t.TempDir(), "f"), max: -1, keep: 3}
	defer l.close()
	for range 5 {
		if _, err := l.write([]byte("1234567\n")); err != nil {
			t.Fatal(err)
		}
	}
	if got := readFile(t, l.path); len(got) != 40 {
		t.Errorf("%q", got)
	}
}
