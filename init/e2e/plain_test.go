//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// probe leaves orphans behind, says in /job/said which signals it gets, and ends
// with 5 on TERM. It writes to a file because some tests close its output.
const probe = `#!/bin/sh
say() { echo "$*" >>/job/said; }
trap 'say got 10' USR1
trap 'say got 39' 39
trap 'say got 15; exit 5' TERM
i=0
while [ $i -lt 20 ]; do (sh -c 'exit 3' &) ; i=$((i+1)); done
say ready, parent $PPID
while :; do sleep 0.05; done
`

func newProbe(t *testing.T, opts ...string) *box {
	t.Helper()
	return newBox(t, map[string]string{"probe.sh": probe}, opts...)
}

func (b *box) said() string { return b.read("said") }

// proves that the box's PID 1 does its duties for a probe or a child: orphans are
// reaped, signals passed on, and the exit code of the child is its own.
func (b *box) proves(said func() string) {
	b.Helper()
	b.eventually("ready", func() bool { return strings.Contains(said(), "ready, parent 1\n") })
	b.reaped()
	for _, n := range []int{int(unix.SIGUSR1), 39} { // one of them in real time
		b.docker("kill", "-s", fmt.Sprint(n), b.name)
		b.eventually(fmt.Sprint("signal ", n), func() bool { return strings.Contains(said(), fmt.Sprintf("got %d\n", n)) })
	}
	b.docker("stop", "-t", "30", b.name)
	b.ends(5)
	if !strings.Contains(said(), "got 15\n") {
		b.Errorf("it was not asked to stop: %q", said())
	}
	b.calm()
}

// calm: there is no sign of a crash in the log.
func (b *box) calm() {
	b.Helper()
	for _, crash := range []string{"goroutine ", "runtime/cgo", "SIGABRT", "SIGSEGV", "fatal error", "panic:"} {
		if log := b.logs(); strings.Contains(log, crash) {
			b.Errorf("it crashed: %.300s", log)
			return
		}
	}
}

// reaped waits until the first process has no dead children.
func (b *box) reaped() {
	b.Helper()
	pid := b.pid()
	b.eventually("no zombies", func() bool {
		for _, p := range children(pid) {
			if p.state == "Z" {
				return false
			}
		}
		return true
	})
}

// pid is that of the container's first process, as this machine sees it.
func (b *box) pid() int {
	b.Helper()
	pid, err := strconv.Atoi(b.docker("inspect", "-f", "{{.State.Pid}}", b.name))
	if err != nil || pid == 0 {
		b.Fatalf("the container does not run: %v %s", err, b.logs())
	}
	return pid
}

type process struct {
	pid   int
	name  string
	state string
}

// children looks from the outside: inside there may be no /proc to look at, nor
// room for one more process.
func children(parent int) []process {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var found []process
	for _, path := range stats {
		data, _ := os.ReadFile(path) // gone: it is empty
		before, after, ok := strings.Cut(string(data), ") ")
		f := strings.Fields(after)
		if !ok || len(f) < 2 || f[1] != strconv.Itoa(parent) {
			continue
		}
		id, name, _ := strings.Cut(before, " (")
		pid, _ := strconv.Atoi(id)
		found = append(found, process{pid, name, f[0]})
	}
	return found
}

// scratch is the tarball of an image that has two files: /procguard and /child.
var scratch = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "procguard-e2e-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	child := filepath.Join(dir, "child")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", child, "./child")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return archive(map[string]string{"procguard": binary, "child": child})
})

func archive(files map[string]string) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(data))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(data); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), w.Close()
}

// scratchImage gives the image to the box's engine, and says its name there.
func (b *box) scratchImage() string {
	b.Helper()
	tarball, err := scratch()
	if err != nil {
		b.Fatal(err)
	}
	name := fmt.Sprintf("localhost/procguard-e2e-scratch:%d-%s", os.Getpid(), strings.ToLower(filepath.Base(b.Name())))
	args := append(append([]string{}, b.engine[1:]...), "import", "-", name)
	c := exec.Command(b.engine[0], args...)
	c.Stdin = bytes.NewReader(tarball)
	if out, err := c.CombinedOutput(); err != nil {
		b.Fatalf("import: %v\n%s", err, out)
	}
	b.Cleanup(func() { _, _ = b.try("rmi", "-f", name) })
	return name
}
