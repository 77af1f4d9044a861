package probe

import (
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestExampleWorkers: what the examples say is heard, both ways.
func TestExampleWorkers(t *testing.T) {
	const dir = "../../examples/heartbeat"
	beat := filepath.Join(t.TempDir(), "beat")
	rows := map[string]struct {
		argv  []string
		needs []string
		build []string
		calls []string
	}{
		"python": {argv: []string{"python3", "beat.py"}, needs: []string{"python3"},
			calls: []string{"ready python/1", "beat python/1", "status step=", "step ", "phase checkpoint 30s python/1"}},
		"shell": {argv: []string{"sh", "beat.sh"}, needs: []string{"sh", "systemd-notify"},
			calls: []string{"ready shell/1", "status started shell/1", "beat shell/1", "step "}},
		"go": {argv: []string{beat}, needs: []string{"go"}, build: []string{"go", "build", "-o", beat, "beat.go"},
			calls: []string{"ready go/1", "beat go/1", "step "}},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			for _, tool := range row.needs {
				if _, err := exec.LookPath(tool); err != nil {
					t.Skip("needs ", tool)
				}
			}
			if row.build != nil {
				cmd := exec.Command(row.build[0], row.build[1:]...)
				cmd.Dir = dir
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			run := t.TempDir()
			p, h := realProber(t, Options{BeatDir: run})
			file := filepath.Join(run, "beat")
			t.Setenv("NOTIFY_SOCKET", openNotify(t, p, name))
			t.Setenv("PROCGUARD_HEARTBEAT_FILE", file)
			cmd := exec.Command(row.argv[0], row.argv[1:]...)
			cmd.Dir = dir
			cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL); _ = cmd.Wait() })
			p.Watch(Subject{Worker: name, Gen: 1, PID: cmd.Process.Pid, Notify: true, ReadyNotify: true, HeartbeatFile: file})
			for _, call := range row.calls {
				within(t, call, h.hasPrefix(call)) // which step depends on how quick we are
			}
			within(t, "a change of its file", func() bool { return markOf(file) != fileMark{} })
			if n := p.Counts(); n != (Counts{}) {
				t.Errorf("%+v", n)
			}
		})
	}
}
