package supervise

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/procguard/procguard/state/journal/incident"
	"github.com/procguard/procguard/supervise/cause"
	"github.com/procguard/procguard/supervise/config"
	"github.com/procguard/procguard/supervise/fleet"
)

// Two ranks with a connection. The first crashes, and its end resets the connection: it
// has not read what the second has sent.
const (
	rankPrelude = `
import os, signal, socket, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def until(name):
    while not os.path.exists(name): time.sleep(0.001)
`
	crashes = rankPrelude + `
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()
open('port.tmp', 'w').write(str(s.getsockname()[1])); os.rename('port.tmp', 'port')
c, _ = s.accept()
until('go')
`
	loses = rankPrelude + `
until('port')
c = socket.create_connection(('127.0.0.1', int(open('port').read())))
c.sendall(b'gradient')
open('go', 'w')
c.recv(1)
c.recv(1)
raise SystemExit(0)
`
)

// pair runs the two until all is over, and reads the incident.
func pair(t *testing.T, crash string, during func(*rig, string)) *incident.Incident {
	t.Helper()
	py := realPython()
	if py == "" {
		t.Skip("SKIPPED: needs python3")
	}
	dir := t.TempDir()
	var ranks []config.Worker
	for _, x := range []struct{ id, program string }{{"crashes", crashes + crash}, {"loses", loses}} {
		w := config.NewWorker(x.id, py, "-c", x.program)
		w.WorkingDir, w.MaxRestarts = dir, 0
		ranks = append(ranks, w)
	}
	cfg := settings(t, ranks...)
	r := start(t, cfg, Options{})
	during(r, dir)
	_, err := r.wait()
	must(t, err)
	inc, err := incident.Load(cfg.State.Dir, 1)
	must(t, err)
	return inc
}

func inIncident(t *testing.T, inc *incident.Incident, id string) incident.Worker {
	t.Helper()
	i := slices.IndexFunc(inc.Workers, func(w incident.Worker) bool { return w.WorkerID == id })
	if i < 0 {
		t.Fatalf("%s is not in the incident", id)
	}
	return inc.Workers[i]
}

func blames(t *testing.T, inc *incident.Incident) {
	t.Helper()
	lost := inIncident(t, inc, "loses")
	if inc.Culprit != "crashes" || inc.Class != string(cause.Abort) || inc.Workers[0].Collateral != "" && inc.Workers[0].WorkerID == "crashes" {
		t.Errorf("culprit %s (%s): %s", inc.Culprit, inc.Class, inc.Summary)
	}
	if lost.Class != string(cause.ConnectionLost) || !strings.Contains(lost.Collateral, "its connection to a peer was lost") {
		t.Errorf("loses: %s, because %q", lost.Class, lost.Collateral)
	}
	if !strings.HasPrefix(inc.Summary, "crashes: ") || !strings.Contains(inc.Summary, "loses") {
		t.Errorf("summary %q", inc.Summary)
	}
	t.Log(inc.Summary, inc.Notes, lost.Collateral)
}

// TestPeerDiesOfReset: a rank aborts, and another dies of the lost connection.
func TestPeerDiesOfReset(t *testing.T) {
	inc := pair(t, "os.abort()", func(*rig, string) {})
	blames(t, inc)
}

// TestPeerIsSeenFirst: a crash can close connections long before its end is known. Here
// the one that only lost its peer is dead, and the stop is under way, before the crash is
// over.
func TestPeerIsSeenFirst(t *testing.T) {
	inc := pair(t, "c.close()\nuntil('dead')\nos.abort()", func(r *rig, dir string) {
		r.await("the peer is dead, and the other is asked to stop", func(s fleet.Status) bool {
			return find(s, "loses").PID == 0 && find(s, "crashes").State == "stopping"
		})
		must(t, os.WriteFile(filepath.Join(dir, "dead"), nil, 0o644))
	})
	blames(t, inc)
	if !slices.Equal(inc.Culprits, []string{"crashes", "loses"}) || len(inc.Victims) != 0 {
		t.Errorf("culprits %v, victims %v", inc.Culprits, inc.Victims)
	}
	if crashed := inIncident(t, inc, "crashes"); crashed.Role != "culprit" || crashed.Collateral != "" || crashed.SignalSender != cause.SenderSelf {
		t.Errorf("%+v", crashed)
	}
	if notes := strings.Join(inc.Notes, "\n"); !strings.Contains(notes, "loses was seen first; crashes failed first") {
		t.Errorf("notes: %s", notes)
	}
}

// TestRanksHangTogether: all ranks of a group wait for each other. Of each there is evidence,
// taken before any of them is ended.
func TestRanksHangTogether(t *testing.T) {
	hang := `[ $PROCGUARD_RESTART_COUNT -gt 0 ] || : >"$PROCGUARD_HEARTBEAT_FILE"; exec sleep 1000`
	cfg := settings(t, sh("a", hang), sh("b", hang), sh("c", sleeper))
	for i := range cfg.Workers {
		cfg.Workers[i].Launcher = "torch"
	}
	cfg.Monitoring.HeartbeatTimeout, cfg.Monitoring.ZombieDetection = 500*time.Millisecond, false
	r := start(t, cfg, Options{})
	r.await("recovered", func(s fleet.Status) bool { return steady(s) && find(s, "a").RestartCount == 1 })
	r.Shutdown("", true)
	_, err := r.wait()
	must(t, err)
	inc, err := incident.Load(cfg.State.Dir, 1)
	must(t, err)
	for _, id := range []string{"a", "b"} {
		w := inIncident(t, inc, id)
		if w.Role != "culprit" || w.Class != string(cause.HangSleep) || !strings.Contains(w.Hang, "no heartbeat") || w.Process == nil {
			t.Errorf("%s: %s, class %s, hang %q, process %v", id, w.Role, w.Class, w.Hang, w.Process)
		}
		if !slices.Contains(inc.Files, id+"/wchan") {
			t.Errorf("no evidence of %s in %v", id, inc.Files)
		}
	}
	if !slices.Contains(inc.Victims, "c") || len(inc.Victims) != 1 || len(inc.Culprits) != 2 {
		t.Errorf("culprits %v, victims %v; %s", inc.Culprits, inc.Victims, inc.Summary)
	}
	if notes := strings.Join(inc.Notes, "\n"); strings.Contains(notes, "was seen first") {
		t.Errorf("notes: %s", notes)
	}
}
