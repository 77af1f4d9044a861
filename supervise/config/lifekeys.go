package config

import (
	"math"
	"time"
)

// lifeKeys are the signs of life of a worker, and what happens without them.
func lifeKeys(patterns *section[LogPattern], clean *section[Clean]) []key[entry] {
	return []key[entry]{
		{name: "heartbeat_timeout", kind: beatKind{}, defDoc: "`monitoring.heartbeat_timeout`", effect: "As under `monitoring`, for this worker. `auto` learns it: five times the longest time seen between two heartbeats, kept in the state; until ten were seen `startup_timeout` applies.", example: "auto", at: func(e *entry) any { return &e.beat }},
		{name: "heartbeat_floor", kind: someSeconds, def: "30", effect: "What `heartbeat_timeout: auto` learns is never less.", example: "2m", at: func(e *entry) any { return &e.HeartbeatFloor }},
		{name: "progress_timeout", kind: someSeconds, defDoc: "none", effect: "A worker that has told its step number (`X_STEP=` or `STATUS=step=` on `NOTIFY_SOCKET`, `progress_file`, `log_pattern.progress`) and then no greater one for this long hangs.", example: "20m", at: func(e *entry) any { return &e.ProgressTimeout }},
		{name: "progress_file", kind: someText, defDoc: "none", effect: "File whose first whole number is the step.", example: "/ckpt/latest_checkpointed_iteration.txt", aka: []string{"progress"}, at: func(e *entry) any { return &e.ProgressFile }},
		{name: "file_timer", kind: boolean, def: "false", effect: "Give the worker the FIFO that `torch.distributed.elastic.timer` writes its deadlines to (`TORCHELASTIC_TIMER_FILE`); a timer that expires before it is released is a hang.", example: "true", at: func(e *entry) any { return &e.FileTimer }},
		{name: "phases", kind: phasesKind{}, effect: "Time that replaces the heartbeat timeout while the worker is in a phase that it has announced by that name; `stopping` is the one that `STOPPING=1` announces.", example: "{compile: 600, checkpoint: 300, eval: 900}", at: func(e *entry) any { return &e.Phases }},
		{name: "log_silence", kind: someSeconds, defDoc: "none", effect: "A worker that has written something and then nothing for this long hangs.", example: "30m", at: func(e *entry) any { return &e.LogSilence }},
		{name: "log_pattern", kind: patterns, effect: "What lines of its output say about a worker.", at: func(e *entry) any { return &e.LogPattern }},
		{name: "health_check_url", kind: httpURL, defDoc: "none", effect: "URL asked every `monitoring.interval`; an answer other than 2xx is a sign of trouble.", example: "http://127.0.0.1:8080/healthz", at: func(e *entry) any { return &e.HealthCheckURL }},
		{name: "health_check_body", kind: pattern, defDoc: "any", effect: "Regular expression that must match somewhere in the answer's body; a plain word is one.", example: `'"status": *"ok"'`, at: func(e *entry) any { return &e.HealthCheckBody }},
		{name: "on_hang", kind: enum("restart", "notify"), def: "restart", effect: "What happens to a worker that lives and gives no sign of life or makes no step: it fails and is restarted, or it is only told of, once, and taken back at its next sign of life. A start that takes too long and a limit exceeded are failures in any case.", example: "notify", aka: []string{"action"}, at: func(e *entry) any { return &e.OnHang }},
		{name: "dump", kind: execKind{}, defDoc: "none", effect: "Command that saves evidence of a living worker that is judged, before anything is done to it; its output goes into the incident. `{pid}`, `{worker}` and `{incident}` (the incident's directory) are filled in.", example: "[py-spy, dump, --pid, '{pid}']", at: func(e *entry) any { return &e.Dump }},
		{name: "dump_signal", kind: dumpSignal, defDoc: "none", effect: "Signal that makes the worker write its stack to its output, sent to the leader for the same purpose. A program that does not know it dies of it.", example: "USR1", at: func(e *entry) any { return &e.DumpSignal }},
		{name: "dump_timeout", kind: seconds, def: "10", effect: "Time for the evidence; a sign of life meanwhile withdraws the verdict. 0 asks for none.", example: "30", at: func(e *entry) any { return &e.DumpTimeout }},
		{name: "max_memory", kind: memoryKind{}, defDoc: "none", effect: "Memory of the worker's whole tree of processes, as a size or as a share of the machine's (or container's), beyond which it is restarted: asked to stop with its whole `stop.grace`, and charged like a failure, which `backoff.reset_after` or progress forgives.", example: "80%", at: func(e *entry) any { return &e.MaxMemory }},
		{name: "max_cpu", kind: number("a percentage above 0", math.SmallestNonzeroFloat64, math.Inf(1)), defDoc: "none", effect: "Percent of one core that the worker's whole tree may use on average over `max_cpu_window`, else it is restarted in the same way.", example: "400", at: func(e *entry) any { return &e.MaxCPU }},
		{name: "max_cpu_window", kind: someSeconds, def: "60", effect: "Time over which `max_cpu` is measured.", example: "5m", at: func(e *entry) any { return &e.MaxCPUWindow }},
		{name: "clean", kind: clean, effect: "What is made sure of before the worker is started again.", aka: []string{"clean_shm"}, at: func(e *entry) any { return &e.Clean }},
	}
}

func logPatternSection() *section[LogPattern] {
	return &section[LogPattern]{name: "workers[].log_pattern", effect: "Regular expressions (RE2) that a line of output is held against.", keys: []key[LogPattern]{
		{name: "ready", kind: pattern, defDoc: "none", effect: "The worker is ready; the same as `ready: {log: …}`.", example: "listening on port [0-9]+", at: func(p *LogPattern) any { return &p.Ready }},
		{name: "alive", kind: pattern, defDoc: "none", effect: "The line is a heartbeat.", example: "'^iteration '", at: func(p *LogPattern) any { return &p.Alive }},
		{name: "fail", kind: pattern, defDoc: "none", effect: "The worker has failed, although it lives.", example: "NCCL WARN.*(timeout|error)", at: func(p *LogPattern) any { return &p.Fail }},
		{name: "progress", kind: stepPattern, defDoc: "none", effect: "The one group in it is the step number.", example: "'iteration +([0-9]+)/'", at: func(p *LogPattern) any { return &p.Progress }},
	}}
}

func cleanSection() *section[Clean] {
	return &section[Clean]{name: "workers[].clean", keys: []key[Clean]{
		{name: "shm", kind: boolean, def: "false", effect: "Remove what the dead worker, and nobody else, had open or mapped in `/dev/shm`.", example: "true", at: func(c *Clean) any { return &c.SharedMemory }},
		{name: "port", kind: boolean, def: "true", effect: "Wait until the port of `ready: {tcp: …}` on this machine can be bound again, and name who holds it. Ranks meet at a fresh port after every failure in any case.", example: "false", at: func(c *Clean) any { return &c.Port }},
		{name: "gpu", kind: gpuKind, def: "auto", effect: "Wait until GPU memory of the dead processes is free: where `nvidia-smi` is found, always, or never.", example: "false", at: func(c *Clean) any { return &c.GPU }},
	}}
}

// beatSpec is heartbeat_timeout as written.
type beatSpec struct {
	timeout *time.Duration // nil: not given, or auto
	auto    bool
}
