package reaper

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/procguard/procguard/reaper/proc"
)

func TestReadStatOfOurselves(t *testing.T) {
	st, err := proc.ReadStat(os.Getpid())
	if err != nil || st.PPID != os.Getppid() || st.Start == 0 {
		t.Errorf("got %+v, %v", st, err)
	}
	if age := startTime(st.Start); age.IsZero() {
		t.Error("no start time")
	}
}

func TestEnvValue(t *testing.T) {
	env := []byte("A=1\x00XA=2\x00B=\x00C=x=y\x00")
	for key, want := range map[string]string{"A": "1", "XA": "2", "B": "", "C": "x=y", "D": "", "": ""} {
		if got := envValue(env, key); got != want {
			t.Errorf("%s: got %q", key, got)
		}
	}
}

func TestReadChildren(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "children")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b strings.Builder
	for i := range 2000 { // longer than one read, numbers across its border
		b.WriteString(strings.Repeat("1", i%5+1) + " ")
	}
	_, _ = f.WriteString(b.String())
	pids := readChildren(int(f.Fd()), nil)
	if len(pids) != 2000 || pids[3] != 1111 || pids[1999] != 11111 {
		t.Errorf("got %d pids", len(pids))
	}
}

func TestDescribeNobody(t *testing.T) {
	if d, err := Describe(1 << 22); err == nil {
		t.Errorf("got %v", d)
	}
	d := Description{PID: 12, Comm: "python3", State: 'D', Wchan: "nfs_wait"}
	if d.String() != "pid 12 (python3), state D, wchan nfs_wait" {
		t.Error(d)
	}
}

// Without CONFIG_PROC_CHILDREN the orphans are found by their parent.
func TestLeftoversWithoutChildrenFile(t *testing.T) {
	g := newRig(t)
	g.r.mu.Lock() // the waiter reads it under mu
	kids := g.r.kids
	g.r.kids = -1
	g.r.mu.Unlock()
	p := g.spawn(g.sh("w", hostileScript))
	g.gone(p)
	g.noStragglers()
	g.r.mu.Lock()
	g.r.kids = kids // for release to close
	g.r.mu.Unlock()
}

const hostileScript = `sleep 1000 & setsid sleep 1000 & sh -c 'setsid sleep 1000 &'; exit 0`

func init() { roles["noproc"] = noProc }

// In a PID namespace with the outer /proc the pids there mean other processes.
func TestForeignProcIsNotUsed(t *testing.T) {
	if err := exec.Command("unshare", "--pid", "--fork", "true").Run(); err != nil {
		t.Skipf("needs permission to make a PID namespace: %v", err)
	}
	exe, _ := os.Executable()
	cmd := exec.Command("unshare", "--pid", "--fork", "--kill-child", exe)
	cmd.Env = append(os.Environ(), "REAPER_TEST_ROLE=noproc")
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "all well\n" {
		t.Errorf("%v: %s", err, out)
	}
}

// noProc: spawning, statuses and sweeping by group work without /proc.
func noProc() int {
	events := make(chan string, 10)
	r, err := Start(Options{
		OnExit: func(e Exit) {
			events <- e.String()
			if e.Gone {
				events <- "gone"
			}
		},
		OnGone: func(Gone) { events <- "gone" },
	})
	if err != nil {
		return failf("%v", err)
	}
	if r.ProcFS() {
		return failf("/proc of another namespace is used")
	}
	p, err := r.Spawn(Spec{Instance: "w#1", Argv: []string{"/bin/sh", "-c", `sh -c "sleep 1000 & sleep 1000" & sleep 1000 & exit 2`}})
	if err != nil || p.StartTicks != 0 {
		return failf("%+v, %v", p, err)
	}
	if a, b := <-events, <-events; a != "exit code 2" || b != "gone" {
		return failf("%s, %s", a, b)
	}
	if _, err := r.Survivors("w"); err == nil {
		return failf("survivors without /proc")
	}
	if err := r.Close(); err != nil {
		return failf("%v", err)
	}
	os.Stdout.WriteString("all well\n")
	return 0
}
