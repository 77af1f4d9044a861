package main

import (
	"os"
	"os/exec"
	"testing"
)

// TestHeartbeatExample runs the example as its README says. It takes half a minute, most of
// which is waiting.
func TestHeartbeatExample(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	for _, need := range []string{"bash", "python3"} {
		if _, err := exec.LookPath(need); err != nil {
			t.Skipf("SKIPPED: needs %s: examples/heartbeat is not tested", need)
		}
	}
	t.Parallel()
	dir := t.TempDir()
	t.Cleanup(func() { killStarted(dir) })
	cmd := exec.CommandContext(t.Context(), "../examples/heartbeat/run.sh")
	cmd.Env = append(os.Environ(), "PROCGUARD=procguard", "TMPDIR="+dir, dirKey+"="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if left := started(dir); len(left) > 0 {
		t.Errorf("alive after it: %v\n%s", left, out)
	}
}
