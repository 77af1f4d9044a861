//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// provesInit runs containers in an engine that was told to use the binary, at path,
// as its init.
func (b *box) provesInit(path string) {
	b.Helper()
	image := b.scratchImage()
	b.run(nil, image, "/child", "serve", "5")
	at, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	first := fmt.Sprintf("/proc/%d/exe", b.pid())
	b.eventually("PID 1 is "+path, func() bool { // and the runtime's own program no more
		now, err := os.Stat(first)
		return err == nil && os.SameFile(now, at)
	})
	b.proves(func() string { return b.logs() + "\n" })

	b.run(nil, image, "/no-such-command")
	b.ends(127)
	b.run(nil, image, "/child")
	b.ends(2)
}

// linkBinary gives it another name.
func linkBinary(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(binary, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// shortDir is a directory whose name leaves room for that of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unmountBelow(dir)
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("left behind: %v", err)
		}
	})
	return dir
}

// unmountBelow takes away what an engine has left mounted, the last one first.
func unmountBelow(dir string) {
	mounts, _ := os.ReadFile("/proc/self/mounts")
	lines := strings.Split(string(mounts), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if f := strings.Fields(lines[i]); len(f) > 1 && strings.HasPrefix(f[1], dir+"/") {
			_ = syscall.Unmount(f[1], syscall.MNT_DETACH)
		}
	}
}

// TestEngineDocker: dockerd --init-path. The engine is one of its own, with nothing
// in common with the machine's.
func TestEngineDocker(t *testing.T) {
	if _, err := exec.LookPath("dockerd"); err != nil {
		t.Skip("dockerd is not installed here: only the client is")
	}
	for name, path := range map[string]string{"docker-init": linkBinary(t, "docker-init"), "procguard": binary} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, nil, "--init")
			b.engine = startDocker(t, path)
			b.provesInit(path)
			if name == "docker-init" {
				if v := b.docker("info", "-f", "{{.InitBinary}} {{.InitCommit.ID}}"); strings.HasSuffix(v, "N/A") || strings.HasSuffix(v, " ") {
					t.Errorf("the engine does not understand its --version: %q", v)
				}
			}
		})
	}
}

// startDocker starts an engine, and says how to call it. It is ended with the test.
func startDocker(t *testing.T, initPath string) []string {
	t.Helper()
	dir := shortDir(t)
	if err := os.WriteFile(filepath.Join(dir, "daemon.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	c := exec.Command("dockerd", "--config-file", dir+"/daemon.json", "--data-root", dir+"/data", "--exec-root", dir+"/exec",
		"--pidfile", dir+"/pid", "--host", "unix://"+dir+"/sock", "--containerd-namespace", filepath.Base(dir),
		"--containerd-plugins-namespace", filepath.Base(dir)+"-plugins", "--bridge", "none", "--iptables=false",
		"--ip-masq=false", "--storage-driver", "vfs", "--init-path", initPath)
	c.Stdout, c.Stderr = &said, &said
	// In a network of its own: an engine without a bridge removes docker0, whosever it is.
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = c.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		<-ended
		if t.Failed() {
			t.Logf("dockerd said last:\n%s", tail(said.String(), 4000))
		}
	})
	call := []string{"docker", "-H", "unix://" + dir + "/sock"}
	(&box{T: t}).eventually("the engine answers", func() bool {
		select {
		case <-ended:
			t.Fatal("dockerd has ended")
		default:
		}
		return exec.Command(call[0], append(call[1:], "info")...).Run() == nil
	})
	return call
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// TestEnginePodman: podman run --init-path.
func TestEnginePodman(t *testing.T) {
	b := newBox(t, nil)
	b.engine = podman(t)
	b.opts = podmanOpts()
	b.runsAtAll()
	b.opts = append(b.opts, "--init", "--init-path", binary)
	b.provesInit(binary)
}

// podman says how to call it, with a store of its own. Who has no podman skips.
func podman(t *testing.T) []string {
	t.Helper()
	if _, err := exec.LookPath("podman"); err != nil {
		t.Skip("podman is not installed: build/setup.sh podman")
	}
	dir := shortDir(t)
	call := []string{"podman", "--root", dir + "/root", "--runroot", dir + "/run", "--tmpdir", dir + "/tmp",
		"--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file"}
	if _, err := exec.LookPath("crun"); err != nil {
		call = append(call, "--runtime", "runc") // docker's
	}
	return call
}

// podmanOpts: podman raises the limits that it is not told, and that takes a
// capability which not every machine gives to root. These are lower than any that
// a machine has.
func podmanOpts() []string {
	return []string{"--log-driver", "k8s-file", "--ulimit", "nofile=512:512", "--ulimit", "nproc=512:512"}
}

// runsAtAll skips on a machine where podman cannot run anything, by any init.
func (b *box) runsAtAll() {
	b.Helper()
	image := b.scratchImage()
	if out, err := b.try(b.runArgs(nil, image, "/procguard", "version")...); err != nil {
		b.Skipf("podman cannot run containers here: %v: %s", err, out)
	}
}
