//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// job is killed once and comes back, wherever it has to run.
const job = `
workers:
  - {worker_id: w, replicas: 2, command: /job/w.sh, restart_delay: 0.1}
`

// recovers kills a worker and waits until its group is back.
func (b *box) recovers() {
	b.Helper()
	b.eventually("two workers", func() bool { s := b.status(); return s != nil && s.Workers[0].PID != 0 && s.Workers[1].PID != 0 })
	b.exec("kill -9 $(cat /job/w_0.pid)")
	b.eventually("a restart of both", func() bool {
		s := b.status()
		return s != nil && s.Workers[0].RestartCount == 1 && s.Workers[1].RestartCount == 1 && s.Groups[0].Phase == "steady"
	})
}

func TestHardPlaces(t *testing.T) {
	for name, c := range map[string]struct {
		config string
		opts   []string
		says   string // in its log
	}{
		"read-only-root":   {places, []string{"--read-only", "--tmpfs", "/run"}, ""},
		"nothing-writable": {"", []string{"--read-only"}, "state"},
		"user":             {"state: {dir: /job/state}\ncontrol: {socket: /job/sock}\n", []string{"--user", "1000"}, ""},
		"no-capabilities":  {places, []string{"--cap-drop", "ALL", "--security-opt", "no-new-privileges"}, ""},
		"pids-limit":       {places, []string{"--pids-limit", "40"}, ""},
		"little-memory":    {places, []string{"-m", "48m"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, map[string]string{"w.sh": worker, "procguard.yaml": job + c.config}, c.opts...)
			b.start()
			if name == "nothing-writable" { // not even a socket to ask
				b.eventually("both workers", func() bool { return b.read("w_0.pid") != "" && b.read("w_1.pid") != "" })
			} else {
				b.recovers()
			}
			b.docker("stop", "-t", "30", b.name)
			b.ends(0)
			if !strings.Contains(b.logs(), c.says) {
				t.Errorf("it says %s", b.logs())
			}
		})
	}
}

// TestReadOnlyVolume: the state is there and cannot be written. It is used, and
// supervision goes on in memory.
func TestReadOnlyVolume(t *testing.T) {
	b := newBox(t, map[string]string{"w.sh": worker, "procguard.yaml": job + places})
	b.start()
	b.recovers()
	b.docker("stop", "-t", "30", b.name)
	b.ends(0)
	b.opts = []string{"-v", b.dir + "/state:/job/state:ro"}
	b.start()
	b.eventually("status", func() bool { s := b.status(); return s != nil && s.Workers[1].PID != 0 })
	s := b.status()
	if s.Verdict != "degraded" || !strings.Contains(strings.Join(s.Degraded, ";"), "read-only") {
		t.Errorf("status: %s %v", s.Verdict, s.Degraded)
	}
	if s.Workers[0].BudgetUsed != 1 || s.Incidents != 1 {
		t.Errorf("what could be read was not used: %+v", s.Workers[0])
	}
	b.exec("kill -9 $(cat /job/w_0.pid)")
	b.eventually("recovery in memory", func() bool { s := b.status(); return s != nil && s.Incidents == 2 && s.Groups[0].Phase == "steady" })
	b.docker("stop", "-t", "30", b.name)
	b.ends(0)
}

// TestFullVolume: the disk fills up, supervision goes on and says so; when there
// is room again the state is written, and nothing has been forgotten.
func TestFullVolume(t *testing.T) {
	b := newBox(t, map[string]string{"w.sh": worker, "procguard.yaml": job + "state: {dir: /full/state}\n"}, "--tmpfs", "/full:size=2m")
	b.start()
	b.eventually("two workers", func() bool { s := b.status(); return s != nil && s.Workers[1].PID != 0 })
	b.exec("cat /dev/zero >/full/fill")
	b.recovers()
	b.eventually("degraded", func() bool { s := b.status(); return s.Verdict == "degraded" })
	b.exec("rm /full/fill")
	b.eventually("healthy again", func() bool { s := b.status(); return s.Verdict == "healthy" })
	b.eventually("the state is on disk", func() bool {
		return strings.Contains(b.exec("cat /full/state/state.json"), `"incidents": 1`) ||
			strings.Contains(b.exec("cat /full/state/state.json"), `"incidents":1`)
	})
	b.docker("stop", "-t", "30", b.name)
	b.ends(0)
	if !strings.Contains(b.logs(), "state is kept in memory only") || !strings.Contains(b.logs(), "state is on disk again") {
		t.Errorf("it says %s", b.logs())
	}
}
