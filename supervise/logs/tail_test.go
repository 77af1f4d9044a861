package logs

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTailKeepsTheNewest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tl := tail{max: rapid.IntRange(1, 40).Draw(t, "max")}
		all := ""
		for _, s := range rapid.SliceOfN(rapid.StringN(0, 30, 90), 0, 20).Draw(t, "writes") {
			tl.write([]byte(s))
			all += s
		}
		want := all[max(0, len(all)-tl.max):]
		if got := string(tl.bytes()); got != want {
			t.Fatalf("got %q want %q", got, want)
		}
	})
}

func TestTailOfSilenceCostsNothing(t *testing.T) {
	tl := tail{max: 16 << 10}
	tl.write(nil)
	if cap(tl.buf) != 0 {
		t.Errorf("%d bytes held", cap(tl.buf))
	}
	tl.write([]byte("one line\n"))
	if cap(tl.buf) > 64 {
		t.Errorf("%d bytes held for one line", cap(tl.buf))
	}
}

func TestLastLines(t *testing.T) {
	for _, c := range []struct {
		in       string
		max, n   int
		whole    bool
		expected string
	}{
		{"", 100, 100, true, ""},
		{"a\nb\nc\n", 100, 100, true, "a\nb\nc\n"},
		{"a\nb\nc\n", 100, 2, true, "b\nc\n"},
		{"a\nb\nc", 100, 2, true, "b\nc"},
		{"\n\n\n", 100, 2, true, "\n\n"},
		{"aaa\nbbb\n", 5, 100, true, "bbb\n"},
		{"aaa\nbbb\n", 4, 100, true, "bbb\n"},
		{"aaa\nbbb\n", 3, 100, true, "bb\n"}, // one line alone is too long: its end
		{"lf\nbbb\n", 100, 100, false, "bbb\n"},
		{strings.Repeat("x", 50), 10, 5, true, "xxxxxxxxxx"},
	} {
		got := string(lastLines([]byte(c.in), c.max, c.n, c.whole))
		if got != c.expected {
			t.Errorf("lastLines(%q, %d, %d, %v) = %q, want %q", c.in, c.max, c.n, c.whole, got, c.expected)
		}
	}
}
