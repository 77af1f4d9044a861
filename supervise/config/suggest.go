package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/procguard/procguard/supervise/config/dotenv"
)

// unknown reports a key that s does not have, with the best help there is.
func (d *decoder) unknown(c cursor, p pair, s *sectionInfo) {
	at := c.key(dotenv.Clip(p.name), p.key)
	if slices.Contains(s.later, p.name) {
		d.fail(at, "remove it", "not supported yet by this version")
		return
	}
	d.fail(at, hintFor(p.name, s), "unknown key")
}

// hintFor looks for the key that was meant: a slip of the pen here, the same
// name elsewhere, another program's name for it, and at last a slip elsewhere.
func hintFor(name string, s *sectionInfo) string {
	names := make([]string, len(s.keys))
	for i, k := range s.keys {
		names[i] = k.name
		if slices.Contains(k.aka, name) {
			return didYouMean(k.name)
		}
	}
	if near := nearest(name, names); near != "" {
		return didYouMean(near)
	}
	if homes := homesOf()[name]; len(homes) > 0 {
		return "it belongs under " + strings.Join(homes, " or ")
	}
	return farHint(name)
}

// farHint looks for a slip of one letter in the keys of other sections.
func farHint(name string) string {
	for _, s := range table().sections {
		for _, k := range s.keys {
			if len(name) > 4 && len(name) <= 64 && distance(name, k.name) == 1 {
				return fmt.Sprintf("did you mean %q under %s?", k.name, s.place())
			}
		}
	}
	return ""
}

func (s *sectionInfo) place() string {
	if s.name == "" {
		return "the top level"
	}
	return "`" + s.name + "`"
}

func didYouMean(name string) string { return "did you mean " + strconv.Quote(name) + "?" }

// homesOf is where each key lives.
var homesOf = sync.OnceValue(func() map[string][]string {
	homes := map[string][]string{}
	for _, s := range table().sections {
		for _, k := range s.keys {
			homes[k.name] = append(homes[k.name], s.place())
		}
	}
	return homes
})

// nearest is the candidate that name is most likely a misspelling of, or "".
func nearest(name string, candidates []string) string {
	if len(name) > 64 {
		return ""
	}
	best, bestAt := "", max(1, len(name)/3)+1
	for _, c := range candidates {
		if squash(c) == squash(name) {
			return c
		}
		if n := distance(squash(name), squash(c)); n < bestAt {
			best, bestAt = c, n
		}
	}
	return best
}

// squash drops what styles of writing names differ in.
func squash(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "", ".", "").Replace(s))
}

// distance counts the insertions, deletions, substitutions and swaps of
// neighbours between a and b (optimal string alignment).
func distance(a, b string) int {
	before, last, now := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}

// meant is a hint naming the known name closest to an unknown one.
func meant(name string, known []string) string {
	if near := nearest(name, known); near != "" {
		return didYouMean(near)
	}
	if len(known) == 0 || len(known) > 12 {
		return ""
	}
	return fmt.Sprintf("known: %s", strings.Join(known, ", "))
}
