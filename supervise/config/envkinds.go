package config

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/procguard/procguard/supervise/config/dotenv"
)

// reservedEnv is what ProcGuard tells a worker through its environment; a value
// from the file would be lost, or would hide the worker from its supervisor.
var reservedEnv = []string{"NOTIFY_SOCKET", "PROCGUARD_EPOCH", "PROCGUARD_GROUP", "PROCGUARD_HEARTBEAT_FILE",
	"PROCGUARD_INSTANCE", "PROCGUARD_NODE", "PROCGUARD_RESTART_COUNT", "PROCGUARD_TASKS",
	"PROCGUARD_TASKS_FILE", "PROCGUARD_WORKER_ID", "PROCGUARD_ZMQ"}

// torchEnv is what `launcher: torch` computes for each rank. MASTER_ADDR,
// MASTER_PORT and OMP_NUM_THREADS may be given.
var torchEnv = []string{"GROUP_RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "RANK", "ROLE_RANK", "WORLD_SIZE"}

// envMap is a mapping of variables. It adds to what defaults gave.
type envMap struct{}

func (envMap) label() string { return "mapping" }

func (envMap) decode(d *decoder, c cursor, dst any) {
	m := clone(*dst.(*map[string]string))
	for _, p := range d.pairs(c) {
		at := c.key(dotenv.Clip(p.name), p.value)
		if why := badEnvName(p.name); why != "" {
			d.fail(cursor{p.key, at.path}, "", "%s", why)
			continue
		}
		s, ok := d.scalar(at, `a value, "" for an empty one`)
		if ok {
			m[p.name] = s.text
		}
	}
	*dst.(*map[string]string) = m
}

func badEnvName(name string) string {
	switch {
	case name == "":
		return "the name of a variable is empty"
	case strings.ContainsAny(name, "=\x00"):
		return "the name of a variable cannot contain = or NUL"
	case slices.Contains(reservedEnv, name):
		return "this variable is set by ProcGuard itself"
	}
	return ""
}

// fileList is one path or a list of them.
type fileList struct{}

// located is a path with its place in the config file.
type located struct {
	at   cursor
	text string
}

func (fileList) label() string { return "string or list" }

func (fileList) decode(d *decoder, c cursor, dst any) {
	parts := []cursor{c}
	if c.target().Kind == yaml.SequenceNode {
		parts = d.items(c, "a path or a list of paths")
	}
	list := make([]located, 0, len(parts))
	for _, p := range parts {
		var path string
		someText.decode(d, p, &path)
		if path != "" {
			list = append(list, located{p, path})
		}
	}
	*dst.(*[]located) = list
}
