package config

import (
	"encoding/json"
	"strings"

	"gopkg.in/yaml.v3"
)

// schema is a JSON Schema, or a part of one.
type schema map[string]any

// Schema is the JSON Schema (draft 2020-12) of the file, for editors and linters.
// It is made from the table that the parser uses. It knows forms, not meanings:
// a file that it accepts may still name a worker that does not exist.
func Schema() []byte {
	s := table().root.schema()
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "ProcGuard"
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic("config: schema: " + err.Error()) // the table holds only plain values
	}
	return append(out, '\n')
}

// variablePattern matches text with a ${VAR} in it, which may stand for anything.
const variablePattern = `\$\{`

func typed(name string) schema { return orVariable(schema{"type": name}) }

func orVariable(s schema) schema {
	return schema{"anyOf": []schema{s, {"type": "string", "pattern": variablePattern}}}
}

func orNumber() schema { return schema{"type": []string{"string", "number"}} }

func durationSchema() schema {
	return schema{"anyOf": []schema{
		{"type": "number", "minimum": 0},
		{"type": "string", "pattern": `^\+?([0-9.]+(e[+-]?[0-9]+)?|([0-9.]+(ns|us|µs|ms|s|m|h))+)$|` + variablePattern},
	}}
}

func (s *section[T]) schema() schema {
	props, required := schema{}, []string{}
	for _, k := range s.keys {
		p := schema{"description": plainText(k.effect)}
		for name, v := range k.kind.schema() {
			p[name] = v
		}
		if k.def != "" {
			p["default"] = yamlValue(k.def)
		}
		props[k.name] = p
		if k.required && s.name != "workers[]" || k.name == "worker_id" && s.name == "workers[]" {
			required = append(required, k.name) // a command may come from `defaults`
		}
	}
	out := schema{"type": []string{"object", "null"}, "properties": props, "additionalProperties": false}
	if len(required) > 0 {
		out["type"], out["required"] = "object", required
	}
	if s.open {
		out["patternProperties"] = schema{"^x-": true}
	}
	return out
}

func plainText(effect string) string { return strings.ReplaceAll(effect, "`", "") }

func yamlValue(text string) any {
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		panic("config: schema: " + err.Error())
	}
	return v
}

func list(item schema) schema { return schema{"type": []string{"array", "null"}, "items": item} }

func mapOf(item schema) schema {
	return schema{"type": []string{"object", "null"}, "additionalProperties": item}
}

func either(s ...schema) schema { return schema{"anyOf": s} }

func (k entriesKind) schema() schema {
	s := list(k.worker.schema())
	s["type"], s["minItems"] = "array", 1
	return s
}

func (k taskListKind) schema() schema {
	if k.ids {
		return list(either(orNumber(), k.task.schema()))
	}
	return list(k.task.schema())
}

func (dependsKind) schema() schema {
	return either(mapOf(condition.schema()), list(orNumber()))
}

func (commandKind) schema() schema {
	return either(orNumber(), schema{"type": "array", "items": orNumber(), "minItems": 1})
}

func (fileList) schema() schema {
	return either(schema{"type": "string"}, list(schema{"type": "string"}))
}

func (cpuList) schema() schema {
	one := schema{"type": []string{"string", "integer"}}
	return either(one, list(one))
}

func (envMap) schema() schema {
	return mapOf(schema{"type": []string{"string", "number", "boolean"}})
}

func (rlimits) schema() schema {
	props := schema{}
	for _, name := range rlimitNames {
		props[name] = schema{"type": []string{"string", "integer"}}
	}
	return schema{"type": []string{"object", "null"}, "properties": props, "additionalProperties": false}
}

func (payloadKind) schema() schema { return schema{} }
