package evidence

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/procguard/procguard/state/journal/incident"
)

// fds lists the open files and counts them by kind.
func (c *Collector) fds(ctx context.Context, pid int) (p part) {
	list, err := numbersIn(c.proc(pid, "fd"), 1<<20)
	if err != nil {
		p.missing = append(p.missing, "fds: "+err.Error())
		return p
	}
	slices.Sort(list)
	kinds, lines := map[string]int{}, bytes.Buffer{}
	for i, fd := range list {
		if ctx.Err() != nil || i == maxFDs {
			fmt.Fprintf(&lines, "... and %d more\n", len(list)-i)
			break
		}
		to := c.link(pid, fd)
		kinds[kind(to)]++
		fmt.Fprintf(&lines, "%d -> %s\n", fd, to)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d open", len(list))
	for _, k := range byCount(kinds) {
		fmt.Fprintf(&b, ", %d %s", kinds[k], k)
	}
	b.WriteByte('\n')
	p.file("fds", append(b.Bytes(), lines.Bytes()...))
	p.process = func(out *incident.Process) { out.FDs = len(list) }
	return p
}

// kind classes the target of a descriptor's link.
func kind(to string) string {
	switch {
	case to == "":
		return "closed meanwhile"
	case strings.HasPrefix(to, "/dev/nvidia"):
		return "gpu"
	case strings.HasPrefix(to, "/dev/shm/"):
		return "shared memory"
	case strings.HasPrefix(to, "/dev/"):
		return "device"
	case to[0] == '/':
		return "file"
	case strings.HasPrefix(to, "anon_inode:"):
		return strings.Trim(strings.TrimPrefix(to, "anon_inode:"), "[]")
	}
	before, _, _ := strings.Cut(to, ":")
	return before
}

func byCount(m map[string]int) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(cmp.Compare(m[b], m[a]), strings.Compare(a, b))
	})
	return keys
}

// mapping is the address space that one file, or one kind of memory, takes.
type mapping struct {
	name  string
	bytes uint64
	count int
}

// maps sums up the mappings by file. What of it is resident is in smaps_rollup,
// as a sum; per mapping it would take too long to count.
func (c *Collector) maps(pid int) (p part) {
	rollup, err := readFile(c.proc(pid, "smaps_rollup"), 4096)
	if err != nil {
		p.missing = append(p.missing, "smaps_rollup: "+err.Error())
	}
	data, err := readFile(c.proc(pid, "maps"), 4<<20)
	if err != nil {
		p.missing = append(p.missing, "maps: "+err.Error())
	}
	var b bytes.Buffer
	b.Write(rollup)
	list := sumMaps(data)
	fmt.Fprintf(&b, "\n%12s %6s  MAPPED FROM (the %d largest of %d)\n", "KiB", "COUNT", min(len(list), maxMappings), len(list))
	for _, m := range list[:min(len(list), maxMappings)] {
		fmt.Fprintf(&b, "%12d %6d  %s\n", m.bytes>>10, m.count, m.name)
	}
	p.file("maps-summary", b.Bytes())
	return p
}

func sumMaps(data []byte) []mapping {
	sum := map[string]*mapping{}
	for line := range bytes.Lines(data) {
		f := strings.Fields(string(line))
		if len(f) < 5 {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		a, err1 := strconv.ParseUint(from, 16, 64)
		z, err2 := strconv.ParseUint(to, 16, 64)
		if err1 != nil || err2 != nil || z < a {
			continue
		}
		name := "[anonymous]"
		if len(f) > 5 {
			name = strings.Join(f[5:], " ")
		}
		if sum[name] == nil {
			sum[name] = &mapping{name: name}
		}
		sum[name].bytes += z - a
		sum[name].count++
	}
	list := make([]mapping, 0, len(sum))
	for _, m := range sum {
		list = append(list, *m)
	}
	slices.SortFunc(list, func(a, b mapping) int {
		return cmp.Or(cmp.Compare(b.bytes, a.bytes), strings.Compare(a.name, b.name))
	})
	return list
}
