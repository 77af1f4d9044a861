package config

import (
	"gopkg.in/yaml.v3"

	"github.com/procguard/procguard/supervise/config/dotenv"
)

// fileSpec is a file as read, before entries become workers.
type fileSpec struct {
	Config
	logs     Logs
	defaults entry
	entries  []*entry
	tasks    []taskSpec
}

// entry is one item of `workers`, or `defaults`. The embedded Worker holds what
// all of its replicas share.
type entry struct {
	Worker
	at       cursor
	replicas int // 0 when not given: then the worker keeps the entry's id
	command  commandText
	envFiles []located
	// fromFiles is what the env files hold together.
	fromFiles map[string]string
	deps      []depSpec
	tasks     []taskSpec
	minimum   int // min_replicas, 0 when not given
	beat      beatSpec
	marks     map[string]*yaml.Node
}

// depSpec is a dependency as written: on a worker, or on all of an entry.
type depSpec struct {
	at              cursor
	name, condition string
}

// taskSpec is a task as written, with its place.
type taskSpec struct {
	Task
	at     cursor
	listed bool // by id only, in a worker's `tasks`
	marks  map[string]*yaml.Node
}

// place is where a key of the entry stands: its own, or that of `defaults`.
func (e *entry) place(key string) cursor {
	if n := e.marks[key]; n != nil {
		return e.at.key(key, n)
	}
	return e.at
}

// has tells whether a key was given, in the entry or in `defaults`.
func (e *entry) has(key string) bool { return e.marks[key] != nil }

// mark notes which keys were given, here or in the defaults this entry started from.
func (e *entry) mark(given map[string]*yaml.Node) {
	all := clone(e.marks)
	for k, n := range given {
		all[k] = n
	}
	e.marks = all
}

type defaultsKind struct{ section[entry] }

// decode starts from the table's defaults and the top-level `logs`.
func (k *defaultsKind) decode(d *decoder, c cursor, dst any) {
	e := dst.(*entry)
	e.Logs = d.root.logs
	e.at = c
	k.fill(d, c, e)
}

// entriesKind is the list of workers.
type entriesKind struct{ worker *section[entry] }

func (entriesKind) label() string { return "list of mappings" }

func (k entriesKind) decode(d *decoder, c cursor, dst any) {
	var list []*entry
	if d.root.defaults.at.node == nil {
		d.root.defaults.Logs = d.root.logs
	}
	for _, item := range d.items(c, "a list of workers") {
		e := d.root.defaults
		e.at = item
		k.worker.fill(d, item, &e)
		list = append(list, &e)
	}
	*dst.(*[]*entry) = list
}

// dependsKind is a mapping of names to conditions, or a list of names.
type dependsKind struct{}

var condition = enum("started", "ready", "completed")

func (dependsKind) label() string { return "mapping or list" }

func (dependsKind) decode(d *decoder, c cursor, dst any) {
	var list []depSpec
	if c.target().Kind == yaml.SequenceNode {
		for _, item := range d.items(c, "names of workers") {
			// A list means ready: where the worker declares no check, that is
			// the same as started.
			dep := depSpec{at: item, condition: "ready"}
			someText.decode(d, item, &dep.name)
			list = append(list, dep)
		}
	} else {
		for _, p := range d.pairs(c) {
			dep := depSpec{at: cursor{p.key, c.path + "." + dotenv.Clip(p.name)}, name: p.name}
			condition.decode(d, c.key(dotenv.Clip(p.name), p.value), &dep.condition)
			list = append(list, dep)
		}
	}
	*dst.(*[]depSpec) = list
}

// taskListKind is a list of tasks: mappings, or ids alone where ids is set.
type taskListKind struct {
	task     *section[taskSpec]
	defaults *taskSpec
	ids      bool
}

func tasksOf(task *section[taskSpec], ids bool) taskListKind {
	return taskListKind{task, task.fresh(), ids}
}

func (taskListKind) label() string { return "list" }

func (k taskListKind) decode(d *decoder, c cursor, dst any) {
	var list []taskSpec
	for _, item := range d.items(c, "a list of tasks") {
		t := taskSpec{Task: k.defaults.Task, at: item}
		if k.ids && item.target().Kind == yaml.ScalarNode {
			t.listed = true
			taskID.decode(d, item, &t.ID)
		} else {
			k.task.fill(d, item, &t)
		}
		list = append(list, t)
	}
	*dst.(*[]taskSpec) = list
}
