package config

import (
	"slices"
	"strings"

	"github.com/procguard/procguard/supervise/config/dotenv"
)

// linkEntries turns the names in depends_on into workers, and refuses names that
// nobody has and rings.
func (d *decoder) linkEntries(entries []*entry, r *roster) {
	edges := 0
	after := map[*entry][]depLink{}
	for _, e := range entries {
		wanted := map[string]bool{}
		for _, dep := range e.deps {
			target, ids := d.resolveDep(e, dep, r)
			if target == nil {
				continue
			}
			after[e] = append(after[e], depLink{target, dep.at})
			for _, id := range ids {
				if !wanted[id] {
					wanted[id] = true
					e.DependsOn = append(e.DependsOn, Dependency{id, dep.condition})
				}
			}
		}
		if edges += len(e.DependsOn) * e.count(); edges > maxEdges {
			d.fail(e.place("depends_on"), "", "more than %d dependencies between workers, replicas counted", maxEdges)
			return
		}
	}
	d.findRings(entries, after)
}

type depLink struct {
	to *entry
	at cursor
}

// resolveDep finds who a dependency is on.
func (d *decoder) resolveDep(e *entry, dep depSpec, r *roster) (*entry, []string) {
	target, ids := r.find(dep.name)
	switch {
	case dep.name == "" || dep.condition == "":
		return nil, nil // reported where it was read
	case target == nil:
		d.fail(dep.at, meant(dep.name, r.names()), "there is no worker %q", dotenv.Clip(dep.name))
		return nil, nil
	case dep.condition == "completed" && target.Restart == "always":
		d.fail(dep.at, "", "%q never completes, since it has `restart: always`", dep.name)
	case target.Standby && !e.Standby:
		d.fail(dep.at, "", "%q is a standby, which may never start", dep.name)
	}
	return target, ids
}

// find is the entry of a name and the workers it stands for: all of an entry, or
// one replica.
func (r *roster) find(name string) (*entry, []string) {
	if e := r.entries[name]; e != nil {
		ids := make([]string, e.count())
		for i := range ids {
			ids[i] = e.id(i)
		}
		return e, ids
	}
	if s, ok := r.workers[name]; ok {
		return s.entry, []string{name}
	}
	return nil, nil
}

// findRings reports each ring of dependencies once. Entries are enough to look
// at: replicas of one entry depend on the same workers, so a ring of workers goes
// through a ring of entries, and the other way round.
func (d *decoder) findRings(entries []*entry, after map[*entry][]depLink) {
	f := ringFinder{d: d, after: after, done: map[*entry]bool{}}
	for _, e := range entries {
		f.visit(e)
	}
}

type ringFinder struct {
	d     *decoder
	after map[*entry][]depLink
	done  map[*entry]bool
	path  []*entry // from where the search began to where it is
	spot  map[*entry]int
}

// visit goes down from e. It recurses no deeper than MaxWorkers.
func (f *ringFinder) visit(e *entry) {
	if f.done[e] {
		return
	}
	f.done[e] = true
	if f.spot == nil {
		f.spot = map[*entry]int{}
	}
	f.spot[e] = len(f.path)
	f.path = append(f.path, e)
	for _, l := range f.after[e] {
		if i, on := f.spot[l.to]; on {
			f.d.fail(l.at, "", "the dependencies go round in a ring: %s", ring(f.path[i:]))
		} else {
			f.visit(l.to)
		}
	}
	f.path = f.path[:len(f.path)-1]
	delete(f.spot, e)
}

// ring writes a -> b -> a, from the entry that comes first in the alphabet so
// that a ring has one name, and shortened in the middle if it is long.
func ring(path []*entry) string {
	names := make([]string, len(path))
	for i, e := range path {
		names[i] = e.Entry
	}
	first := slices.Index(names, slices.Min(names))
	names = append(slices.Clone(names[first:]), names[:first]...)
	names = append(names, names[0])
	if len(names) > 20 {
		names = append(append(names[:10:10], "…"), names[len(names)-10:]...)
	}
	return strings.Join(names, " -> ")
}
