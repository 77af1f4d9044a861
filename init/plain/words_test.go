package plain

import (
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/procguard/procguard/supervise/config"
)

// TestWordsReadAsInAFile: --pre-stop and `command:` are split by two pieces of code,
// because the second may not be imported here. They have to agree, on errors too.
func TestWordsReadAsInAFile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{
			"a", "b", " ", "\t", "\n", "\r", `\`, `'`, `"`, "#", "é", "\\\n", `'x y'`, `"x y"`, `"\""`, `""`, "=", "$", "(", "$(", "`", "|", "||", "&", ";", "<", ">", ")",
		}), 0, 12).Draw(t, "parts"), "")
		got, err := words("w " + text)
		cfg, fileErr := config.Parse("f.yaml", []byte("workers: [{worker_id: w, command: "+quoteYAML("w "+text)+"}]"), func(string) (string, bool) { return "", false })
		if (err != nil) != (fileErr != nil) {
			t.Fatalf("%q: %v; in a file: %v", text, err, fileErr)
		}
		if err == nil && !slices.Equal(got, cfg.Workers[0].Command) {
			t.Fatalf("%q: %q; in a file: %q", text, got, cfg.Workers[0].Command)
		}
	})
}

// quoteYAML: $ is doubled because a file has variables.
func quoteYAML(text string) string { return strconv.Quote(strings.ReplaceAll(text, "$", "$$")) }

func TestWords(t *testing.T) {
	for text, want := range map[string][]string{
		"": nil, " \t\n": nil, "# c": nil, "''": {""}, `a''b`: {"ab"}, `"\n"`: {`\n`}, `\n`: {"n"}, "a\\\nb": {"ab"}, `a\`: {`a\`},
		`'a|b' "c;d" e\&f`: {"a|b", "c;d", "e&f"}, "a # b\nc": {"a", "c"}, "a#b": {"a#b"}, "$X ${Y}": {"$X", "${Y}"}, `kill -USR1 1`: {"kill", "-USR1", "1"},
	} {
		if got, err := words(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
}

// TestWordsAsShell lets sh split the same text.
func TestWordsAsShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("needs sh")
	}
	for _, text := range []string{`a 'b c' "d e" f\ g`, `x"y"'z'`, `"a\"b\\c\d" 'a\b'`, `'' "" a`, `"é" '#' #x`} {
		out, err := exec.Command(sh, "-f", "-c", `printf '%s\0' `+text).Output()
		if err != nil {
			t.Fatal(err)
		}
		got, err := words(text)
		if want := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v, sh has %q", text, got, err, want)
		}
	}
}
