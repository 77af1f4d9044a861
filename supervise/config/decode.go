package config

import (
	"fmt"
	"path/filepath"
	"strconv"

	"gopkg.in/yaml.v3"

	"github.com/procguard/procguard/supervise/config/dotenv"
)

// decoder carries what every value of one file needs.
type decoder struct {
	file  string
	vars  expander
	bad   mistakes
	dot   map[string][]dotenv.Var // env files read so far, by path
	root  *fileSpec
	cards int // workers so far, after replicas
}

// cursor is a place in the file: a value and how one gets there.
type cursor struct {
	node *yaml.Node
	path string
}

func (c cursor) key(name string, n *yaml.Node) cursor {
	if c.path == "" {
		return cursor{n, name}
	}
	return cursor{n, c.path + "." + name}
}

func (c cursor) item(i int, n *yaml.Node) cursor {
	return cursor{n, c.path + "[" + strconv.Itoa(i) + "]"}
}

// target is the value itself where the cursor stands on an alias. inspect has
// made sure that this ends.
func (c cursor) target() *yaml.Node {
	n := c.node
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// fail records a mistake at c.
func (d *decoder) fail(c cursor, hint, format string, args ...any) {
	d.bad.add(&Error{
		File: d.file, Line: c.node.Line, Col: c.node.Column, Path: c.path,
		Msg: fmt.Sprintf(format, args...), Hint: hint,
	})
}

// beside is a path from the file, relative to the directory of the file.
func (d *decoder) beside(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(d.file), path)
}

// scalar is a single value, expanded.
type scalar struct {
	text     string
	tag      string // the YAML type: !!str, !!int, !!float, !!bool, !!timestamp
	expanded bool   // variables were filled in, so the text alone tells the type
}

// is tells whether s may be read as one of the tags: it has the tag, or its text
// comes from a variable, which has no type.
func (s scalar) is(tags ...string) bool {
	for _, t := range tags {
		if s.tag == t {
			return true
		}
	}
	return s.expanded
}

// scalar reads the value at c. want describes it for the message when c holds
// something else.
func (d *decoder) scalar(c cursor, want string) (scalar, bool) {
	n := c.target()
	if n.Kind != yaml.ScalarNode || isNull(n) {
		d.fail(c, "", "expected %s, got %s", want, describe(n))
		return scalar{}, false
	}
	text, bad := d.vars.expand(n.Value, 0)
	if bad != nil {
		d.fail(c, bad.hint, "%s", bad.msg)
		return scalar{}, false
	}
	for i := range len(text) {
		if text[i] == 0 {
			d.fail(c, "", "expected %s, got text with a NUL byte", want)
			return scalar{}, false
		}
	}
	return scalar{text: text, tag: n.Tag, expanded: text != n.Value}, true
}

// describe names what stands at n in place of what was expected.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case isNull(n):
		return "nothing"
	case n.Tag == "!!str":
		return "the text " + strconv.Quote(dotenv.Clip(n.Value))
	default:
		return dotenv.Clip(n.Value)
	}
}

// pair is one key of a mapping with its value.
type pair struct {
	name  string
	key   *yaml.Node
	value *yaml.Node
}

// pairs lists a mapping in order, `<<` merged in as YAML has it: what is written
// out wins over what is merged, the first merged over later ones. Nothing after
// the colon is an empty mapping, so that a block may be commented out.
func (d *decoder) pairs(c cursor) []pair {
	n := c.target()
	if isNull(n) || !d.isMapping(c) {
		return nil
	}
	var list []pair
	var merges []cursor
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Tag == "!!merge" {
			merges = append(merges, cursor{v, c.path})
			continue
		}
		if p, ok := d.pair(c, k, v, seen); ok {
			list = append(list, p)
		}
	}
	for _, m := range merges {
		list = d.merge(m, list, seen)
	}
	return list
}

// isMapping complains where c is neither a mapping nor nothing.
func (d *decoder) isMapping(c cursor) bool {
	n := c.target()
	if n.Kind != yaml.MappingNode && !isNull(n) {
		d.fail(c, "", "expected a mapping, got %s", describe(n))
		return false
	}
	return true
}

// pair checks one key of a mapping.
func (d *decoder) pair(c cursor, k, v *yaml.Node, seen map[string]*yaml.Node) (pair, bool) {
	name := cursor{k, c.path}.target()
	if name.Kind != yaml.ScalarNode || isNull(name) {
		d.fail(cursor{k, c.path}, "", "expected a key, got %s", describe(name))
		return pair{}, false
	}
	if first := seen[name.Value]; first != nil {
		d.fail(c.key(dotenv.Clip(name.Value), k), "", "the key is given twice; first on line %d", first.Line)
		return pair{}, false
	}
	seen[name.Value] = k
	return pair{name.Value, k, v}, true
}

// merge adds the keys of a `<<` value that are not there yet.
func (d *decoder) merge(c cursor, list []pair, seen map[string]*yaml.Node) []pair {
	n := c.target()
	if n.Kind == yaml.SequenceNode {
		for _, item := range n.Content {
			list = d.merge(cursor{item, c.path}, list, seen)
		}
		return list
	}
	for _, p := range d.pairs(c) {
		if seen[p.name] == nil {
			seen[p.name] = p.key
			list = append(list, p)
		}
	}
	return list
}

// items is a list's values. Nothing is an empty list.
func (d *decoder) items(c cursor, want string) []cursor {
	n := c.target()
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		d.fail(c, "", "expected %s, got %s", want, describe(n))
		return nil
	}
	list := make([]cursor, len(n.Content))
	for i, item := range n.Content {
		list[i] = c.item(i, item)
	}
	return list
}

// hasKey tells whether the mapping n has a key, itself or merged in.
func hasKey(n *yaml.Node, name string) bool {
	probe := decoder{}
	for _, p := range probe.pairs(cursor{n, ""}) {
		if p.name == name {
			return true
		}
	}
	return false
}
