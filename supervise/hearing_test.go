package supervise

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/state/journal/incident"
	"github.com/procguard/procguard/supervise/fleet"
)

// over stops the rig and reads an incident as it was left.
func (r *rig) over(n uint64) *incident.Incident {
	r.t.Helper()
	r.Shutdown("", false)
	_, err := r.wait()
	must(r.t, err)
	inc, err := incident.Load(r.dir, n)
	must(r.t, err)
	return inc
}

// awaitFile waits until an incident has a file, which tells that a look has been taken.
func (r *rig) awaitFile(n uint64, name string) {
	r.t.Helper()
	for {
		if found, _ := filepath.Glob(filepath.Join(incident.Path(r.dir, n), name)); len(found) > 0 {
			return
		}
		if r.ctx.Err() != nil {
			r.t.Fatalf("incident %d has no %s", n, name)
		}
		time.Sleep(time.Millisecond)
	}
}

// culprit is the entry of the worker that is named first.
func culprit(t *testing.T, inc *incident.Incident) incident.Worker {
	t.Helper()
	i := slices.IndexFunc(inc.Workers, func(w incident.Worker) bool { return w.WorkerID == inc.Culprit })
	if i < 0 {
		t.Fatalf("incident %d does not describe %s", inc.Number, inc.Culprit)
	}
	return inc.Workers[i]
}

// silent is a worker that is held to hang as soon as it is told to be alive.
const silent = `[ $PROCGUARD_RESTART_COUNT -gt 0 ] || touch "$PROCGUARD_HEARTBEAT_FILE"; exec sleep 1000`

// TestSlowDumpHook: a hook that takes more than its time costs only what it would have said.
func TestSlowDumpHook(t *testing.T) {
	w := sh("a", silent)
	w.Dump, w.DumpTimeout = []string{"sleep", "100"}, 1500*time.Millisecond
	cfg := settings(t, w)
	cfg.Monitoring.HeartbeatTimeout, cfg.Monitoring.ZombieDetection = 200*time.Millisecond, false
	r := start(t, cfg, Options{})
	r.await("recovered", func(s fleet.Status) bool { return steady(s) && find(s, "a").RestartCount == 1 })
	inc := r.over(1)
	c := culprit(t, inc)
	if c.Process == nil || c.Hang == "" || inc.Class == "" {
		t.Errorf("what was seen before the hook is lost: %+v", c)
	}
	if !slices.Contains(inc.Files, "a/status") {
		t.Errorf("files are %v", inc.Files)
	}
}

// TestDeathDuringDump: how it died is the cause, and what was seen of it before is kept.
func TestDeathDuringDump(t *testing.T) {
	w := sh("a", silent)
	w.Dump = []string{"sh", "-c", "kill -SEGV {pid}; sleep 0.5"}
	cfg := settings(t, w)
	cfg.Monitoring.HeartbeatTimeout, cfg.Monitoring.ZombieDetection = 200*time.Millisecond, false
	r := start(t, cfg, Options{})
	r.await("recovered", func(s fleet.Status) bool { return steady(s) && find(s, "a").RestartCount == 1 })
	r.awaitFile(1, "a/status") // the dump is over half a second after the death
	inc := r.over(1)
	c := culprit(t, inc)
	if inc.Cause.Signal != "SIGSEGV" || !strings.Contains(c.Class, "seg") {
		t.Errorf("cause %v, class %s", inc.Cause, c.Class)
	}
	if c.Process == nil {
		t.Error("what was seen of it before is lost")
	}
}

// TestHungIncidentEnds: an incident that tells of a hang ends with the worker, and what was
// seen of a hang that is over is not evidence for a later death.
func TestHungIncidentEnds(t *testing.T) {
	a, b := sh("a", silent), sh("b", silent)
	a.OnHang, b.OnHang = "notify", "notify"
	b.Group = "other"
	cfg := settings(t, a, b)
	cfg.Monitoring.HeartbeatTimeout, cfg.Monitoring.ZombieDetection = 200*time.Millisecond, false
	r := start(t, cfg, Options{})
	hang := func(s fleet.Status) bool { return find(s, "a").Verdict != nil && find(s, "b").Verdict != nil }
	r.await("both hang", hang)
	r.awaitFile(1, "*/status")
	r.awaitFile(2, "*/status")
	must(t, r.StopWorker(r.ctx, "b", true))
	r.await("b is gone", func(s fleet.Status) bool { return find(s, "b").PID == 0 })
	must(t, r.Heartbeat(r.ctx, "a"))
	must(t, syscall.Kill(r.worker("a").PID, syscall.SIGKILL))
	r.await("a is back", func(s fleet.Status) bool { return find(s, "a").RestartCount == 1 && find(s, "a").State == "running" })
	last := r.over(3)
	if c := culprit(t, last); c.Process != nil || c.Hang != "" {
		t.Errorf("an old look is shown as evidence of the death: %+v", c)
	}
	for n := uint64(1); n <= 2; n++ {
		inc, err := incident.Load(r.dir, n)
		must(t, err)
		want := map[string]incident.Outcome{"a": incident.Recovered, "b": incident.Ended}[inc.Culprit]
		if inc.Outcome != want || strings.Contains(inc.Why, "ProcGuard was stopped") || culprit(t, inc).Process == nil {
			t.Errorf("%s: %s (%s)", inc.Culprit, inc.Outcome, inc.Why)
		}
	}
}

// TestStopDuringTidy: a worker that waits for its port is not started any more.
func TestStopDuringTidy(t *testing.T) {
	held, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer held.Close()
	a, b := sh("a", sleeper), sh("b", sleeper)
	a.Ready.TCP, b.Ready.TCP = held.Addr().String(), held.Addr().String()
	b.Group = "other"
	a.Clean.Port, b.Clean.Port = true, true
	r := start(t, settings(t, a, b), Options{})
	r.await("start", steady)
	for _, id := range []string{"a", "b"} {
		must(t, syscall.Kill(r.worker(id).PID, syscall.SIGKILL))
		for r.worker(id).State != "spawning" && r.ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
	}
	must(t, r.StopWorker(r.ctx, "b", true))
	r.await("b is not wanted", func(s fleet.Status) bool { return find(s, "b").State != "spawning" })
	r.Shutdown("", false)
	out, err := r.wait()
	must(t, err)
	if out.Code != 0 {
		t.Errorf("it ended with %+v", out)
	}
	for _, id := range []string{"a", "b"} {
		if n := strings.Count(r.out.String(), id+" started, pid"); n != 1 {
			t.Errorf("%s was started %d times", id, n)
		}
	}
}

// TestManyDieAtOnce: of hundreds that fail in the same instant each is heard out, and the
// reason is the same for all.
func TestManyDieAtOnce(t *testing.T) {
	const n = 200
	fifo := filepath.Join(t.TempDir(), "fifo")
	must(t, unix.Mkfifo(fifo, 0o600))
	cfg := settings(t)
	for i := range n {
		w := sh(fmt.Sprintf("w%d", i), fmt.Sprintf("[ $PROCGUARD_RESTART_COUNT -gt 0 ] && exec sleep 1000; read x <%s; echo torch.OutOfMemoryError: CUDA out of memory. >&2; exit 1", fifo))
		w.RestartDelay = 0
		cfg.Workers = append(cfg.Workers, w)
	}
	cfg.Monitoring.ZombieDetection = false
	r := start(t, cfg, Options{})
	r.await("start", steady)
	sub := r.Events()
	defer sub.Close()
	f, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	must(t, err)
	must(t, f.Close())
	for seen := map[string]bool{}; len(seen) == 0; {
		e, ok := sub.Next(r.ctx)
		if !ok {
			t.Fatal("nobody failed")
		}
		if e.Kind == fleet.NoteExited && !e.Expected {
			seen[e.Worker] = true
			if !strings.Contains(e.Cause.String(), "CUDA out of memory") {
				t.Errorf("%s: %s", e.Worker, e.Cause)
			}
		}
	}
	r.await("recovered", func(s fleet.Status) bool { return steady(s) && s.Epoch > 0 })
}

// TestForwardedSignalIsForgotten: what we told it once is not what ended it.
func TestForwardedSignalIsForgotten(t *testing.T) {
	r := start(t, settings(t, sh("a", `trap "" HUP; echo deaf; exec sleep 1000`)), Options{})
	for !strings.Contains(r.out.String(), "deaf") && r.ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	r.Forward(syscall.SIGHUP)
	must(t, syscall.Kill(r.worker("a").PID, syscall.SIGSEGV)) // the status comes after the signal
	r.await("recovered", func(s fleet.Status) bool { return steady(s) && find(s, "a").RestartCount == 1 })
	if c := culprit(t, r.over(1)); c.Class != "segfault" {
		t.Errorf("class %q, cause %v", c.Class, c.Cause)
	}
}
