package logs

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// recorder keeps what a splitter says, as text: "line", "piece…" for more to come.
type recorder struct {
	got []string
}

func (r *recorder) lines(b []byte) {
	for len(b) > 0 {
		var line []byte
		line, b = nextLine(b)
		r.got = append(r.got, string(line)+"|")
	}
}

func (r *recorder) piece(p piece) {
	text := string(p.data)
	if p.cont {
		text = "+" + text
	}
	if p.end {
		text += "|"
	}
	r.got = append(r.got, text)
}

func split(chunks ...string) []string {
	r := &recorder{}
	s := splitter{out: r}
	for _, c := range chunks {
		s.feed([]byte(c))
	}
	s.flush()
	return r.got
}

func TestSplit(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for _, c := range []struct {
		name string
		in   []string
		want []string
	}{
		{"lines", []string{"a\nb\n\nc\n"}, []string{"a|", "b|", "|", "c|"}},
		{"across reads", []string{"a", "b", "c\nd\ne", "\n"}, []string{"abc|", "d|", "e|"}},
		{"last line without end", []string{"a\nb"}, []string{"a|", "b|"}},
		{"crlf", []string{"a\r\nb\r", "\nc\r\r\n"}, []string{"a|", "b|", "c|"}},
		{"progress, CR first", []string{"\r10%", "\r20%\r30", "%\n"}, []string{"30%|"}},
		{"progress, CR last", []string{"10%\r20%\r", "30%\r", "\n"}, []string{"30%|"}},
		{"progress at the end", []string{"10%\r20%\r"}, []string{"20%|"}},
		{"lone CR lines", []string{"\r\n\r\n"}, []string{"|", "|"}},
		{"zero bytes", []string{"a\x00b\n\xff\xfe\n"}, []string{"a\x00b|", "\xff\xfe|"}},
		{"exactly the longest", []string{long, "\nb\n"}, []string{long + "|", "b|"}},
		{"longer", []string{long, "yz\nb\n"}, []string{long, "+yz|", "b|"}},
		{"longer, then overwritten", []string{long, "y", "\rnew\n"}, []string{long, "+|", "new|"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := split(c.in...); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %.200q\nwant %.200q", got, c.want)
			}
		})
	}
}

// However the bytes are cut by the reads, the lines are the same, and
// they are those of a plain model.
func TestSplitDoesNotDependOnReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.SampledFrom([]rune("ab\n\n\r\x00é")), 0, 60, -1).Draw(t, "text")
		var chunks []string
		for rest := text; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			chunks, rest = append(chunks, rest[:n]), rest[n:]
		}
		if got, want := split(chunks...), modelLines(text); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q in %q: got %q want %q", text, chunks, got, want)
		}
	})
}

func modelLines(text string) []string {
	var want []string
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		l = strings.TrimRight(l, "\r")
		l = l[strings.LastIndex(l, "\r")+1:]
		if i < len(lines)-1 || l != "" {
			want = append(want, l+"|")
		}
	}
	return want
}

func TestSplitterGivesMemoryBack(t *testing.T) {
	s := splitter{out: &recorder{}}
	for range 40 {
		s.feed(bytes.Repeat([]byte("x"), maxLine))
	}
	s.feed([]byte("\n"))
	if cap(s.part) > 256 {
		t.Errorf("holds %d bytes after the line's end", cap(s.part))
	}
}

func TestUnfinishedLineIsDue(t *testing.T) {
	const still, interval = 200 * time.Millisecond, time.Second
	t0 := time.Unix(1000, 0)
	at := func(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }
	s := splitter{out: &recorder{}}
	feed := func(text string, ms int) {
		s.feed([]byte(text))
		s.note(at(ms))
	}
	due := func(want int) {
		t.Helper()
		if got := s.due(still, interval); !got.Equal(at(want)) {
			t.Errorf("due after %v, want %d ms", got.Sub(t0), want)
		}
	}
	feed("Password", 0)
	due(200)
	feed(": ", 150)
	due(350) // still means: since the newest byte
	for ms := 250; ms < 1200; ms += 100 {
		feed(".", ms)
	}
	due(1000) // but it may not dribble on unseen for ever
	if p := s.unshown(at(1000)); string(p.data) != "Password: .........." || p.shown != 0 {
		t.Errorf("shown: %+v", p)
	}
	feed("x", 1010)
	due(2000) // one state a second
	if p := s.unshown(at(2000)); p.shown != len("Password: ..........") {
		t.Errorf("shown twice: %+v", p)
	}
	if s.note(at(2001)) {
		t.Error("nothing is new, yet it waits to be shown")
	}
	feed("\rnew state", 2100)
	due(3000) // an overwritten line is still the same line on the screen
	if p := s.unshown(at(3000)); p.shown != 0 || p.cont || string(p.data) != "new state" {
		t.Errorf("after CR: %+v", p)
	}
}
