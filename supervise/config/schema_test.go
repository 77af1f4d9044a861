package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// validate is as much of JSON Schema as Schema uses; it fails on a keyword it
// does not know, so that none goes unchecked.
func validate(s map[string]any, v any, at string) error {
	for _, word := range slices.Sorted(maps.Keys(s)) {
		check := keywords[word]
		if check == nil {
			return fmt.Errorf("%s: unknown keyword %s", at, word)
		}
		if err := check(s, s[word], v, at); err != nil {
			return err
		}
	}
	return nil
}

var keywords map[string]func(s map[string]any, arg, v any, at string) error

func init() {
	note := func(map[string]any, any, any, string) error { return nil }
	keywords = map[string]func(s map[string]any, arg, v any, at string) error{
		"$schema": note, "title": note, "description": note, "default": note, "patternProperties": note,
		"type": checkType, "anyOf": checkAnyOf, "properties": checkProperties, "items": checkItems,
		"additionalProperties": checkAdditional, "required": checkRequired,
		"enum": func(_ map[string]any, arg, v any, at string) error {
			return unless(slices.ContainsFunc(arg.([]any), func(w any) bool { return reflect.DeepEqual(w, v) }), at, "not one of %v", arg)
		},
		"pattern": func(_ map[string]any, arg, v any, at string) error {
			text, ok := v.(string)
			return unless(!ok || regexp.MustCompile(arg.(string)).MatchString(text), at, "%v does not match %v", v, arg)
		},
		"minimum": func(_ map[string]any, arg, v any, at string) error {
			n, ok := v.(float64)
			return unless(!ok || n >= arg.(float64), at, "%v is below %v", v, arg)
		},
		"maximum": func(_ map[string]any, arg, v any, at string) error {
			n, ok := v.(float64)
			return unless(!ok || n <= arg.(float64), at, "%v is above %v", v, arg)
		},
		"minItems": func(_ map[string]any, arg, v any, at string) error {
			list, ok := v.([]any)
			return unless(!ok || len(list) >= int(arg.(float64)), at, "too few items")
		},
	}
}

func unless(ok bool, at, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf("%s: "+format, append([]any{at}, args...)...)
}

func checkType(_ map[string]any, arg, v any, at string) error {
	names, ok := arg.([]any)
	if !ok {
		names = []any{arg}
	}
	var is []string
	switch n := v.(type) {
	case nil:
		is = []string{"null"}
	case bool:
		is = []string{"boolean"}
	case string:
		is = []string{"string"}
	case []any:
		is = []string{"array"}
	case map[string]any:
		is = []string{"object"}
	case float64:
		if is = []string{"number"}; n == float64(int64(n)) {
			is = append(is, "integer")
		}
	}
	return unless(slices.ContainsFunc(names, func(n any) bool { return slices.Contains(is, n.(string)) }), at, "%v is not of type %v", v, arg)
}

func checkAnyOf(_ map[string]any, arg, v any, at string) error {
	var errs []string
	for _, s := range arg.([]any) {
		err := validate(s.(map[string]any), v, at)
		if err == nil {
			return nil
		}
		errs = append(errs, err.Error())
	}
	return unless(false, at, "none of: %s", strings.Join(errs, " | "))
}

func checkProperties(_ map[string]any, arg, v any, at string) error {
	m, _ := v.(map[string]any)
	for name, s := range arg.(map[string]any) {
		if child, ok := m[name]; ok {
			if err := validate(s.(map[string]any), child, at+"."+name); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkItems(_ map[string]any, arg, v any, at string) error {
	list, _ := v.([]any)
	for i, item := range list {
		if err := validate(arg.(map[string]any), item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
			return err
		}
	}
	return nil
}

func checkAdditional(s map[string]any, arg, v any, at string) error {
	m, _ := v.(map[string]any)
	known, _ := s["properties"].(map[string]any)
	free, _ := s["patternProperties"].(map[string]any)
	for name, child := range m {
		if known[name] != nil || slices.ContainsFunc(slices.Collect(maps.Keys(free)), func(p string) bool { return regexp.MustCompile(p).MatchString(name) }) {
			continue
		}
		sub, ok := arg.(map[string]any)
		if !ok {
			return fmt.Errorf("%s: unknown key %s", at, name)
		}
		if err := validate(sub, child, at+"."+name); err != nil {
			return err
		}
	}
	return nil
}

func checkRequired(_ map[string]any, arg, v any, at string) error {
	m, ok := v.(map[string]any)
	for _, name := range arg.([]any) {
		if _, given := m[name.(string)]; ok && !given {
			return fmt.Errorf("%s: %s is missing", at, name)
		}
	}
	return nil
}

// schemaOf is Schema as an editor would load it.
func schemaOf(t *testing.T) map[string]any {
	t.Helper()
	var s map[string]any
	if err := json.Unmarshal(Schema(), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// against checks YAML text with the schema.
func against(t *testing.T, s map[string]any, text []byte) error {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	js, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(js, &v); err != nil {
		t.Fatal(err)
	}
	return validate(s, v, "file")
}

func TestSchemaAcceptsGoodFiles(t *testing.T) {
	s := schemaOf(t)
	files, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := against(t, s, text); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for _, text := range []string{
		"{workers: [{worker_id: w, command: x, max_restarts: '${N}', shell: '${B:-true}', restart: ALWAYS, restart_delay: '${D}'}], monitoring: , x-any: [1]}",
		"{workers: [{worker_id: 1, command: [a, 1], cpu_affinity: 3, env_file: [a], depends_on: [b]}], defaults: {command: x}}",
	} {
		if err := against(t, s, []byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestSchemaRefuses has one mistake of form in each file, which Parse refuses too.
func TestSchemaRefuses(t *testing.T) {
	s := schemaOf(t)
	for _, text := range []string{
		"{}", "{workers: []}", "{workers: [{command: x}]}", "{workers: [{worker_id: w, comand: x}]}",
		"{workers: [{worker_id: w, command: x, max_restarts: -1}]}", "{workers: [{worker_id: w, command: x, max_restarts: many}]}",
		"{workers: [{worker_id: w, command: x, restart_delay: soon}]}", "{workers: [{worker_id: w, command: x, restart_delay: -1}]}",
		"{workers: [{worker_id: w, command: x, restart: often}]}", "{workers: [{worker_id: w, command: x, rlimits: {files: 1}}]}",
		"{workers: [{worker_id: w, command: x, stop: {grce: 1}}]}", "{workers: [{worker_id: w, command: x, env: {A: [1]}}]}",
		"{workers: [{worker_id: w, command: x, shell: 3}]}", "{workers: [{worker_id: w, command: x, depends_on: {a: soon}}]}",
		"{workers: [{worker_id: w, command: x}], tasks: [{weight: 1}]}", "{workers: [{worker_id: w, command: x}], logging: {level: LOUD}}",
		"{workers: [{worker_id: w, command: x}], monitoring: 5}", "{workers: [{worker_id: w, command: {}}]}",
	} {
		if err := against(t, s, []byte(text)); err == nil {
			t.Errorf("the schema accepts %s", text)
		}
		if _, err := Parse("x", []byte(text), environ()); err == nil {
			t.Errorf("Parse accepts %s", text)
		}
	}
}

// TestSchemaDefaults finds every default of the table in the schema, and accepts it.
func TestSchemaDefaults(t *testing.T) {
	s := schemaOf(t)
	found := 0
	var walk func(s map[string]any, at string)
	walk = func(s map[string]any, at string) {
		if def, ok := s["default"]; ok {
			found++
			if err := validate(s, def, at); err != nil {
				t.Error(err)
			}
		}
		props, _ := s["properties"].(map[string]any)
		for name, p := range props {
			walk(p.(map[string]any), at+"."+name)
		}
		if items, ok := s["items"].(map[string]any); ok {
			walk(items, at+"[]")
		}
	}
	walk(s, "file")
	if found < 60 { // the workers' count twice, in workers and in defaults
		t.Errorf("only %d defaults", found)
	}
}
