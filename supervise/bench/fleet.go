package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
)

// fleet is what a configuration of equal workers can differ in.
type fleet struct {
	alone    bool // the failure of one is no matter of the others
	unlooked bool // nothing is sampled
}

// yaml writes the configuration. Durable state, logs, samples and the control
// socket are as they are by default; there is no delay before a restart, and the
// budget does not end within a run.
func (f fleet) yaml(worker []string, n int, dir string) []byte {
	command, _ := json.Marshal(worker) // text always can; YAML reads it
	return fmt.Appendf(nil, `workers:
  - worker_id: w
    replicas: %d
    command: %s
    restart_delay: 0
    max_restarts: 1000000
monitoring: {interval: 1.0, zombie_detection: %t}
recovery: {stop_all_on_failure: %t}
logging: {format: json}
state: {dir: %q}
control: {socket: %q}
`, n, command, !f.unlooked, !f.alone, filepath.Join(dir, "volume"), filepath.Join(dir, "sock"))
}
