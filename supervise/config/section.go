package config

import (
	"fmt"

	"gopkg.in/yaml.v3"
)

// kind is a type of value in the file: how it is read into *dst, what it is
// called in messages and in doc/config.md, and its JSON Schema.
type kind interface {
	decode(d *decoder, c cursor, dst any)
	label() string
	schema() schema
}

// key is one row of the table of keys of a T.
type key[T any] struct {
	name     string
	kind     kind
	def      string // the default as YAML; "" leaves the zero value
	defDoc   string // the default in words, where YAML cannot say it
	effect   string
	example  string
	required bool
	aka      []string // what other programs call it, for the hint
	at       func(*T) any
}

// section is a mapping with known keys. It is a kind itself.
type section[T any] struct {
	name   string // path, as in monitoring or workers[].stop
	effect string
	keys   []key[T]
	later  []string // keys of later versions, refused by name
	// marks receives the keys that were given, with their values.
	marks func(*T, map[string]*yaml.Node)
	// inherited tells whether a required key was given elsewhere already.
	inherited func(v *T, key string) bool
	open      bool // keys starting with x- are allowed, for anchors
	whole     bool // replaces what defaults gave instead of adding to it; all defaults are zero
	check     func(d *decoder, c cursor, v *T)
}

func (s *section[T]) label() string { return "mapping" }

func (s *section[T]) decode(d *decoder, c cursor, dst any) {
	v := dst.(*T)
	if s.whole {
		*v = *new(T)
	}
	s.fill(d, c, v)
}

// fill reads the mapping at c over what v holds. Keys are read in the order of
// the table, since some (defaults) bear on others (workers); the order in the
// file does not matter.
func (s *section[T]) fill(d *decoder, c cursor, v *T) {
	if !d.isMapping(c) {
		return
	}
	given := map[string]*yaml.Node{}
	for _, p := range d.pairs(c) {
		if s.knows(p.name) {
			given[p.name] = p.value
		} else if !s.open || !isExtension(p.name) {
			d.unknown(c, p, s.info())
		}
	}
	for i := range s.keys {
		k := &s.keys[i]
		if n := given[k.name]; n != nil {
			k.kind.decode(d, c.key(k.name, n), k.at(v))
		} else if k.required && (s.inherited == nil || !s.inherited(v, k.name)) {
			d.fail(c, "", "the key %q is missing", k.name)
		}
	}
	if s.marks != nil {
		s.marks(v, given)
	}
	if s.check != nil {
		s.check(d, c, v)
	}
}

func isExtension(name string) bool { return len(name) > 2 && name[:2] == "x-" }

func (s *section[T]) knows(name string) bool {
	for i := range s.keys {
		if s.keys[i].name == name {
			return true
		}
	}
	return false
}

// fresh is a T with every default of the table. A default that does not parse is
// a mistake in the table, which the tests would have found.
func (s *section[T]) fresh() *T {
	v := new(T)
	d := &decoder{vars: expander{env: func(string) (string, bool) { return "", false }}}
	for i := range s.keys {
		k := &s.keys[i]
		if sub, ok := k.kind.(interface{ setDefaults(any) }); ok {
			sub.setDefaults(k.at(v))
		}
		if k.def == "" {
			continue
		}
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(k.def), &doc); err != nil {
			panic(fmt.Sprintf("config: default of %s.%s: %v", s.name, k.name, err))
		}
		k.kind.decode(d, cursor{doc.Content[0], k.name}, k.at(v))
	}
	if err := d.bad.err("defaults"); err != nil {
		panic("config: " + s.name + ": " + err.Error())
	}
	return v
}

func (s *section[T]) setDefaults(dst any) { *dst.(*T) = *s.fresh() }

// keyInfo and sectionInfo are a table without its Go types, for the schema, the
// reference and the hints.
type keyInfo struct {
	name, def, defDoc, effect, example string
	kind                               kind
	required                           bool
	aka                                []string
}

type sectionInfo struct {
	name, effect string
	keys         []keyInfo
	later        []string
}

func (s *section[T]) info() *sectionInfo {
	out := &sectionInfo{name: s.name, effect: s.effect, later: s.later}
	for _, k := range s.keys {
		out.keys = append(out.keys, keyInfo{k.name, k.def, k.defDoc, k.effect, k.example, k.kind, k.required, k.aka})
	}
	return out
}
