//go:build zmq && cgo

package main

import (
	"os"
	"os/exec"
	"testing"
)

// TestZmqPythonExample runs the example as its README says: outside tools in Python, with and without CURVE.
func TestZmqPythonExample(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("SKIPPED: needs bash: examples/zmq-python is not tested")
	}
	if !hasPyzmq() {
		t.Skip("SKIPPED: needs pyzmq (build/setup.sh zmq-python): examples/zmq-python is not tested")
	}
	t.Parallel()
	dir := t.TempDir()
	t.Cleanup(func() { killStarted(dir) })
	cmd := exec.CommandContext(t.Context(), "../examples/zmq-python/run.sh")
	cmd.Env = append(os.Environ(), "PROCGUARD=procguard", "TMPDIR="+dir, dirKey+"="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if left := started(dir); len(left) > 0 {
		t.Errorf("alive after it: %v\n%s", left, out)
	}
}

// hasPyzmq looks where the example does.
func hasPyzmq() bool {
	for _, python := range []string{os.Getenv("PYTHON"), "python3", "/usr/bin/python3"} {
		if python != "" && exec.Command(python, "-c", "import zmq").Run() == nil {
			return true
		}
	}
	return false
}
