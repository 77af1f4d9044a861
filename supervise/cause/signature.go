package cause

import (
	"regexp"
	"strings"
)

// maxSignature is ample for telling failures apart and short enough for a log line.
const maxSignature = 160

// Signature makes one of a head, which is kept as it is (class, signal, exit
// code), and of the program's words. Of these nothing is kept that differs from
// one run to the next or from one rank to another: numbers, addresses, times, and
// of a path only the last element. It may still differ where a program prints
// random words.
func Signature(head string, words ...string) string {
	keep := []string{head}
	for _, p := range words {
		if p = Normalize(p); p != "" {
			keep = append(keep, p)
		}
	}
	s := strings.Join(keep, ":")
	if len(s) > maxSignature {
		s = strings.ToValidUTF8(s[:maxSignature], "")
	}
	return s
}

// normal is applied in this order. The later rows see what the earlier ones left.
var normal = []struct {
	re *regexp.Regexp
	to string
	by func(string) string // in place of to
}{
	{regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`), "", nil},
	{regexp.MustCompile(`^\[(?:rank|default)?\d+\]:\s*`), "", nil},
	{regexp.MustCompile(`(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), "#", nil},
	{regexp.MustCompile(`\[(?:[0-9a-fA-F]*:){2,}[0-9a-fA-F.]*\]`), "#", nil}, // [::1]
	{regexp.MustCompile(`(?:[\w.+@~-]*/)+[\w.+@~-]*`), "", last},
	{regexp.MustCompile(`0[xX][0-9a-fA-F]+`), "#", nil},
	{regexp.MustCompile(`\b[0-9a-fA-F]{12,}\b`), "#", nil},
	{regexp.MustCompile(`\d+(?:[.,:eE+-]*\d+)*`), "#", nil},
	{regexp.MustCompile(`#(?:[\s.,:;x/<>\[\]()-]*#)+`), "#", nil},
	{regexp.MustCompile(`\s+`), " ", nil},
}

// Normalize takes out of a line what varies.
func Normalize(s string) string {
	if len(s) > 4*maxSignature {
		s = s[:4*maxSignature]
	}
	for _, n := range normal {
		if n.by != nil {
			s = n.re.ReplaceAllStringFunc(s, n.by)
		} else {
			s = n.re.ReplaceAllString(s, n.to)
		}
	}
	return strings.TrimSpace(s)
}

// last is what a path says in any run: its last element, unless that was made up
// for a temporary file. Words with a slash between them ("I/O") are no path.
func last(path string) string {
	if !strings.ContainsAny(path[:1], "/.~") && !strings.Contains(path, ".") {
		return path
	}
	base := path[strings.LastIndexByte(strings.TrimRight(path, "/"), '/')+1:]
	for _, p := range []string{"tmp", ".tmp", "torch_", "nccl-", "psm_", "sem."} {
		if strings.HasPrefix(base, p) {
			return "*"
		}
	}
	return base
}
