package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Bounds on what a short file can ask for.
const (
	// MaxWorkers is the most workers in a file, replicas counted.
	MaxWorkers = 10_000
	// maxEdges is the most dependencies between single workers.
	maxEdges = 1_000_000
)

// build makes workers of entries, and gives tasks their owners and dependencies
// their workers. Mistakes are added to d; the result is then of no use.
func (d *decoder) build(c cursor, spec *fileSpec) *Config {
	cfg := &spec.Config
	if len(spec.entries) == 0 && len(d.bad.list) == 0 {
		d.fail(cursor{c.node, "workers"}, "", "no workers; expected at least one")
		return cfg
	}
	if !d.countWorkers(spec.entries) {
		return cfg
	}
	names := d.nameWorkers(spec.entries)
	d.checkPidFiles(spec.entries)
	d.checkStandby(spec.entries)
	d.checkWindows(cfg, spec.entries)
	d.linkEntries(spec.entries, names)
	deals := d.dealTasks(cfg, spec, names)
	for _, e := range spec.entries {
		e.fileEnv(d)
	}
	if len(d.bad.list) > 0 {
		return cfg // what follows may be large, and nobody will see it
	}
	for _, e := range spec.entries {
		cfg.Workers = append(cfg.Workers, e.workers(deals)...)
	}
	return cfg
}

// count is the number of workers an entry stands for.
func (e *entry) count() int { return max(1, e.replicas) }

// id is the name of one of them. Without `replicas` it is the entry's own, so
// that a plain file keeps its names; with it, even of 1, it has a number, so that
// scaling up renames nobody.
func (e *entry) id(i int) string {
	if e.replicas == 0 {
		return e.Entry
	}
	return e.Entry + "_" + strconv.Itoa(i)
}

// countWorkers refuses more workers than ProcGuard is made for.
func (d *decoder) countWorkers(entries []*entry) bool {
	for _, e := range entries {
		if d.cards += e.count(); d.cards > MaxWorkers {
			d.fail(e.at, "", "more than %d workers, replicas counted", MaxWorkers)
			return false
		}
	}
	return true
}

// roster finds entries and workers by name.
type roster struct {
	entries map[string]*entry // by the name in the file
	workers map[string]seat
}

type seat struct {
	*entry
	index int
}

func (r *roster) names() []string {
	list := make([]string, 0, len(r.entries))
	for n := range r.entries {
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}

// nameWorkers checks that no two entries, and no two workers, have one name.
func (d *decoder) nameWorkers(entries []*entry) *roster {
	r := &roster{map[string]*entry{}, map[string]seat{}}
	for _, e := range entries {
		if e.Entry == "" {
			continue
		}
		at := e.place("worker_id")
		if first := r.entries[e.Entry]; first != nil {
			d.fail(at, "", "the worker %q is given twice; first on line %d", e.Entry, first.place("worker_id").node.Line)
			continue
		}
		r.entries[e.Entry] = e
		for i := range e.count() {
			id := e.id(i)
			if first, taken := r.workers[id]; taken {
				d.fail(at, "rename one of them", "the worker %q is given twice, once by `replicas`; first on line %d", id, first.place("worker_id").node.Line)
				break
			}
			r.workers[id] = seat{e, i}
		}
	}
	return r
}

// workers are the entry's workers, each with maps and slices of its own.
func (e *entry) workers(deals map[string][]string) []Worker {
	list := make([]Worker, e.count())
	for i := range list {
		w := e.Worker
		w.ID, w.Index, w.Replicas = e.id(i), i, len(list)
		w.Env = clone(e.fromFiles)
		for k, v := range e.Env {
			w.Env[k] = e.fillIn(v, i)
		}
		w.Tasks = deals[w.ID]
		w.DependsOn = slices.Clone(e.DependsOn)
		w.Rlimits = clone(e.Rlimits)
		w.CPUAffinity = slices.Clone(e.CPUAffinity)
		w.Umask, w.Nice, w.HeartbeatTimeout = copied(e.Umask), copied(e.Nice), copied(e.HeartbeatTimeout)
		w.EnvFiles = slices.Clone(e.EnvFiles)
		w.Phases, w.Dump = maps.Clone(e.Phases), slices.Clone(e.Dump)
		e.fillAll(&w, i)
		list[i] = w
	}
	return list
}

func copied[V any](p *V) *V {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// fileEnv reads the entry's env files.
func (e *entry) fileEnv(d *decoder) {
	e.fromFiles = map[string]string{}
	for _, f := range e.envFiles {
		e.EnvFiles = append(e.EnvFiles, d.beside(f.text))
		for _, v := range d.envFile(f) {
			e.fromFiles[v.Name] = v.Value
		}
	}
}

// fillAll replaces the placeholders of a replica.
func (e *entry) fillAll(w *Worker, i int) {
	w.Command = e.fillList(e.Command, i)
	w.Ready.Exec = e.fillList(e.Ready.Exec, i)
	w.Dump = e.fillList(e.Dump, i)
	for _, s := range []*string{&w.WorkingDir, &w.PIDFile, &w.HealthCheckURL, &w.ProgressFile, &w.Ready.HTTP, &w.Ready.TCP} {
		*s = e.fillIn(*s, i)
	}
}

func (e *entry) fillList(list []string, i int) []string {
	out := slices.Clone(list)
	for n := range out {
		out[n] = e.fillIn(out[n], i)
	}
	return out
}

// fillIn replaces {index} and {worker_id}. Entries without `replicas` keep their
// text, so that a file written without this in mind means what it says.
func (e *entry) fillIn(text string, i int) string {
	if e.replicas == 0 || !strings.Contains(text, "{") {
		return text
	}
	return strings.NewReplacer("{index}", strconv.Itoa(i), "{worker_id}", e.id(i)).Replace(text)
}

// sample is text as some replica might see it, for checking its form.
func sample(text string) string {
	return strings.NewReplacer("{index}", "1", "{worker_id}", "w").Replace(text)
}
