package config

import "math"

// workerSection is every key of a worker. Defaults are the seed document's where it
// has the key.
func workerSection(task *section[taskSpec], backoff *section[Backoff], stop *section[Stop], ready *section[Ready], life []key[entry]) *section[entry] {
	keys := append(processKeys(), fleetKeys(task)...)
	keys = append(keys, policyKeys(backoff, stop, ready)...)
	keys = append(keys, life...)
	return &section[entry]{
		name: "workers[]", effect: "One entry per worker, or per set of equal workers with `replicas`.",
		keys: append(keys, limitKeys()...), marks: (*entry).mark, inherited: (*entry).has, check: checkEntry,
		later: []string{"match", "node"},
	}
}

// defaultsOf is `defaults`: a worker's keys but those that make no sense for more
// than one.
func defaultsOf(worker *section[entry]) *defaultsKind {
	k := &defaultsKind{section[entry]{name: "defaults", marks: worker.marks, later: worker.later}}
	for _, row := range worker.keys {
		if row.name != "worker_id" && row.name != "tasks" {
			row.required = false
			k.keys = append(k.keys, row)
		}
	}
	return k
}

func processKeys() []key[entry] {
	return []key[entry]{
		{name: "worker_id", kind: nameKind("an id"), required: true, effect: "Unique name. With `replicas` the workers are `<worker_id>_0`, `_1` and so on.", example: "trainer", aka: []string{"id", "name"}, at: func(e *entry) any { return &e.Entry }},
		{name: "command", kind: commandKind{}, required: true, effect: "What to run. Text is split into words as a shell would, but no shell is started; a list is taken as it is.", example: "python3 train.py --lr 0.1", aka: []string{"cmd", "exec", "args"}, at: func(e *entry) any { return &e.command }},
		{name: "shell", kind: boolean, def: "false", effect: "Run `command` with `/bin/sh -c`, for pipes, redirections and the like.", example: "true", at: func(e *entry) any { return &e.Shell }},
		{name: "working_dir", kind: someText, defDoc: "ProcGuard's own", effect: "Directory to start in.", example: "/app", aka: []string{"cwd", "directory", "dir", "workdir", "chdir"}, at: func(e *entry) any { return &e.WorkingDir }},
		{name: "env", kind: envMap{}, effect: "Variables added to ProcGuard's own environment.", example: "{CUDA_VISIBLE_DEVICES: 0}", aka: []string{"environment"}, at: func(e *entry) any { return &e.Env }},
		{name: "env_file", kind: fileList{}, effect: "File or files of NAME=value lines, relative to this file; later ones win, `env` wins over all.", example: ".env", at: func(e *entry) any { return &e.envFiles }},
		{name: "pid_file", kind: someText, defDoc: "none", effect: "File to write the worker's pid to while it runs.", example: "/tmp/worker.pid", aka: []string{"pidfile"}, at: func(e *entry) any { return &e.PIDFile }},
	}
}

func fleetKeys(task *section[taskSpec]) []key[entry] {
	return []key[entry]{
		{name: "worker_type", kind: nameKind("a type"), def: "default", effect: "Tasks move only between workers of one type.", example: "training", aka: []string{"type"}, at: func(e *entry) any { return &e.Type }},
		{name: "group", kind: nameKind("a group"), def: "default", effect: "Failure domain: when one of it fails, all of it is stopped and restarted.", example: "ranks", at: func(e *entry) any { return &e.Group }},
		{name: "replicas", kind: integer(1, MaxWorkers), defDoc: "one worker, named `worker_id`", effect: "Number of equal workers. `{index}` and `{worker_id}` are then filled in in `command`, `env`, `working_dir`, `pid_file`, `health_check_url`, `progress_file`, `dump` and `ready`.", example: "4", aka: []string{"numprocs", "num_procs", "instances", "nproc", "nproc_per_node", "scale"}, at: func(e *entry) any { return &e.replicas }},
		{name: "min_replicas", kind: integer(1, MaxWorkers), defDoc: "`replicas`", effect: "Fewest replicas with which the entry goes on when others are out of restarts.", example: "2", at: func(e *entry) any { return &e.minimum }},
		{name: "launcher", kind: launcherKind(), def: "none", effect: "`torch` gives the replicas the environment that torchrun gives its ranks.", example: "torch", at: func(e *entry) any { return &e.Launcher }},
		{name: "standby", kind: boolean, def: "false", effect: "Started only to take the place of a worker that is out of restarts.", example: "true", at: func(e *entry) any { return &e.Standby }},
		{name: "tasks", kind: tasksOf(task, true), effect: "Tasks owned at first, as ids or as mappings like those of `tasks`; replicas take them in turn.", example: "[shard-0, shard-1]", at: func(e *entry) any { return &e.tasks }},
		{name: "depends_on", kind: dependsKind{}, effect: "Workers or entries that must have `started`, be `ready` or have `completed` before this one starts; a plain list means `ready`.", example: "{loader: ready}", aka: []string{"requires", "after"}, at: func(e *entry) any { return &e.deps }},
	}
}

func policyKeys(backoff *section[Backoff], stop *section[Stop], ready *section[Ready]) []key[entry] {
	return []key[entry]{
		{name: "restart", kind: enum("on-failure", "always", "never"), def: "on-failure", effect: "Which exits lead to a restart. Under `on-failure` exit 0 means done.", example: "always", aka: []string{"autorestart", "restart_policy"}, at: func(e *entry) any { return &e.Restart }},
		{name: "max_restarts", kind: integer(0, math.MaxInt), def: "3", effect: "Restarts before the worker is excluded.", example: "10", aka: []string{"retries", "startretries", "max_retries"}, at: func(e *entry) any { return &e.MaxRestarts }},
		{name: "restart_delay", kind: seconds, def: "5.0", effect: "Pause before a restart; `backoff` stretches it.", example: "500ms", at: func(e *entry) any { return &e.RestartDelay }},
		{name: "backoff", kind: backoff, effect: "How the delay grows with each failure.", at: func(e *entry) any { return &e.Backoff }},
		{name: "stop", kind: stop, effect: "How the worker is asked to stop.", at: func(e *entry) any { return &e.Stop }},
		{name: "ready", kind: ready, effect: "When a started worker counts as ready. At most one check besides `after`.", at: func(e *entry) any { return &e.Ready }},
		{name: "startup_timeout", kind: someSeconds, def: "600", effect: "Time for a worker with a readiness check to become ready; then it counts as failed.", example: "20m", at: func(e *entry) any { return &e.StartupTimeout }},
	}
}

func limitKeys() []key[entry] {
	return []key[entry]{
		{name: "user", kind: user, defDoc: "ProcGuard's own", effect: "Name or uid to run as, optionally with `:` and a group; looked up when the worker starts.", example: "nobody:nogroup", aka: []string{"uid"}, at: func(e *entry) any { return &e.User }},
		{name: "umask", kind: optional[int]{umask}, defDoc: "inherited", effect: "File mode mask, in octal.", example: `"022"`, at: func(e *entry) any { return &e.Umask }},
		{name: "nice", kind: optional[int]{integer(-20, 19)}, defDoc: "inherited", effect: "CPU priority; a higher number yields to others.", example: "5", aka: []string{"priority"}, at: func(e *entry) any { return &e.Nice }},
		{name: "rlimits", kind: rlimits{}, defDoc: "inherited", effect: "Limits of setrlimit(2) by lower-case name: a number for both, `unlimited`, or `soft:hard`.", example: `{nofile: 65536, core: 0, memlock: "64M:unlimited"}`, aka: []string{"ulimits", "limits"}, at: func(e *entry) any { return &e.Rlimits }},
		{name: "cpu_affinity", kind: cpuList{}, defDoc: "inherited", effect: "CPUs the worker may use.", example: `"0-3,6"`, at: func(e *entry) any { return &e.CPUAffinity }},
		{name: "logs", kind: logsSection("workers[].logs"), defDoc: "top-level `logs`", effect: "What becomes of this worker's output.", at: func(e *entry) any { return &e.Logs }},
	}
}

func backoffSection() *section[Backoff] {
	return &section[Backoff]{name: "workers[].backoff", keys: []key[Backoff]{
		{name: "factor", kind: number("a number from 1 up", 1, 1e6), def: "2.0", effect: "The delay is multiplied by this after each failure.", example: "1.5", at: func(b *Backoff) any { return &b.Factor }},
		{name: "max", kind: seconds, def: "60", defDoc: "60, or `restart_delay` if that is longer", effect: "Longest delay.", example: "5m", at: func(b *Backoff) any { return &b.Max }},
		{name: "jitter", kind: number("a fraction from 0 to 1", 0, 1), def: "0.1", effect: "Each delay is varied at random by up to this fraction of it.", example: "0", at: func(b *Backoff) any { return &b.Jitter }},
		{name: "reset_after", kind: someSeconds, def: "600", effect: "Healthy time after which delay and restart budget start afresh.", example: "1h", at: func(b *Backoff) any { return &b.ResetAfter }},
	}}
}

func stopSection() *section[Stop] {
	return &section[Stop]{name: "workers[].stop", keys: []key[Stop]{
		{name: "signal", kind: signal, def: "TERM", effect: "First signal: a name with or without SIG, or a number.", example: "INT", aka: []string{"stopsignal"}, at: func(s *Stop) any { return &s.Signal }},
		{name: "grace", kind: seconds, def: "30", effect: "Time to stop before the worker's whole group of processes is killed.", example: "2m", aka: []string{"timeout", "grace_period"}, at: func(s *Stop) any { return &s.Grace }},
		{name: "to", kind: enum("leader", "group"), def: "leader", effect: "Who gets the first signal: the command itself, so that it can still use its children, or its process group.", example: "group", at: func(s *Stop) any { return &s.To }},
	}}
}

func readySection() *section[Ready] {
	return &section[Ready]{name: "workers[].ready", whole: true, check: checkReady, keys: []key[Ready]{
		{name: "after", kind: seconds, def: "0", effect: "Time the worker must have been alive.", example: "2", at: func(r *Ready) any { return &r.After }},
		{name: "http", kind: httpURL, defDoc: "none", effect: "URL that must answer 2xx.", example: "http://127.0.0.1:8080/ready", at: func(r *Ready) any { return &r.HTTP }},
		{name: "tcp", kind: tcpAddr, defDoc: "none", effect: "Address that must accept; a port alone is on 127.0.0.1.", example: "127.0.0.1:6379", at: func(r *Ready) any { return &r.TCP }},
		{name: "exec", kind: execKind{}, defDoc: "none", effect: "Command that must exit 0.", example: "[test, -e, /tmp/up]", at: func(r *Ready) any { return &r.Exec }},
		{name: "log", kind: pattern, defDoc: "none", effect: "Regular expression that a line of output must match.", example: "listening on port [0-9]+", at: func(r *Ready) any { return &r.Log }},
		{name: "notify", kind: boolean, def: "false", effect: "The worker must have said `READY=1` on `NOTIFY_SOCKET`.", example: "true", at: func(r *Ready) any { return &r.Notify }},
		{name: "heartbeat", kind: boolean, def: "false", effect: "The first heartbeat must have come.", example: "true", at: func(r *Ready) any { return &r.Heartbeat }},
	}}
}

// launcherKind is none or torch, with none kept as the empty string.
func launcherKind() valueKind[string] {
	k := enum("none", "torch")
	parse := k.parse
	k.parse = func(s scalar) (string, string, bool) {
		word, hint, ok := parse(s)
		if word == "none" {
			word = ""
		}
		return word, hint, ok
	}
	return k
}
