//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// storm forks twice and leaves, so that PID 1 inherits what it started.
const storm = `#!/bin/sh
i=0
while [ $i -lt 1000 ]; do (sleep 0.1 &) ; (sh -c 'exit 3' &) ; i=$((i+1)); done
echo over >/job/over
trap 'exit 0' TERM
while :; do sleep 0.05; done
`

func TestOrphansAreReaped(t *testing.T) {
	for name, args := range map[string][]string{"supervisor": nil, "plain": {"--", "./storm.sh"}} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, map[string]string{"storm.sh": storm, "procguard.yaml": "workers: [{worker_id: w, command: ./storm.sh}]\n" + places})
			b.start(args...)
			b.eventually("over", func() bool { return b.read("over") != "" })
			b.eventually("no zombies", func() bool { return b.zombies() == "0" })
			b.docker("stop", "-t", "30", b.name)
			b.ends(0)
		})
	}
}

// TestExitCodes: as docker sees them.
func TestExitCodes(t *testing.T) {
	for name, c := range map[string]struct {
		worker, says string
		code         int
	}{
		"done":    {"{worker_id: w, command: \"true\"}", "exit 0: all work done", 0},
		"gave-up": {"{worker_id: w, command: \"false\", max_restarts: 1, restart_delay: 0.01}", "exit 10: gave up", 10},
		"config":  {"{worker_id: w, comand: \"false\"}", `did you mean "command"`, 2},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, map[string]string{"procguard.yaml": "workers: [" + c.worker + "]\n" + places})
			b.start()
			b.ends(c.code)
			if !strings.Contains(b.logs(), c.says) {
				t.Errorf("it says %s", b.logs())
			}
			// Another container on the same volume: a job that gave up stays given up.
			b.start()
			b.ends(c.code)
			if started := strings.Contains(b.logs(), "w started"); started != (c.code == 0) {
				t.Errorf("it says %s", b.logs())
			}
		})
	}
}

// TestDockerStop: within its grace, whatever the workers do.
func TestDockerStop(t *testing.T) {
	b := newBox(t, map[string]string{"w.sh": worker, "deaf.sh": "#!/bin/sh\ntrap '' TERM\necho $$ >/job/deaf.pid\nwhile :; do sleep 0.02; done\n", "procguard.yaml": `
workers:
  - {worker_id: good, command: ./w.sh}
  - {worker_id: deaf, command: ./deaf.sh, stop: {grace: 1}}
  - {worker_id: frozen, command: "sh -c 'echo $$$$ >/job/frozen.pid; trap \"\" TERM; kill -STOP $$$$; while :; do sleep 0.02; done'", stop: {grace: 1}}
` + places})
	b.start()
	b.eventually("all of them", func() bool { return b.read("good.pid") != "" && b.read("deaf.pid") != "" && b.read("frozen.pid") != "" })
	start := time.Now()
	b.docker("stop", "-t", "30", b.name)
	b.ends(0)
	if took := time.Since(start); took > 25*time.Second {
		t.Errorf("it took %v", took)
	}
	if b.read("term") != "good\n" {
		t.Errorf("asked to stop: %q", b.read("term"))
	}
	last := b.logs()[strings.LastIndex(b.logs(), "procguard: exit"):]
	if !strings.Contains(last, "deaf") || !strings.Contains(last, "SIGTERM") {
		t.Errorf("last line: %s", last)
	}
}

// TestPlainInit: as ENTRYPOINT of an image for one command.
func TestPlainInit(t *testing.T) {
	trap := "trap 'echo got TERM; exit 5' TERM; echo ready; while :; do sleep 0.02; done"
	for name, c := range map[string]struct {
		args []string
		code int
	}{
		"code":      {[]string{"sh", "-c", "exit 7"}, 7},
		"signal":    {[]string{"--", "sh", "-c", "kill -KILL $$"}, 137},
		"not-found": {[]string{"--", "no-such-command"}, 127},
		"not-exec":  {[]string{"--", "/etc/passwd"}, 126},
		"forward":   {[]string{"--", "sh", "-c", trap}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, nil)
			b.start(c.args...)
			if name == "forward" {
				b.eventually("ready", func() bool { return strings.Contains(b.logs(), "ready") })
				b.docker("stop", "-t", "30", b.name)
			}
			b.ends(c.code)
		})
	}
}

// TestSearchInContainer: /etc/procguard/procguard.yaml is found.
func TestSearchInContainer(t *testing.T) {
	b := newBox(t, map[string]string{"there.yaml": "workers: [{worker_id: w, command: \"echo found me\"}]\n"})
	b.opts = []string{"-v", filepath.Join(b.dir, "there.yaml") + ":/etc/procguard/procguard.yaml:ro"}
	b.start()
	b.ends(0)
	if !strings.Contains(b.logs(), "[w] found me") {
		t.Errorf("it says %s", b.logs())
	}
}

// TestScratch: nothing but the binary in the image.
func TestScratch(t *testing.T) {
	dir := t.TempDir()
	data, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"procguard": string(data), "Dockerfile": "FROM scratch\nCOPY procguard /procguard\nENTRYPOINT [\"/procguard\"]\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b := newBox(t, map[string]string{"procguard.yaml": "workers: [{worker_id: w, replicas: 2, command: /procguard version, user: \"1000\"}]\n"})
	tag := "procguard-e2e-scratch:" + filepath.Base(filepath.Dir(dir))[:8]
	b.docker("build", "-q", "-t", tag, dir)
	t.Cleanup(func() { _, _ = docker("rmi", "-f", tag) })
	b.run(nil, tag)
	b.ends(0)
	if !strings.Contains(b.logs(), "[w_1] procguard ") || !strings.Contains(b.logs(), "exit 0: all work done") {
		t.Errorf("it says %s", b.logs())
	}
	b.run(nil, tag, "--", "/procguard", "version")
	b.ends(0)
	if b.read("../x") != "" || !strings.HasPrefix(b.logs(), "procguard ") {
		t.Errorf("it says %s", b.logs())
	}
}
