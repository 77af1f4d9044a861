package evidence

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/procguard/procguard/state/journal/incident"
)

// counters are one reading of a cgroup; -1 is what the kernel does not have.
type counters struct {
	oomKills, limitHits    int64
	usage, peak, limit     int64
	pids, pidsMax, refused int64
	throttled, throttledUS int64
}

var nothing = counters{-1, -1, -1, -1, -1, -1, -1, -1, -1, -1}

// events are those that must be read before a death to be of use after it; level
// values are only read when they are asked for.
func (p place) events() counters {
	c := nothing
	if dir, ok := p["memory"]; ok {
		v := keyed(dir + "/memory.oom_control")
		c.oomKills = value(v, "oom_kill")
		c.limitHits = number(dir + "/memory.failcnt")
		// Where swap is limited to the same, as docker does, that limit is met first.
		c.limitHits += max(0, number(dir+"/memory.memsw.failcnt"))
	} else if dir, ok := p[""]; ok {
		v := keyed(dir + "/memory.events")
		c.oomKills = value(v, "oom_kill")
		// "oom" is counted where the limit was met and above, never below: its growth in
		// the worker's own cgroup says that its own limit was met.
		c.limitHits = value(v, "oom")
	}
	if dir := p.of("pids"); dir != "" {
		c.refused = value(keyed(dir+"/pids.events"), "max")
	}
	if dir := p.of("cpu"); dir != "" {
		c.cpu(dir)
	}
	return c
}

func (c *counters) cpu(dir string) {
	v := keyed(dir + "/cpu.stat")
	c.throttled = value(v, "nr_throttled")
	if c.throttledUS = value(v, "throttled_usec"); c.throttledUS < 0 {
		if ns := value(v, "throttled_time"); ns >= 0 {
			c.throttledUS = ns / 1000
		}
	}
}

// of is the folder of a controller: its own hierarchy, or the unified one.
func (p place) of(name string) string {
	if dir, ok := p[name]; ok {
		return dir
	}
	return p[""]
}

// all reads the levels as well.
func (p place) all() counters {
	c := p.events()
	if dir, ok := p["memory"]; ok {
		c.usage = number(dir + "/memory.usage_in_bytes")
		c.peak = number(dir + "/memory.max_usage_in_bytes")
		c.limit = number(dir + "/memory.limit_in_bytes")
	} else if dir, ok := p[""]; ok {
		c.usage = number(dir + "/memory.current")
		c.peak = number(dir + "/memory.peak")
		c.limit = number(dir + "/memory.max")
	}
	if dir := p.of("pids"); dir != "" {
		c.pids, c.pidsMax = number(dir+"/pids.current"), number(dir+"/pids.max")
	}
	return c
}

// number is the content of a file, 0 for "max", -1 if it cannot be read.
func number(file string) int64 {
	data, err := readFile(file, 64)
	if err != nil {
		return -1
	}
	s := strings.TrimSpace(string(data))
	if s == "max" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return -1
	}
	// v1 writes "no limit" as the largest page-aligned number.
	if n >= 1<<62 {
		return 0
	}
	return n
}

// keyed is a flat keyed file, nil if it cannot be read.
func keyed(file string) []byte {
	data, err := readFile(file, 16<<10)
	if err != nil {
		return nil
	}
	return data
}

// value finds "key number" at the start of a line, -1 if there is none.
func value(data []byte, key string) int64 {
	for len(data) > 0 {
		line := data
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			line, data = data[:i], data[i+1:]
		} else {
			data = nil
		}
		if len(line) > len(key) && line[len(key)] == ' ' && string(line[:len(key)]) == key {
			n, err := strconv.ParseInt(string(line[len(key)+1:]), 10, 64)
			if err != nil {
				return -1
			}
			return n
		}
	}
	return -1
}

// grown is by how much a counter grew; -1 stays unknown.
func grown(from, to int64) int64 {
	if from < 0 || to < 0 {
		return -1
	}
	return max(0, to-from)
}

// groups is the structured form: growth since from, levels as they are.
func groups(p place, from, now counters) *incident.Groups {
	g := &incident.Groups{Path: p.of("memory"), MemoryBytes: now.usage, PeakBytes: now.peak, LimitBytes: max(0, now.limit),
		OOMKills: grown(from.oomKills, now.oomKills), LimitHits: grown(from.limitHits, now.limitHits),
		Pids: now.pids, PidsLimit: max(0, now.pidsMax), ForkRefused: grown(from.refused, now.refused),
		Throttled: grown(from.throttled, now.throttled), ThrottledMS: grown(from.throttledUS, now.throttledUS)}
	if g.ThrottledMS > 0 {
		g.ThrottledMS /= 1000
	}
	return g
}
