package config

import (
	"strings"
	"testing"
	"time"
)

func TestHeartbeatTimeout(t *testing.T) {
	for _, c := range []struct {
		file string
		auto bool
		want time.Duration // 0: nil
	}{
		{"", false, 0},
		{"heartbeat_timeout: 30", false, 30 * time.Second},
		{"heartbeat_timeout: auto", true, 0},
		{"heartbeat_timeout: Auto", true, 0},
		{"heartbeat_timeout: ${HB}", true, 0},
		{"heartbeat_timeout: ${SECONDS}", false, 5 * time.Second},
	} {
		w := worker(t, c.file, "HB", "auto", "SECONDS", "5")
		if w.HeartbeatAuto != c.auto || (w.HeartbeatTimeout == nil) != (c.want == 0) || (c.want > 0 && *w.HeartbeatTimeout != c.want) {
			t.Errorf("%q: auto %v, %v", c.file, w.HeartbeatAuto, w.HeartbeatTimeout)
		}
	}
	refused(t, "heartbeat_timeout: ${NO}", "not set")
	refused(t, "heartbeat_timeout: [auto]", "got a list")
	refused(t, "heartbeat_timeout:", "got nothing")
}

// TestLifeDefaults: what a worker says wins over `defaults`, phases are added
// to, and a default that is of no use to one worker is no mistake.
func TestLifeDefaults(t *testing.T) {
	cfg := mustParse(t, `
defaults: {heartbeat_timeout: auto, heartbeat_floor: 5, phases: {eval: 1, save: 2}, dump_signal: USR1, health_check_body: ok, max_cpu_window: 9}
workers:
  - {worker_id: a, command: x, phases: {eval: 7}}
  - {worker_id: b, command: x, heartbeat_timeout: 3, stop: {signal: USR1}}
  - {worker_id: c, command: x, replicas: 2}
`)
	a, b := cfg.Workers[0], cfg.Workers[1]
	if !a.HeartbeatAuto || a.HeartbeatFloor != 5*time.Second || a.Phases["eval"] != 7*time.Second || a.Phases["save"] != 2*time.Second {
		t.Errorf("%+v", a)
	}
	if b.HeartbeatAuto || *b.HeartbeatTimeout != 3*time.Second || b.Phases["eval"] != time.Second {
		t.Errorf("%+v", b)
	}
	cfg.Workers[2].Phases["eval"] = 0
	if cfg.Workers[3].Phases["eval"] == 0 || b.Phases["eval"] == 0 {
		t.Error("two workers share a map")
	}
}

func TestMemory(t *testing.T) {
	for text, want := range map[string]Memory{"8GiB": {Bytes: 8 << 30}, "1000": {Bytes: 1000}, "80%": {Percent: 80}, `"0.5 %"`: {Percent: 0.5}, "${MEM}": {Percent: 7}} {
		if got := worker(t, "max_memory: "+text, "MEM", "7%").MaxMemory; got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
	for _, text := range []string{"0", "0%", "-1%", "101%", "x%", "nan%", "80 percent", `"%"`, "true"} {
		refused(t, "max_memory: "+text, "expected a size such as 8GiB, or a percentage such as 80%")
	}
}

func TestLogPatternReady(t *testing.T) {
	w := worker(t, "log_pattern: {ready: up}")
	if w.Ready.Log == nil || w.Ready.Log.String() != "up" {
		t.Errorf("%+v", w.Ready)
	}
	refused(t, "log_pattern: {ready: up}\n    ready: {log: up}", "`ready` has another one")
}

// TestMaxCPUWindow is about two sections, so it is looked at when both are read.
func TestMaxCPUWindow(t *testing.T) {
	got := mistakesIn(t, "workers: [{worker_id: w, command: x, max_cpu: 5, max_cpu_window: 3}]\nmonitoring: {interval: 2}")
	if !strings.Contains(got, "max_cpu_window (3s) is shorter than two times monitoring.interval (2s)") {
		t.Error(got)
	}
}
