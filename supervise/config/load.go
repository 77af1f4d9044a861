package config

import (
	"os"
	"sync"
)

var defaultFile = sync.OnceValue(func() *fileSpec { return table().root.fresh() })

// Load reads and checks the file at path. env looks up the variables of ${VAR};
// nil stands for os.LookupEnv. The error, if any, is a *multierror.Error of
// *Error in order of position; then nothing of the file may be used.
func Load(path string, env func(string) (string, bool)) (*Config, error) {
	data, bad := readFile(path)
	if bad != nil {
		return nil, one(bad)
	}
	return Parse(path, data, env)
}

// Parse is Load for text at hand. name stands for the file in messages, and env
// files are looked for beside it.
func Parse(name string, data []byte, env func(string) (string, bool)) (*Config, error) {
	if bad := checkBytes(name, data); bad != nil {
		return nil, one(bad)
	}
	root, bad := parseTree(name, data)
	if bad != nil {
		return nil, one(bad)
	}
	if bad := inspect(name, root); bad != nil {
		return nil, one(bad)
	}
	if env == nil {
		env = os.LookupEnv
	}
	spec := *defaultFile()
	d := &decoder{file: name, vars: expander{env: env}, root: &spec}
	top := cursor{root, ""}
	table().root.fill(d, top, &spec)
	cfg := d.build(top, &spec)
	if err := d.bad.err(name); err != nil {
		return nil, err
	}
	cfg.File, cfg.Node = name, nodeName(env)
	for i := range cfg.Workers {
		cfg.Workers[i].Node = cfg.Node
	}
	return cfg, nil
}

func one(e *Error) error {
	var m mistakes
	m.add(e)
	return m.err(e.File)
}

// nodeName tells this container from others that run the same file.
func nodeName(env func(string) (string, bool)) string {
	if name, _ := env("PROCGUARD_NODE"); name != "" {
		return name
	}
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}
