package config

import "os"

// Default is what an empty file would mean, were it allowed: every setting at
// its default and no workers. For programs that make a Config by hand.
func Default() *Config {
	c := defaultFile().Config
	c.Node = nodeName(os.LookupEnv)
	return &c
}

// NewWorker is a worker with every setting at its default. command is its argv;
// no shell is involved.
func NewWorker(id string, command ...string) Worker {
	w := table().worker.fresh().Worker
	w.Logs = defaultFile().logs
	w.ID, w.Entry, w.Replicas, w.MinReplicas = id, id, 1, 1
	w.Command = command
	w.Node = nodeName(os.LookupEnv)
	return w
}
