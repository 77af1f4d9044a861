package evidence

import (
	"bytes"
	"path"
	"slices"
	"strings"
)

// controllers that are looked at; "" is the unified hierarchy of v2.
var controllers = []string{"memory", "pids", "cpu", ""}

// mount is where a hierarchy is seen.
type mount struct {
	dir  string // mount point
	root string // which cgroup of the hierarchy lies there
}

// readMounts finds the hierarchies in mountinfo, by controller.
func readMounts(root string) map[string]mount {
	data, _ := readFile(root+"/proc/self/mountinfo", 1<<20)
	out := map[string]mount{}
	for line := range bytes.Lines(data) {
		left, right, ok := strings.Cut(string(line), " - ")
		f, g := strings.Fields(left), strings.Fields(right)
		if !ok || len(f) < 5 || len(g) < 3 {
			continue
		}
		m := mount{dir: unescape(f[4]), root: unescape(f[3])}
		switch g[0] {
		case "cgroup2":
			keep(out, "", m)
		case "cgroup":
			for opt := range strings.SplitSeq(g[2], ",") {
				if slices.Contains(controllers, opt) {
					keep(out, opt, m)
				}
			}
		}
	}
	return out
}

// keep takes the first mount of a hierarchy.
func keep(out map[string]mount, name string, m mount) {
	if _, known := out[name]; !known {
		out[name] = m
	}
}

// unescape undoes what mountinfo does to blanks.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// readPaths reads /proc/PID/cgroup: the path of the process by controller.
func readPaths(file string) map[string]string {
	data, err := readFile(file, 16<<10)
	if err != nil {
		return nil
	}
	out := map[string]string{}
	for line := range bytes.Lines(data) {
		f := strings.SplitN(strings.TrimSuffix(string(line), "\n"), ":", 3)
		if len(f) != 3 {
			continue
		}
		for name := range strings.SplitSeq(f[1], ",") {
			if slices.Contains(controllers, name) {
				out[name] = strings.TrimSuffix(f[2], " (deleted)")
			}
		}
	}
	return out
}

// folder is where a cgroup is seen below a mount. What lies above the mount, as
// in a cgroup namespace that is not ours, is looked for at the mount itself.
func (m mount) folder(cgroup string) string {
	rest := cgroup
	if m.root != "/" {
		var ok bool
		if rest, ok = strings.CutPrefix(cgroup, m.root); !ok || rest != "" && rest[0] != '/' {
			// With a cgroup namespace the mount's root is "/" and never comes here.
			rest = "/"
		}
	}
	if strings.HasPrefix(rest, "/..") {
		rest = "/"
	}
	return path.Join(m.dir, rest)
}

// place is a cgroup's folders, by controller.
type place map[string]string

func (m *Meter) place(paths map[string]string) place {
	out := place{}
	for name, at := range m.mounts {
		if p, ok := paths[name]; ok {
			out[name] = m.root + at.folder(p)
		}
	}
	return out
}

// counted is where the kernel counts the memory of a place: under v2 a cgroup without the
// controller, as ProcGuard makes one for each worker, is part of the next one above that has it.
func (m *Meter) counted(p place) place {
	box, ok := m.box[""]
	dir, unified := p[""]
	if _, v1 := m.mounts["memory"]; v1 || !ok || !unified || !exists(box+"/memory.events") {
		return p
	}
	for strings.HasPrefix(dir, box+"/") && !exists(dir+"/memory.events") {
		dir = path.Dir(dir)
	}
	p[""] = dir
	return p
}

// container is the outermost cgroup that is still the container's: the mount
// itself where a runtime has mounted the container's own cgroup there, else, on a
// bare machine, the one that ProcGuard is in.
func (m *Meter) container() place {
	own := m.place(readPaths(m.root + "/proc/self/cgroup"))
	for name, at := range m.mounts {
		dir := m.root + at.dir
		if at.root != "/" || name == "" && exists(dir+"/memory.events") {
			own[name] = dir
		}
	}
	return own
}

func exists(file string) bool {
	_, err := readFile(file, 1)
	return err == nil
}
