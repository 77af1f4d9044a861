package config

import (
	"fmt"

	"gopkg.in/yaml.v3"

	"github.com/procguard/procguard/supervise/config/dotenv"
)

// Limits on the tree, far above what a person writes.
const (
	maxDepth      = 64      // nested lists and mappings, aliases followed
	maxAliasNodes = 100_000 // nodes that aliases add to those written out
)

// survey measures a tree as it will be once aliases are followed, without
// following one twice, so that a bomb is seen before it goes off.
type survey struct {
	file    string
	done    map[*yaml.Node]extent
	open    map[*yaml.Node]bool // being measured: an alias to one of these never ends
	written int
	worst   *yaml.Node // the alias that adds most
	err     *Error
}

type extent struct{ nodes, depth int }

// inspect refuses trees that are too deep, too large once expanded, or that use
// YAML tags ProcGuard gives no meaning to.
func inspect(file string, root *yaml.Node) *Error {
	s := &survey{file: file, done: map[*yaml.Node]extent{}, open: map[*yaml.Node]bool{}}
	all := s.measure(root, 1)
	if s.err == nil && all.nodes-s.written > maxAliasNodes {
		s.fail(s.worst, fmt.Sprintf("aliases expand to more than %d nodes", maxAliasNodes))
	}
	return s.err
}

func (s *survey) fail(n *yaml.Node, msg string) {
	if s.err == nil {
		s.err = &Error{File: s.file, Line: n.Line, Col: n.Column, Msg: msg}
	}
}

// measure is the size and height of n. depth is where n stands as written.
func (s *survey) measure(n *yaml.Node, depth int) extent {
	if s.err != nil {
		return extent{}
	}
	if n.Kind == yaml.AliasNode {
		return s.alias(n)
	}
	s.written++
	s.checkTag(n)
	if depth > maxDepth {
		s.fail(n, fmt.Sprintf("nested more than %d levels deep", maxDepth))
		return extent{}
	}
	s.open[n] = true
	ext := s.children(n, depth)
	delete(s.open, n)
	if n.Anchor != "" {
		s.done[n] = ext
	}
	return ext
}

func (s *survey) children(n *yaml.Node, depth int) extent {
	ext := extent{nodes: 1, depth: 1}
	for _, child := range n.Content {
		c := s.measure(child, depth+1)
		// Saturate: a bomb of a few lines overflows an int.
		ext.nodes = min(ext.nodes+c.nodes, 1<<40)
		ext.depth = max(ext.depth, c.depth+1)
	}
	if ext.depth > maxDepth {
		s.fail(n, fmt.Sprintf("nested more than %d levels deep once aliases are followed", maxDepth))
	}
	return ext
}

func (s *survey) alias(n *yaml.Node) extent {
	if s.open[n.Alias] {
		s.fail(n, fmt.Sprintf("the alias *%s stands inside what it refers to", n.Value))
		return extent{}
	}
	// An anchor stands before its aliases, so it is measured by now.
	ext := s.done[n.Alias]
	if s.worst == nil || ext.nodes > s.done[s.worst.Alias].nodes {
		s.worst = n
	}
	return ext
}

var knownTags = map[string]bool{
	"!!map": true, "!!seq": true, "!!str": true, "!!int": true, "!!float": true,
	"!!bool": true, "!!null": true, "!!timestamp": true, "!!merge": true, "": true, "!": true,
}

func (s *survey) checkTag(n *yaml.Node) {
	if !knownTags[n.Tag] {
		s.fail(n, fmt.Sprintf("the YAML tag %s is not supported", dotenv.Clip(n.Tag)))
	}
}
