//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/procguard/procguard/state/journal/incident"
	"github.com/procguard/procguard/supervise/control"
)

const image = "debian:bookworm"

var binary string

func TestMain(m *testing.M) {
	binary = os.Getenv("PROCGUARD")
	if binary == "" {
		binary = "../../procguard"
	}
	binary, _ = filepath.Abs(binary)
	for _, need := range [][]string{{binary, "version"}, {"docker", "image", "inspect", image}} {
		if out, err := exec.Command(need[0], need[1:]...).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "needs %s: %v\n%s", strings.Join(need, " "), err, out)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// patience bounds every wait.
const patience = 60 * time.Second

// box is a container with a directory at /job, which outlives it.
type box struct {
	*testing.T
	engine []string // how to call it
	name   string
	dir    string   // on this machine
	opts   []string // of docker run
	n      int
}

// newBox writes files and makes no container yet. A name that ends in ".sh" is
// made executable.
func newBox(t *testing.T, files map[string]string, opts ...string) *box {
	t.Helper()
	b := &box{T: t, engine: []string{"docker"}, dir: t.TempDir(), opts: opts}
	if err := os.Chmod(b.dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		b.file(name, text)
	}
	return b
}

func (b *box) file(name, text string) {
	b.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o755); err != nil {
		b.Fatal(err)
	}
}

func (b *box) read(name string) string {
	data, _ := os.ReadFile(filepath.Join(b.dir, name))
	return string(data)
}

// docker runs the docker command, and says what it printed and whether it failed.
func docker(args ...string) (string, error) {
	out, err := exec.Command("docker", args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// try is docker, with the box's own engine.
func (b *box) try(args ...string) (string, error) {
	out, err := exec.Command(b.engine[0], append(slices.Clone(b.engine[1:]), args...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (b *box) docker(args ...string) string {
	b.Helper()
	out, err := b.try(args...)
	if err != nil {
		b.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// start makes a new container, whose PID 1 is the binary with args, and returns
// when it runs.
func (b *box) start(args ...string) {
	b.Helper()
	b.run([]string{"--entrypoint", "procguard"}, image, args...)
}

func (b *box) run(opts []string, image string, args ...string) {
	b.Helper()
	b.docker(b.runArgs(append([]string{"-d"}, opts...), image, args...)...)
}

// runArgs names a new container, and says how to make it. It is removed at the
// end of the test.
func (b *box) runArgs(opts []string, image string, args ...string) []string {
	b.n++
	b.name = fmt.Sprintf("procguard-e2e-%d-%s-%d", os.Getpid(), strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(b.Name())), b.n)
	name := b.name
	b.Cleanup(func() {
		if b.Failed() {
			out, _ := b.try("logs", name)
			b.Logf("%s said:\n%.4000s", name, out)
		}
		_, _ = b.try("rm", "-f", "-v", name)
	})
	argv := []string{"run", "--name", b.name, "--network", "none", "-v", binary + ":/usr/local/bin/procguard:ro", "-v", b.dir + ":/job", "-w", "/job"}
	return append(append(append(append(argv, b.opts...), opts...), image), args...)
}

// exec runs a shell command in the container.
func (b *box) exec(command string) string {
	b.Helper()
	out, _ := b.try("exec", b.name, "sh", "-c", command)
	return out
}

func (b *box) eventually(what string, cond func() bool) {
	b.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("never: %s", what)
		}
	}
}

// ends waits for the end of the container and checks its exit code.
func (b *box) ends(code int) {
	b.Helper()
	b.eventually("the container ends", func() bool {
		out, _ := b.try("inspect", "-f", "{{.State.Running}}", b.name)
		return out == "false"
	})
	if got := b.docker("inspect", "-f", "{{.State.ExitCode}}", b.name); got != fmt.Sprint(code) {
		b.Fatalf("exit code %s, not %d", got, code)
	}
}

func (b *box) logs() string {
	out, _ := b.try("logs", b.name)
	return out
}

// status asks the procguard in the container; nil if it does not answer.
func (b *box) status() *control.Status {
	out, _ := exec.Command("docker", "exec", b.name, "procguard", "status", "--format", "json").Output()
	s := &control.Status{}
	if json.Unmarshal(out, s) != nil {
		return nil
	}
	return s
}

func (b *box) awaitVerdict(v control.Verdict) {
	b.Helper()
	b.eventually(string(v), func() bool { s := b.status(); return s != nil && s.Verdict == v })
}

func (b *box) incident(n int) *incident.Incident {
	b.Helper()
	out := b.docker("exec", b.name, "procguard", "incidents", "--format", "json", fmt.Sprint(n))
	i := &incident.Incident{}
	if err := json.Unmarshal([]byte(out), i); err != nil {
		b.Fatalf("%v in %s", err, out)
	}
	return i
}

// zombies counts the dead that nobody has reaped.
func (b *box) zombies() string {
	return b.exec(`n=0; for s in /proc/[0-9]*/stat; do read -r pid comm state rest <$s && [ "$state" = Z ] && n=$((n+1)); done 2>/dev/null; echo $n`)
}
