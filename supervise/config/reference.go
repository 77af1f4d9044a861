package config

import (
	"fmt"
	"strings"
)

// Reference is the tables of every key, as Markdown, for doc/config.md.
func Reference() string {
	var b strings.Builder
	for _, s := range table().sections {
		title := "`" + s.name + "`"
		if s.name == "" {
			title = "Top level"
		}
		fmt.Fprintf(&b, "\n### %s\n\n", title)
		if s.effect != "" {
			b.WriteString(s.effect + "\n\n")
		}
		b.WriteString("| key | type | default | effect | example |\n|---|---|---|---|---|\n")
		for _, k := range s.keys {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.name, k.kind.label(), k.defaultText(), cell(k.effect), k.exampleText())
		}
	}
	return b.String()
}

func (k keyInfo) defaultText() string {
	switch {
	case k.required:
		return "required"
	case k.defDoc != "":
		return k.defDoc
	case k.def != "":
		return "`" + k.def + "`"
	case isSection(k.kind):
		return "see below"
	}
	return "none"
}

// isSection tells sections, which have a table of their own, from other kinds.
func isSection(k kind) bool {
	_, ok := k.(interface{ setDefaults(any) })
	return ok
}

func (k keyInfo) exampleText() string {
	if k.example == "" {
		return ""
	}
	return "`" + cell(k.name+": "+k.example) + "`"
}

// cell escapes what would end a column.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
