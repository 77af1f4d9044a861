package config

import "github.com/procguard/procguard/supervise/config/dotenv"

// envFile reads a file of variables once per load, however many workers name it.
func (d *decoder) envFile(f located) []dotenv.Var {
	path := d.beside(f.text)
	if vars, known := d.dot[path]; known {
		return vars
	}
	data, err := dotenv.Read(path)
	if err != nil {
		d.fail(f.at, "", "cannot read the env file: %v", err)
	}
	vars, mistakes := dotenv.Parse(data, badEnvName)
	for _, m := range mistakes {
		d.bad.add(&Error{File: path, Line: m.Line, Col: min(m.Line, 1), Msg: m.Msg})
	}
	if d.dot == nil {
		d.dot = map[string][]dotenv.Var{}
	}
	d.dot[path] = vars
	return vars
}

func isVarName(s string) bool { return dotenv.IsName(s) }
