package logs

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// Path is where a worker's output of one attempt is written:
// dir/attempt_N/worker/stdout.log. Rotated files have ".1" (newest), ".2" …
// appended.
func Path(dir string, attempt int, worker string, stream Stream) string {
	return filepath.Join(attemptDir(dir, attempt), safeName(worker), stream.String()+".log")
}

func attemptDir(dir string, attempt int) string {
	return filepath.Join(dir, "attempt_"+strconv.Itoa(attempt))
}

// safeName makes an id one file name, and different ids different names: what is not
// a letter, digit, ".", "_" or "-" becomes %XX, so do leading dots.
func safeName(id string) string {
	var b strings.Builder
	for i := 0; i < len(id); i++ {
		c := id[i]
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			c == '_' || c == '-' || c == '.' && i > 0
		if plain {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	name := b.String()
	if name == "" {
		return "%"
	}
	const longest = 200 // of the 255 bytes a file name may have
	if len(name) > longest {
		sum := sha256.Sum256([]byte(id))
		name = fmt.Sprintf("%s%%%x", name[:longest-17], sum[:8])
	}
	return name
}

// pruneAttempts removes a worker's oldest attempts so that keep are left,
// the current one included. Attempts that others still have stay.
func pruneAttempts(dir, worker string, current, keep int) {
	if keep < 0 {
		return
	}
	name := safeName(worker)
	older := olderAttempts(dir, name, current)
	for _, n := range older[min(len(older), max(keep-1, 0)):] {
		attempt := attemptDir(dir, n)
		_ = os.RemoveAll(filepath.Join(attempt, name))
		_ = os.Remove(attempt) // fails while it holds another worker
	}
}

// olderAttempts lists the attempts before current that name has a folder in, newest first.
func olderAttempts(dir, name string, current int) []int {
	entries, _ := os.ReadDir(dir)
	var found []int
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), "attempt_")
		n, err := strconv.Atoi(digits)
		if !ok || err != nil || n >= current || digits != strconv.Itoa(n) {
			continue
		}
		if _, err := os.Lstat(filepath.Join(dir, e.Name(), name)); err == nil {
			found = append(found, n)
		}
	}
	sort.Sort(sort.Reverse(sort.IntSlice(found)))
	return found
}
