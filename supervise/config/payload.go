package config

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"

	"gopkg.in/yaml.v3"

	"github.com/procguard/procguard/supervise/config/dotenv"
)

// payloadKind is any value, kept as JSON.
type payloadKind struct{}

func (payloadKind) label() string { return "any value" }

func (payloadKind) decode(d *decoder, c cursor, dst any) {
	v := d.plain(c)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		d.fail(c, "", "cannot be written as JSON: %v", err)
		return
	}
	*dst.(*json.RawMessage) = bytes.TrimSpace(b.Bytes())
}

// plain is the value at c in the types of encoding/json.
func (d *decoder) plain(c cursor) any {
	n := c.target()
	switch n.Kind {
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range d.items(c, "a list") {
			list = append(list, d.plain(item))
		}
		return list
	case yaml.MappingNode:
		m := map[string]any{}
		for _, p := range d.pairs(c) {
			m[p.name] = d.plain(c.key(dotenv.Clip(p.name), p.value))
		}
		return m
	}
	if isNull(n) {
		return nil
	}
	s, ok := d.scalar(c, "a value")
	if !ok {
		return nil
	}
	return d.typed(c, s, n)
}

// typed gives an unquoted scalar the type YAML sees in it; one filled in from
// variables is looked at again.
func (d *decoder) typed(c cursor, s scalar, n *yaml.Node) any {
	tag := s.tag
	if s.expanded && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.TaggedStyle) == 0 {
		tag = (&yaml.Node{Kind: yaml.ScalarNode, Value: s.text}).ShortTag()
	}
	switch tag {
	case "!!bool":
		return s.text == "true" || s.text == "True" || s.text == "TRUE"
	case "!!null":
		return nil
	case "!!int", "!!float":
		if json.Valid([]byte(s.text)) {
			return json.Number(s.text) // keeps every digit
		}
		return d.number(c, s.text, tag)
	}
	return s.text
}

// number reads those of YAML's numbers that JSON writes otherwise, such as 0x1F.
func (d *decoder) number(c cursor, text, tag string) any {
	var f float64
	err := (&yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text}).Decode(&f)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		d.fail(c, "put it in quotes", "JSON has no number such as %s", dotenv.Clip(text))
		return nil
	}
	return json.Number(strconv.FormatFloat(f, 'f', -1, 64))
}
