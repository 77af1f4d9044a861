package evidence

import (
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/procguard/procguard/state/journal/incident"
)

// Crash is what is known of a process for which the kernel wrote a core.
type Crash struct {
	PID  int
	Dir  string // its working directory
	From time.Time
}

// Core finds the core file, or says who took it. The kernel's flag says that a
// core was written; where to is only known from core_pattern, see core(5).
func (c *Collector) Core(x Crash) *incident.Core {
	data, err := readFile(c.root+"/proc/sys/kernel/core_pattern", 4096)
	if err != nil {
		return &incident.Core{Note: "core_pattern cannot be read: " + err.Error()}
	}
	pattern := strings.TrimSpace(string(data))
	if cmd, ok := strings.CutPrefix(pattern, "|"); ok {
		f := strings.Fields(cmd)
		if len(f) == 0 {
			return &incident.Core{Note: "core_pattern names no program"}
		}
		return &incident.Core{Handler: f[0], Note: taken[path.Base(f[0])]}
	}
	usesPID, _ := readFile(c.root+"/proc/sys/kernel/core_uses_pid", 8)
	glob := expand(pattern, x.PID, strings.TrimSpace(string(usesPID)) == "1")
	if !path.IsAbs(glob) {
		glob = path.Join(x.Dir, glob)
	}
	return newest(c.root+glob, x.From)
}

// taken says where the well-known handlers keep what they take.
var taken = map[string]string{
	"apport":           "apport keeps it below /var/crash, on the machine outside the container",
	"systemd-coredump": "see coredumpctl on the machine outside the container",
}

// expand makes of a core_pattern a glob: the pid is known, the rest is not.
func expand(pattern string, pid int, usesPID bool) string {
	var b strings.Builder
	named := false
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		if c != '%' || i+1 == len(pattern) {
			if strings.IndexByte(`*?[\`, c) >= 0 {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
			continue
		}
		i++
		switch pattern[i] {
		case '%':
			b.WriteByte('%')
		case 'p':
			named = true
			b.WriteString(strconv.Itoa(pid))
		default: // %P is the pid outside, %e may be a thread's name, and so on
			b.WriteByte('*')
		}
	}
	if usesPID && !named {
		b.WriteString("." + strconv.Itoa(pid))
	}
	return b.String()
}

func newest(glob string, from time.Time) *incident.Core {
	list, _ := filepath.Glob(glob)
	var out incident.Core
	var last time.Time
	for _, name := range list {
		st, err := os.Stat(name)
		if err == nil && st.Mode().IsRegular() && !st.ModTime().Before(from) && !st.ModTime().Before(last) {
			last = st.ModTime()
			out = incident.Core{File: name, SizeBytes: st.Size()}
		}
	}
	if out.File == "" {
		out.Note = "a core was dumped, but there is no file at " + glob
	}
	return &out
}
