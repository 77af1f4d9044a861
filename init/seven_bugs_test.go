package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/control"
)

// The program that this one replaces had seven bugs. Here is a test for each: it
// does what set the bug off, and looks for what the bug did.

// status asks the running procguard.
func (b *bench) status(g *guard) *control.Status {
	b.Helper()
	var s *control.Status
	b.await(g, "an answer on the control socket", func() (ok bool) {
		var err error
		s, err = control.Dial(b.path("sock")).Status(b.Context())
		return err == nil
	})
	return s
}

func (b *bench) worker(g *guard, id string) control.Worker {
	b.Helper()
	for _, w := range b.status(g).Workers {
		if w.WorkerID == id {
			return w
		}
	}
	b.Fatalf("no worker %s in the status", id)
	return control.Worker{}
}

// saved is state.json as it is on the volume.
func (b *bench) saved() *state.Snapshot {
	b.Helper()
	s := &state.Snapshot{}
	if err := json.Unmarshal([]byte(b.read("state/state.json")), s); err != nil {
		b.Fatalf("state.json: %v", err)
	}
	return s
}

// 1. What failed after the fork (the pid file, the log) was reported as a failed
// start; the process ran on, unknown, and was started a second time.
func TestStartIsNotReportedFailedWhileTheProcessRuns(t *testing.T) {
	b := newBench(t, `
workers:
  - worker_id: w
    command: "sh -c 'echo $$$$ >>pids; exec sleep 1000'"
    pid_file: /proc/nowhere/w.pid
    logs: {dir: /proc/nowhere/logs}
    health_check_url: http://127.0.0.1:9/nobody
monitoring: {interval: 0.05}
`)
	g := b.start()
	pid := b.awaitPID(g, "pids")
	b.awaitText(g, "run1.err", `pid_file cannot be written`)
	b.await(g, "w running", func() bool { return b.worker(g, "w").Status == state.Running })
	if w := b.worker(g, "w"); w.PID != pid || w.RestartCount != 0 || w.LastError != "" {
		t.Errorf("status says %+v, and pid %d runs", w.Worker, pid)
	}
	if !lives(pid) || b.read("pids") != strconv.Itoa(pid)+"\n" {
		t.Errorf("started: %q; %d lives: %v", b.read("pids"), pid, lives(pid))
	}
	b.stop(g)
}

// 2. The state was saved by truncating the file and writing it anew: a reader, or
// the next start after a crash in between, found half of it or nothing.
func TestStateIsNeverTruncated(t *testing.T) {
	b := newBench(t, `
workers:
  - {worker_id: w, command: "sleep 0.02", restart: always, max_restarts: 1000000, restart_delay: 0, replicas: 3}
logs: {console: false, files: false}
`)
	g := b.start()
	b.await(g, "state.json", func() bool { return b.read("state/state.json") != "" })
	old, err := os.Open(b.path("state/state.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	before, _ := io.ReadAll(old)
	reads, versions := 0, map[string]bool{}
	for end := time.Now().Add(patience); len(versions) < 4 && time.Now().Before(end); reads++ {
		data := b.read("state/state.json")
		if !json.Valid([]byte(data)) {
			t.Fatalf("state.json is no JSON at read %d: %d bytes: %q", reads, len(data), data)
		}
		versions[data] = true
	}
	g.signal(syscall.SIGKILL)
	b.ends(g, 137)
	if len(versions) < 4 {
		t.Errorf("only %d versions of the file in %d reads", len(versions), reads)
	}
	again := make([]byte, len(before)+1)
	if n, _ := old.ReadAt(again, 0); string(again[:n]) != string(before) {
		t.Errorf("a file that had been opened before was changed in place")
	}
	b.saved()
}

// brood starts children in every place where they may hide: in the group, in a
// session of their own, as a daemon of two forks; all of them hold its stdout.
const brood = `#!/bin/sh
trap '' TERM HUP
sh -c 'trap "" TERM HUP; echo $$ >>pids; exec sleep 1000' &
setsid sh -c 'trap "" TERM HUP; echo $$ >>pids; exec sleep 1000' &
(setsid sh -c 'trap "" TERM HUP; echo $$ >>pids; sleep 1000; :' &) &
while [ $(wc -l <pids) -lt 3 ]; do sleep 0.01; done
echo $$ >leader.tmp; mv leader.tmp leader
trap 'exit 0' TERM
while :; do sleep 0.02; done
`

// 3. Only the leader was killed, and what it had started went on working.
func TestNothingOfAWorkerIsLeft(t *testing.T) {
	for _, how := range []string{"killed", "stopped"} {
		t.Run(how, func(t *testing.T) {
			b := newBench(t, "workers: [{worker_id: w, command: \"./brood\", restart_delay: 0, stop: {grace: 0.2}}]\n")
			b.file("brood", brood)
			b.file("pids", "")
			g := b.start()
			leader := b.awaitPID(g, "leader")
			children := strings.Fields(b.read("pids"))
			if how == "stopped" {
				b.stop(g)
			} else {
				b.file("pids", "")
				_ = syscall.Kill(leader, syscall.SIGKILL)
				b.awaitText(g, "run1.err", `recovered`)
				defer b.stop(g)
			}
			for _, field := range children {
				if pid, _ := strconv.Atoi(field); pid == 0 || lives(pid) {
					t.Errorf("child %s of the leader %d lives", field, leader)
				}
			}
			if len(children) < 3 {
				t.Errorf("only %d children had been started: %v", len(children), children)
			}
		})
	}
}

// 4. Nobody read the pipes, so a worker that printed more than 64 KiB stood still.
func TestOutputNeverBlocksAWorker(t *testing.T) {
	b := newBench(t, `
workers:
  - worker_id: w
    shell: true
    command: "head -c 8000000 /dev/zero | tr '\\0' x; head -c 8000000 /dev/zero | tr '\\0' '\\n' >&2; echo done >done; exec sleep 1000"
`)
	// Nobody reads what procguard itself prints either.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command("procguard")
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = b.dir, append(os.Environ(), dirKey+"="+b.dir), w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	g := &guard{cmd: cmd, done: make(chan struct{})}
	go func() { _ = cmd.Wait(); close(g.done) }()
	b.awaitText(g, "done", "done")
	if s := b.worker(g, "w"); s.Status != state.Running || s.RestartCount != 0 {
		t.Errorf("status says %+v", s.Worker)
	}
	b.stop(g)
	if info, err := os.Stat(b.path("state/logs/attempt_0/w/stdout.log")); err != nil || info.Size() == 0 {
		t.Errorf("no output was logged: %v, %v", info, err)
	}
}

// 5. Every start of the program began to count restarts from nothing, so a job
// that failed at once was started for ever.
func TestRestartCountSurvivesRestarts(t *testing.T) {
	b := newBench(t, `
workers:
  - {worker_id: w, command: "sh w.sh", max_restarts: 3, restart_delay: 0}
`)
	b.file("w.sh", "echo $$ >>pids\n[ -e fail ] && exit 1\nexec sleep 1000\n")
	pids := func() []string { return strings.Fields(b.read("pids")) }
	for n, end := range []func(*guard){
		b.stop,
		func(g *guard) { g.signal(syscall.SIGKILL); b.ends(g, 137); killStarted(b.dir) },
	} {
		g := b.start()
		b.await(g, "a first process", func() bool { return len(pids()) == 2*n+1 })
		pid, _ := strconv.Atoi(pids()[2*n])
		_ = syscall.Kill(pid, syscall.SIGKILL)
		b.await(g, "a second one", func() bool { return len(pids()) == 2*n+2 })
		if w := b.worker(g, "w"); w.BudgetUsed != n+1 {
			t.Errorf("start %d: %d of the budget used, not %d", n+1, w.BudgetUsed, n+1)
		}
		end(g)
	}
	b.file("fail", "")
	g := b.start()
	b.ends(g, 10)
	if w := b.saved().Workers["w"]; !w.Excluded || w.BudgetUsed != 4 || len(pids()) != 6 {
		t.Errorf("after %d processes: %+v\n%s", len(pids()), w, g.log())
	}
}

// 6. The environment of a worker was put into the configuration's own map, so
// what one start added was there at the next, and in other workers.
func TestEnvironmentIsTheSameAtEachStart(t *testing.T) {
	b := newBench(t, `
x-env: &env {SHARED: "yes"}
workers:
  - {worker_id: a, command: "sh w.sh a", env: *env, restart_delay: 0}
  - {worker_id: b, command: "sh w.sh b", env: *env, restart_delay: 0}
defaults: {env: {FROM_DEFAULTS: "1"}}
`)
	b.file("w.sh", "env | sort >$1.$PROCGUARD_RESTART_COUNT.tmp; echo $$ >$1.pid; mv $1.$PROCGUARD_RESTART_COUNT.tmp $1.$PROCGUARD_RESTART_COUNT\nexec sleep 1000\n")
	g := b.start()
	for n := range 3 {
		for _, id := range []string{"a", "b"} {
			b.awaitText(g, fmt.Sprintf("%s.%d", id, n), "SHARED=yes")
		}
		b.await(g, "steady", func() bool { return b.status(g).Verdict == control.Healthy })
		pid := b.awaitPID(g, "a.pid")
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	b.stop(g)
	ours := regexp.MustCompile(`(?m)^PROCGUARD_(RESTART_COUNT|EPOCH|INSTANCE)=.*\n`)
	for _, id := range []string{"a", "b"} {
		first := ours.ReplaceAllString(b.read(id+".0"), "")
		for n := 1; n < 3; n++ {
			if again := ours.ReplaceAllString(b.read(fmt.Sprintf("%s.%d", id, n)), ""); again != first {
				t.Errorf("start %d of %s:\n%s\nfirst:\n%s", n, id, again, first)
			}
		}
		if !strings.Contains(first, "FROM_DEFAULTS=1\n") || !strings.Contains(first, "PROCGUARD_WORKER_ID="+id+"\n") {
			t.Errorf("environment of %s: %s", id, first)
		}
	}
}

// 7. Every command went through a shell, and "python" became "python -u": quotes
// were read twice, and signals went to the shell.
func TestCommandsAreRunAsTheyStand(t *testing.T) {
	b := newBench(t, `
workers:
  - {worker_id: list, command: ["./python", "-c", "a b  c", "$HOME", "*", "x;y", ""]}
  - {worker_id: text, command: "./python 'a b' $HOME *.yaml \"q'q\" -u"}
`)
	b.file("python", "#!/bin/sh\nfor a; do printf '<%s>' \"$a\"; done >$PROCGUARD_WORKER_ID.args.tmp\nenv >$PROCGUARD_WORKER_ID.env\necho $PPID >$PROCGUARD_WORKER_ID.ppid\nmv $PROCGUARD_WORKER_ID.args.tmp $PROCGUARD_WORKER_ID.args\nexec sleep 1000\n")
	g := b.start()
	want := map[string]string{
		"list": "<-c><a b  c><$HOME><*><x;y><>",
		"text": "<a b><$HOME><*.yaml><q'q><-u>",
	}
	for id, args := range want {
		b.await(g, id, func() bool { return b.read(id+".args") != "" })
		if got := b.read(id + ".args"); got != args {
			t.Errorf("%s got %s, not %s", id, got, args)
		}
		if _, ours := os.LookupEnv("PYTHONUNBUFFERED"); !ours && strings.Contains(b.read(id+".env"), "PYTHONUNBUFFERED") {
			t.Errorf("%s has PYTHONUNBUFFERED", id)
		}
		if ppid := b.awaitPID(g, id+".ppid"); ppid != g.cmd.Process.Pid {
			t.Errorf("the parent of %s is %d, procguard is %d: something stands between", id, ppid, g.cmd.Process.Pid)
		}
	}
	b.stop(g)
}
