package logs

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestTextLines(t *testing.T) {
	sh := newShape(Text, StreamSpec{Worker: "w", Label: "trainer\n]0"}, Stdout, false)
	if got := string(sh.line(nil, []byte("hi \xff"), false, true, nil)); got != "[trainer??0] hi \xff\n" {
		t.Errorf("%q", got)
	}
	if got := string(sh.line(nil, []byte("more"), true, true, nil)); got != "[trainer??0+] more\n" {
		t.Errorf("%q", got)
	}
	sh = newShape(Text, StreamSpec{Worker: "w"}, Stdout, true)
	if got := string(sh.line(nil, nil, false, true, nil)); !strings.HasPrefix(got, "\x1b[3") || !strings.HasSuffix(got, "[w]\x1b[0m \n") {
		t.Errorf("coloured: %q", got)
	}
}

type jsonLine struct {
	Time    time.Time
	Worker  string
	Stream  string
	Attempt int
	Line    *string
	Partial bool
	Lines   int    `json:"dropped_lines"`
	Bytes   int    `json:"dropped_bytes"`
	Reason  string `json:"reason"`
	Notice  string
}

func parseJSON(t *testing.T, line string) (v jsonLine) {
	t.Helper()
	if err := json.Unmarshal([]byte(line), &v); err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	return v
}

func TestJSONLines(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 678000, time.UTC)
	stamp := appendStamp(nil, now)
	sh := newShape(JSON, StreamSpec{Worker: `a"b`, Attempt: 7}, Stderr, false)
	line := string(sh.line(nil, []byte("x\ty"), false, true, stamp))
	want := `{"time":"2026-01-02T03:04:05.000678Z","worker":"a\"b","stream":"stderr","attempt":7,"line":"x\ty"}` + "\n"
	if line != want {
		t.Errorf("got  %swant %s", line, want)
	}
	v := parseJSON(t, string(sh.line(nil, nil, true, false, stamp)))
	if !v.Partial || *v.Line != "" || !v.Time.Equal(now) {
		t.Errorf("%+v", v)
	}
}

// Any bytes become one line of valid JSON, and valid UTF-8 comes back unchanged.
func TestJSONStringsOfAnyBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		if rapid.Bool().Draw(t, "text") {
			in = []byte(rapid.String().Draw(t, "string") + "\u2028\x00\x1f\"\\\x7f")
		}
		out := appendJSONString(nil, in)
		var got string
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		if strings.ContainsAny(string(out), "\n\r\u2028") {
			t.Fatalf("a line's end in %q", out)
		}
		if want := strings.ToValidUTF8(string(in), "\ufffd"); utf8.Valid(in) && got != want {
			t.Fatalf("got %q want %q", got, want)
		}
	})
}

func TestMarks(t *testing.T) {
	l := loss{&source{worker: "worker_3", stream: Stderr, attempt: 2}, 1234, 56 << 10}
	text := string(appendMark(nil, Text, l, "console blocked", time.Now()))
	if text != "[procguard] 1234 lines (56 KiB) of worker_3 dropped: console blocked\n" {
		t.Errorf("%q", text)
	}
	v := parseJSON(t, string(appendMark(nil, JSON, l, "why", time.Now())))
	if v.Worker != "worker_3" || v.Stream != "stderr" || v.Attempt != 2 || v.Lines != 1234 || v.Bytes != 56<<10 || v.Reason != "why" {
		t.Errorf("%+v", v)
	}
	l.lines = 1
	if text := string(appendMark(nil, Text, l, "x", time.Now())); !strings.Contains(text, "1 line (") {
		t.Errorf("%q", text)
	}
	if v := parseJSON(t, string(appendNotice(nil, `no "space"`, time.Now()))); v.Notice != `no "space"` {
		t.Errorf("%+v", v)
	}
}

func TestByteCount(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1024: "1 KiB", 3 << 19: "1.5 MiB", 5 << 29: "2.5 GiB"} {
		if got := byteCount(n); got != want {
			t.Errorf("byteCount(%d) = %q, want %q", n, got, want)
		}
	}
}
