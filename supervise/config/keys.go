package config

import (
	"math"
	"sync"
	"syscall"
	"time"

	"gopkg.in/yaml.v3"
)

// tables is the table of keys, section by section.
type tables struct {
	root     *section[fileSpec]
	worker   *section[entry]
	sections []*sectionInfo // in the order of the reference, `defaults` left out
}

// table is built when first asked for, so that a ProcGuard that reads no file
// does not pay for it. The effects and examples are the text of doc/config.md.
var table = sync.OnceValue(func() *tables {
	task := taskSection()
	backoff, stop, ready := backoffSection(), stopSection(), readySection()
	patterns, clean := logPatternSection(), cleanSection()
	worker := workerSection(task, backoff, stop, ready, lifeKeys(patterns, clean))
	grant := grantSection()
	busKeys := busKeysSection(grant)
	monitoring, recovery, adapter := monitoringSection(), recoverySection(), adapterSection(busKeys)
	communication := communicationSection(adapter)
	logging, logs, state, control := loggingSection(), logsSection("logs"), stateSection(), controlSection()
	root := &section[fileSpec]{open: true,
		effect: "What a file consists of. Keys that start with `x-` are free for YAML anchors.",
		keys: []key[fileSpec]{
			{name: "logs", kind: logs, effect: "What becomes of the workers' output; `logs` of a worker overrides it key by key.", at: func(f *fileSpec) any { return &f.logs }},
			{name: "defaults", kind: defaultsOf(worker), effect: "Any key of a worker but `worker_id` and `tasks`, for each worker that does not set it. Mappings (`env`, `rlimits`, `backoff`, `stop`, `logs`) are merged key by key, all else is replaced.",
				example: "{restart_delay: 1, env: {PYTHONUNBUFFERED: 1}}", at: func(f *fileSpec) any { return &f.defaults }},
			{name: "workers", kind: entriesKind{worker}, required: true, effect: "The workers.", at: func(f *fileSpec) any { return &f.entries }},
			{name: "tasks", kind: tasksOf(task, false), effect: "The tasks, with or without a first owner.", at: func(f *fileSpec) any { return &f.tasks }},
			{name: "monitoring", kind: monitoring, effect: "How workers are watched.", at: func(f *fileSpec) any { return &f.Monitoring }},
			{name: "recovery", kind: recovery, effect: "What happens when a worker fails.", at: func(f *fileSpec) any { return &f.Recovery }},
			{name: "communication", kind: communication, effect: "The bus between ProcGuard, its workers and outside tools.", at: func(f *fileSpec) any { return &f.Communication }},
			{name: "logging", kind: logging, effect: "ProcGuard's own log.", at: func(f *fileSpec) any { return &f.Logging }},
			{name: "state", kind: state, effect: "What survives a restart of the container.", at: func(f *fileSpec) any { return &f.State }},
			{name: "control", kind: control, effect: "The door for `procguard status` and the other verbs.", at: func(f *fileSpec) any { return &f.Control }},
		}}
	return &tables{root, worker, []*sectionInfo{root.info(), worker.info(), backoff.info(), stop.info(), ready.info(), patterns.info(), clean.info(), task.info(),
		monitoring.info(), recovery.info(), communication.info(), adapter.info(), busKeys.info(), grant.info(), logging.info(), logs.info(), state.info(), control.info()}}
})

func taskSection() *section[taskSpec] {
	return &section[taskSpec]{name: "tasks[]", effect: "Work that workers own, here or inside a worker's `tasks`.",
		marks: func(t *taskSpec, m map[string]*yaml.Node) { t.marks = m }, keys: []key[taskSpec]{
			{name: "task_id", kind: taskID, required: true, effect: "Unique name.", example: "shard-2", aka: []string{"id", "name"}, at: func(t *taskSpec) any { return &t.ID }},
			{name: "worker_id", kind: someText, defDoc: "chosen by the fleet", effect: "First owner: a worker, or an entry, whose replicas then take its tasks in turn.", example: "trainer_1", at: func(t *taskSpec) any { return &t.WorkerID }},
			{name: "worker_type", kind: nameKind("a type"), defDoc: "its first owner's, else `default`", effect: "Only workers of this `worker_type` may own it.", example: "training", at: func(t *taskSpec) any { return &t.WorkerType }},
			{name: "weight", kind: number("a number above 0", math.SmallestNonzeroFloat64, math.Inf(1)), def: "1", effect: "Its share of the load when tasks are balanced.", example: "2.5", at: func(t *taskSpec) any { return &t.Weight }},
			{name: "payload", kind: payloadKind{}, effect: "Handed to the owner, with the rest of the task, in the JSON file that `PROCGUARD_TASKS_FILE` names.", example: "{file: c.txt}", at: func(t *taskSpec) any { return &t.Payload }},
		}}
}

func monitoringSection() *section[Monitoring] {
	return &section[Monitoring]{name: "monitoring", keys: []key[Monitoring]{
		{name: "interval", kind: duration(time.Second, 10*time.Millisecond), def: "1.0", effect: "Time between samples of a worker's CPU, memory and checks. Deaths do not wait for it.", example: "500ms", at: func(m *Monitoring) any { return &m.Interval }},
		{name: "heartbeat_timeout", kind: someSeconds, def: "10.0", effect: "A worker that has sent a heartbeat and then none for this long is unresponsive. One that never sends any is not judged.", example: "30", at: func(m *Monitoring) any { return &m.HeartbeatTimeout }},
		{name: "zombie_detection", kind: boolean, def: "true", effect: "Whether workers that are alive, below both thresholds and silent count as zombies.", example: "false", at: func(m *Monitoring) any { return &m.ZombieDetection }},
		{name: "cpu_threshold", kind: number("a percentage from 0 up", 0, math.Inf(1)), def: "0.1", effect: "Percent of one core below which a worker may be a zombie.", example: "1", at: func(m *Monitoring) any { return &m.CPUThreshold }},
		{name: "memory_threshold", kind: number("a percentage from 0 to 100", 0, 100), def: "0.1", effect: "Percent of memory below which a worker may be a zombie.", example: "0.5", at: func(m *Monitoring) any { return &m.MemoryThreshold }},
	}}
}

func recoverySection() *section[Recovery] {
	return &section[Recovery]{name: "recovery", keys: []key[Recovery]{
		{name: "enable_auto_recovery", kind: boolean, def: "true", effect: "Whether a failure starts the recovery chain at all.", example: "false", at: func(r *Recovery) any { return &r.EnableAutoRecovery }},
		{name: "stop_all_on_failure", kind: boolean, def: "true", effect: "Stop the failed worker's whole `group` (true) or only the failed one.", example: "false", at: func(r *Recovery) any { return &r.StopAllOnFailure }},
		{name: "task_reassignment", kind: boolean, def: "true", effect: "Whether a failed worker's tasks go to healthy ones of its group and type. Without it they stay with it, and losing it for good ends the run.", example: "false", at: func(r *Recovery) any { return &r.TaskReassignment }},
		{name: "recovery_timeout", kind: someSeconds, def: "60.0", effect: "Time for the group to be back, from the restart on. What was asked for is added: `restart_delay`, and the start-up time of a worker with a readiness check.", example: "5m", at: func(r *Recovery) any { return &r.RecoveryTimeout }},
		{name: "max_recovery_attempts", kind: integer(1, math.MaxInt), def: "3", effect: "Passes through the chain that may run out of `recovery_timeout` in a row before ProcGuard gives up (exit 10).", example: "10", at: func(r *Recovery) any { return &r.MaxRecoveryAttempts }},
		{name: "same_failure_limit", kind: integer(0, math.MaxInt), def: "3", effect: "A worker, or a world of ranks, that fails this often in a row in the same way without progress in between, and that the others cannot do without, ends the run with 93. Progress is a greater step than ever before; for those that tell no steps, being healthy for `backoff.reset_after`. Failed starts do not count: `max_restarts` bounds them. 0: never.", example: "5", at: func(r *Recovery) any { return &r.SameFailureLimit }},
		{name: "no_progress_exit", kind: boolean, def: "true", effect: "Whether `same_failure_limit` ends the run at all.", example: "false", at: func(r *Recovery) any { return &r.NoProgressExit }},
	}}
}

func communicationSection(adapter *section[AdapterConfig]) *section[Communication] {
	return &section[Communication]{name: "communication", check: checkAdapter, keys: []key[Communication]{
		{name: "adapter_type", kind: enum("mock", "zmq"), def: "mock", effect: "`mock` stays inside ProcGuard, `zmq` listens for heartbeats and commands over ZeroMQ.", example: "zmq", at: func(c *Communication) any { return &c.AdapterType }},
		{name: "adapter_config", kind: adapter, effect: "Settings of the zmq adapter.", at: func(c *Communication) any { return &c.AdapterConfig }},
	}}
}

func adapterSection(keys *section[BusKeys]) *section[AdapterConfig] {
	return &section[AdapterConfig]{name: "communication.adapter_config", later: []string{"node", "coordinator", "lease"}, keys: []key[AdapterConfig]{
		{name: "host", kind: someText, def: "127.0.0.1", effect: "Address to listen on.", example: "localhost", at: func(a *AdapterConfig) any { return &a.Host }},
		{name: "port_base", kind: integer(1, 65534), def: "5550", effect: "First of the ports used.", example: "6000", at: func(a *AdapterConfig) any { return &a.PortBase }},
		{name: "timeout", kind: duration(time.Millisecond, time.Millisecond), def: "1000", effect: "Time for a reply. A bare number is in milliseconds, here only.", example: "2s", at: func(a *AdapterConfig) any { return &a.Timeout }},
		{name: "insecure", kind: boolean, def: "false", effect: "Allow a `host` that other machines can reach, without keys.", example: "true", at: func(a *AdapterConfig) any { return &a.Insecure }},
		{name: "keys", kind: keys, effect: "CURVE keys: this node's own, and who gets in.", at: func(a *AdapterConfig) any { return &a.Keys }},
	}}
}

func loggingSection() *section[Logging] {
	return &section[Logging]{name: "logging", keys: []key[Logging]{
		{name: "level", kind: enum("DEBUG", "INFO", "WARNING", "ERROR"), def: "INFO", effect: "Least severe messages to write.", example: "DEBUG", at: func(l *Logging) any { return &l.Level }},
		{name: "file", kind: someText, defDoc: "standard error only", effect: "File to write the log to as well.", example: "logs/procguard.log", at: func(l *Logging) any { return &l.File }},
		{name: "format", kind: enum("text", "json"), def: "text", effect: "Lines for people, or one JSON object a line.", example: "json", at: func(l *Logging) any { return &l.Format }},
	}}
}

func stateSection() *section[State] {
	return &section[State]{name: "state", keys: []key[State]{
		{name: "dir", kind: someText, def: "/var/lib/procguard", effect: "Directory of the journal, `state.json` and incidents; put it on a volume. Where the default is not writable the user's state directory is used; where one given here is not writable, ProcGuard goes on in memory and says so.", example: "/state", at: func(s *State) any { return &s.Dir }},
		{name: "keep_incidents", kind: integer(1, math.MaxInt), def: "50", effect: "Incident folders kept; the oldest go first.", example: "200", at: func(s *State) any { return &s.KeepIncidents }},
		{name: "sync_timeout", kind: someSeconds, def: "0.5", effect: "How long a stalled disk may hold up recovery before ProcGuard goes on in memory and says so.", example: "2", at: func(s *State) any { return &s.SyncTimeout }},
	}, marks: func(s *State, m map[string]*yaml.Node) { s.DirSet = m["dir"] != nil }}
}

func controlSection() *section[Control] {
	return &section[Control]{name: "control", later: []string{"listen"}, keys: []key[Control]{
		{name: "socket", kind: textKind("a path of at most 107 bytes", func(s string) (string, bool) { return "", s != "" && len(s) < len(syscall.RawSockaddrUnix{}.Path) }),
			def: "/run/procguard.sock", effect: "Unix socket for the verbs; unless it is set, `procguard.sock` in the state directory as well.", example: "/tmp/pg.sock", at: func(c *Control) any { return &c.Socket }},
	}, marks: func(c *Control, m map[string]*yaml.Node) { c.SocketSet = m["socket"] != nil }}
}

func logsSection(name string) *section[Logs] {
	return &section[Logs]{name: name, keys: []key[Logs]{
		{name: "dir", kind: someText, defDoc: "`logs` under `state.dir`", effect: "Where the files go: `attempt_N/<worker>/stdout.log` and `stderr.log`.", example: "logs", at: func(l *Logs) any { return &l.Dir }},
		{name: "console", kind: boolean, def: "true", effect: "Copy output to ProcGuard's own stdout and stderr, each line with the worker's name.", example: "false", at: func(l *Logs) any { return &l.Console }},
		{name: "files", kind: boolean, def: "true", effect: "Write output to files.", example: "false", at: func(l *Logs) any { return &l.Files }},
		{name: "max_size", kind: size, def: "100MB", effect: "Size at which a file is rotated; K, M and G count in 1024s.", example: "1GB", at: func(l *Logs) any { return &l.MaxSize }},
		{name: "max_files", kind: integer(0, 10000), def: "5", effect: "Rotated files kept beside the current one.", example: "10", at: func(l *Logs) any { return &l.MaxFiles }},
		{name: "format", kind: enum("text", "json"), def: "text", effect: "Lines as the worker wrote them (on the console with its id in front), or one JSON object a line in both.", example: "json", at: func(l *Logs) any { return &l.Format }},
	}}
}

var taskID = textKind("a task id without control characters, at most 256 bytes", func(s string) (string, bool) {
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			return "", false
		}
	}
	return "", s != "" && len(s) <= 256
})
