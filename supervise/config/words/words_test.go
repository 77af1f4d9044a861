package words

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestWordsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"a && b": `"&&" means`, "a & b": `"&" means`, "a|b": `"|" means`, "a;b": `";" means`, "a > b": `">" means`, "a >> b": `">>" means`,
		"a <b": `"<" means`, "(a)": `"(" means`, "a `b`": "\"`\" means", "a $(b)": `"$(" means`, `a "$(b)"`: "a command in", "a \"`b`\"": "a command in",
		`a "b`: `" quote is not closed`, `a 'b`: `' quote is not closed`,
	} {
		if got, err := Split(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
}

func TestWordsKept(t *testing.T) {
	for text, want := range map[string][]string{
		"": nil, "  \t\n ": nil, "# c": nil, "''": {""}, `""`: {""}, `a''b`: {"ab"}, `"\""`: {`"`}, `"\n"`: {`\n`}, `\n`: {"n"},
		"a\\\nb": {"ab"}, "\"a\\\nb\"": {"ab"}, `a\`: {`a\`}, `'a|b' "c;d" e\&f`: {"a|b", "c;d", "e&f"}, "a # b\nc": {"a", "c"},
		"x=$Y ${Z}": {"x=$Y", "${Z}"}, "é 'ü'": {"é", "ü"}, "* ~ {a,b}": {"*", "~", "{a,b}"},
	} {
		if got, err := Split(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
}

// TestWordsAgreeWithShell lets /bin/sh split the same text.
func TestWordsAgreeWithShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("needs sh")
	}
	compared := 0
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.SampledFrom([]string{
			"a", "b", " ", "  ", "\t", "\n", `\`, `'`, `"`, "#", "é", `\n`, "\\\n", `'x y'`, `"x y"`, `"\""`, `""`, "-", "=", ".",
		}), 0, 12).Draw(t, "parts")
		text := "w " + strings.Join(parts, "")
		got, err := Split(text)
		if err != nil || strings.HasSuffix(text, `\`) {
			return // what a lone last backslash means, shells disagree about
		}
		compared++
		// A line break ends a command for the shell, while here it is a blank.
		out, err := exec.Command(sh, "-f", "-c", `printf '%s\0' `+blankBreaks(text)).Output()
		if err != nil {
			t.Fatalf("%q: sh: %v", text, err)
		}
		want := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		if !slices.Equal(got, want) {
			t.Fatalf("%q: %q, sh has %q", text, got, want)
		}
	})
	if compared < 10 {
		t.Errorf("only %d texts compared", compared)
	}
}

// blankBreaks puts a backslash before line breaks that stand outside of quotes
// and comments, with a blank, so that a shell goes on after them.
func blankBreaks(text string) string {
	var b strings.Builder
	s := splitter{text: text}
	for s.i < len(text) {
		from := s.i
		if s.step() != nil {
			return text
		}
		part := text[from:s.i]
		if part == "\n" || part == "\r" || part == "\t" || strings.HasPrefix(part, "#") && !s.inWord {
			part = " "
		}
		b.WriteString(part)
	}
	return b.String()
}
