//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/procguard/procguard/state/journal/incident"
	"github.com/procguard/procguard/supervise/cause"
)

// A container is too small for what runs in it. Whoever takes too much dies of it, the
// incident says of what, and ProcGuard, which shares the limit, goes on.

// once does what it is to do in its first life, when it is told to.
const once = `#!/bin/sh
[ $PROCGUARD_RESTART_COUNT -gt 0 ] && exec sleep 1000
until [ -e /job/go ]; do sleep 0.02; done
`

const tight = `
workers:
  - {worker_id: w, command: ./w.sh, restart_delay: 0.1}
  - {worker_id: peer, command: sleep 1000, restart_delay: 0.1}
monitoring: {interval: 0.5}
` + places

// short runs a container with a limit until its worker has died of it and all is well again.
func short(t *testing.T, script string, limit ...string) (*box, *incident.Incident) {
	t.Helper()
	b := newBox(t, map[string]string{"w.sh": once + script, "procguard.yaml": tight}, limit...)
	b.start()
	b.awaitVerdict("healthy")
	b.file("go", "")
	b.eventually("recovery", func() bool { s := b.status(); return s != nil && s.Incidents == 1 && s.Verdict == "healthy" })
	i := b.incident(1)
	t.Logf("%s (%s): %s\n  %s", i.Class, i.Confidence, i.Reason, i.Cause)
	if i.Culprit != "w" || !slices.Equal(i.Victims, []string{"peer"}) || i.Outcome != incident.Recovered {
		t.Errorf("culprit %s, victims %v, outcome %s", i.Culprit, i.Victims, i.Outcome)
	}
	return b, i
}

// stops ends a container in which ProcGuard has lived all the time.
func (b *box) stops() {
	b.Helper()
	if s := b.status(); s == nil || s.PID != 1 || s.Run != 0 && s.Run != 1 {
		b.Errorf("status %+v", s)
	}
	if z := b.zombies(); z != "0" {
		b.Errorf("%s zombies", z)
	}
	b.docker("stop", "-t", "30", b.name)
	b.ends(0)
}

// TestContainerOOM: the container's memory is used up by a worker.
func TestContainerOOM(t *testing.T) {
	b, i := short(t, "exec tail /dev/zero\n", "-m", "64m", "--memory-swap", "64m")
	if i.Class != string(cause.OOMContainer) || !strings.Contains(i.Reason, "the container") || !strings.Contains(i.Reason, "64 MiB") {
		t.Errorf("class %s: %s", i.Class, i.Reason)
	}
	w := i.Workers[0]
	if w.SignalSender != cause.SenderOOM || w.OOMKills == 0 || w.Cgroup == nil || w.Cgroup.Container == nil || w.Cgroup.Container.LimitBytes != 64<<20 {
		t.Errorf("sender %q, %d kills, cgroup %+v", w.SignalSender, w.OOMKills, w.Cgroup)
	}
	b.stops()
}

// TestContainerOOMOfChild: a process of the worker is the one that is killed, and the worker
// says so with its exit code alone.
func TestContainerOOMOfChild(t *testing.T) {
	b, i := short(t, "tail /dev/zero; exit $?\n", "-m", "64m", "--memory-swap", "64m")
	if i.Class != string(cause.OOMContainer) || !strings.Contains(i.Reason, "a process of it") {
		t.Errorf("class %s: %s", i.Class, i.Reason)
	}
	b.stops()
}

// TestContainerPids: the container may have no more processes. ProcGuard has its threads
// already, and needs none to end what fills the place.
func TestContainerPids(t *testing.T) {
	b, i := short(t, "while :; do sleep 1000 & done\n", "--pids-limit", "60")
	if i.Class != string(cause.PidsLimit) || !strings.Contains(i.Reason, "pids.max is 60") {
		t.Errorf("class %s: %s", i.Class, i.Reason)
	}
	if n := b.exec("ls -d /proc/[0-9]*/ | wc -l"); len(n) > 1 {
		t.Errorf("%s processes are left", n)
	}
	b.stops()
}
