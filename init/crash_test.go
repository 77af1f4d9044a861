package main

import (
	"errors"
	"fmt"
	"maps"
	"math/rand"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/state/journal"
)

// cycles is few by default, and n with PROCGUARD_SOAK=1.
func cycles(few, n int) int {
	if os.Getenv("PROCGUARD_SOAK") == "1" {
		return n
	}
	return few
}

// crashWorker takes a lock of its own and one for each of its tasks, which last
// as long as anything of it lives: whoever finds one taken runs beside another.
// It writes when it starts, in which generation, and what became of the locks.
const crashWorker = `#!/bin/sh
say() { echo "$* $PROCGUARD_WORKER_ID ${PROCGUARD_INSTANCE#*:} epoch $PROCGUARD_EPOCH pid $$" >>ledger; }
holders() { for p in /proc/[0-9]*; do ls -l $p/fd 2>/dev/null | grep -q "/lock.$1\$" && echo "holds $1: $(cat $p/stat) $(tr '\0' ' ' <$p/cmdline)"; done >>ledger; }
hold() { eval "exec $1>>'lock.$2'"; flock -n $1; code=$?; [ $code -eq 0 ] || { say overlap $2 code $code; holders $2; }; }
trap 'say stop; sleep 0.02; exit 143' TERM
hold 9 $PROCGUARD_WORKER_ID
n=3
for task in $(echo "$PROCGUARD_TASKS" | tr -d '[]"' | tr , ' '); do hold $n task.$task; n=$((n+1)); done
sleep 1000 &
say start
echo output of $PROCGUARD_WORKER_ID ${PROCGUARD_INSTANCE#*:}
wait
`

const crashConfig = `
workers:
  - {worker_id: w, replicas: 3, command: "./worker", tasks: [t0, t1, t2, t3, t4, t5]}
  - {worker_id: other, command: "./worker", group: second, tasks: [u0, u1], worker_type: second}
defaults:
  max_restarts: 1000000
  restart_delay: 0.03
  backoff: {factor: 1, reset_after: 1h}
  ready: {after: 0.03}
  stop: {grace: 2}
recovery: {max_recovery_attempts: 1000000}
logs: {console: false}
`

// TestKilledWhileRecovering kills workers, and then procguard itself at a random
// moment of what follows, again and again. Whatever it left must load, with every
// task owned once and no count reset; and no worker and no task ever runs twice.
func TestKilledWhileRecovering(t *testing.T) {
	seed := time.Now().UnixNano()
	if s := os.Getenv("SEED"); s != "" {
		seed, _ = strconv.ParseInt(s, 10, 64)
	}
	t.Logf("SEED=%d", seed)
	dice := rand.New(rand.NewSource(seed))
	b := newBench(t, crashConfig)
	b.file("worker", crashWorker)
	adopted, incidents, phases := 0, uint64(0), map[state.Phase]int{}
	for n, before := 0, (*state.Snapshot)(nil); n < cycles(60, 1000); n++ {
		g := b.start()
		b.await(g, "a start", func() bool {
			return !g.running() || strings.Contains(g.log(), "started, pid") || strings.Contains(g.log(), "adopted")
		})
		for range dice.Intn(3) {
			time.Sleep(time.Duration(dice.Intn(40)) * time.Millisecond)
			b.killOne(dice)
		}
		time.Sleep(time.Duration(dice.Intn(60)) * time.Millisecond)
		g.signal(syscall.SIGKILL)
		b.ends(g, 137)
		adopted += strings.Count(g.log(), "adopted")
		before = b.sound(n, before, g)
		for _, r := range before.Recovery {
			phases[r.Phase]++
		}
		// Tasks whose owners keep dying are set aside, so a job must not get too old.
		if n%20 == 19 {
			b.converges(n, before)
			incidents += before.Incidents
			before = nil
		}
	}
	t.Logf("%d incidents, %d adoptions, killed in %v", incidents, adopted, phases)
}

// converges: left alone, it comes back whole, stops in order, and is removed.
func (b *bench) converges(n int, before *state.Snapshot) {
	b.Helper()
	g := b.start()
	b.await(g, "everything running", func() bool { return b.status(g).Verdict == "healthy" })
	b.sound(n, before, g)
	b.stop(g)
	if err := errors.Join(os.RemoveAll(b.path("state")), os.Remove(b.path("ledger"))); err != nil {
		b.Fatal(err)
	}
}

// killOne kills a random worker that lives, by the ledger.
func (b *bench) killOne(dice *rand.Rand) {
	living := started(b.dir) // these are ours; a number in the ledger may be somebody else's by now
	var pids []int
	for _, line := range strings.Split(b.read("ledger"), "\n") {
		f := strings.Fields(line)
		if len(f) > 0 && f[0] == "start" {
			pid, _ := strconv.Atoi(f[len(f)-1])
			comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)) // a child may have the number of an old worker
			if slices.Contains(living, pid) && string(comm) == "worker\n" {
				pids = append(pids, pid)
			}
		}
	}
	if len(pids) > 0 {
		_ = syscall.Kill(pids[dice.Intn(len(pids))], syscall.SIGKILL)
	}
}

// sound checks the state on the volume against the one before, and the ledger.
func (b *bench) sound(n int, before *state.Snapshot, g *guard) *state.Snapshot {
	b.Helper()
	now, err := journal.Read(b.path("state"))
	if err != nil {
		b.Fatalf("cycle %d: the state does not load: %v\n%s", n, err, g.log())
	}
	if err := now.Validate(); err != nil {
		b.Fatalf("cycle %d: %v", n, err)
	}
	if tasks := slices.Sorted(maps.Keys(now.Tasks)); strings.Join(tasks, " ") != "t0 t1 t2 t3 t4 t5 u0 u1" {
		b.Fatalf("cycle %d: the tasks are %v", n, tasks)
	}
	owners := map[string]string{}
	for _, w := range now.Workers {
		for _, id := range w.AssignedTasks {
			if owners[id] != "" {
				b.Fatalf("cycle %d: task %s belongs to %s and %s", n, id, owners[id], w.WorkerID)
			}
			owners[id] = w.WorkerID
		}
	}
	if before != nil {
		b.monotone(n, before, now)
	}
	for _, line := range strings.Split(b.read("ledger"), "\n") {
		if strings.HasPrefix(line, "overlap") {
			time.Sleep(2 * time.Second) // the worker is looking who holds its lock
			b.Fatalf("cycle %d: %s ran beside another\n%s\n%s", n, line, b.read("ledger"), g.log())
		}
	}
	return now
}

// monotone: what is only ever counted up has not been reset.
func (b *bench) monotone(n int, before, now *state.Snapshot) {
	b.Helper()
	if now.Epoch < before.Epoch || now.Incidents < before.Incidents || now.Volume != before.Volume || now.Run != before.Run {
		b.Fatalf("cycle %d: epoch %d -> %d, incidents %d -> %d, volume %s -> %s, run %d -> %d", n, before.Epoch, now.Epoch,
			before.Incidents, now.Incidents, before.Volume, now.Volume, before.Run, now.Run)
	}
	for id, was := range before.Workers {
		is := now.Workers[id]
		if is != nil && is.Done {
			b.Fatalf("cycle %d: %s, which never ends by itself, is done: %+v", n, id, is)
		}
		if is == nil || is.BudgetUsed < was.BudgetUsed || is.RestartCount < was.RestartCount || is.Generation < was.Generation {
			b.Fatalf("cycle %d: %s was %+v and is %+v", n, id, was, is)
		}
	}
}

// TestAdoption: a worker that outlived its procguard is found, its output goes on
// into the same file, and it is stopped like any other.
func TestAdoption(t *testing.T) {
	b := newBench(t, `
workers:
  - {worker_id: w, command: "./worker", pid_file: "${`+dirKey+`}/w.pid"}
  - {worker_id: dies, command: "sleep 1000", group: second}
`)
	// While nobody reads, it prints more than a pipe holds, and must not be hurt.
	b.file("worker", `#!/bin/sh
echo $$ >pid
echo first
while ! [ -e go ]; do sleep 0.02; done
echo second; touch second
while ! [ -e again ]; do sleep 0.02; done
echo third; touch third
while :; do sleep 0.02; done
`)
	first := b.start()
	pid := b.awaitPID(first, "pid")
	out := "state/logs/attempt_0/w/stdout.log"
	b.awaitText(first, out, "^first$")
	b.await(first, "the second worker", func() bool { return b.worker(first, "dies").PID != 0 })
	other := b.worker(first, "dies").PID
	first.signal(syscall.SIGKILL)
	b.ends(first, 137)
	b.file("go", "")
	b.await(first, "second", func() bool { return b.read(out) != "" && exists(b.path("second")) })
	_ = syscall.Kill(other, syscall.SIGKILL)

	g := b.start()
	b.awaitText(g, "run2.err", fmt.Sprintf(`^procguard .* w lives since before this start, pid %d: adopted`, pid))
	b.file("again", "")
	b.awaitText(g, out, "^third$")
	if got := b.read(out); got != "first\nsecond\nthird\n" {
		t.Errorf("the log is %q", got)
	}
	b.await(g, "both running", func() bool { return b.status(g).Verdict == "healthy" })
	if w := b.worker(g, "w"); w.PID != pid || w.RestartCount != 0 || w.Generation != 1 {
		t.Errorf("adopted, but %+v", w.Worker)
	}
	if w := b.worker(g, "dies"); w.PID == other || w.Generation != 2 {
		t.Errorf("it died while nobody watched, but %+v", w.Worker)
	}
	b.stop(g)
	if lives(pid) {
		t.Errorf("pid %d survived the stop", pid)
	}
	if exists(b.path("w.pid")) {
		t.Errorf("pid_file is still there: %q", b.read("w.pid"))
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// TestStraysAreEndedFirst: what an earlier procguard left and nobody wants any
// more (children of a dead leader, a worker that is no longer configured) is gone
// before the first worker starts.
func TestStraysAreEndedFirst(t *testing.T) {
	b := newBench(t, `
workers:
  - {worker_id: w, command: "./brood"}
  - {worker_id: former, command: "sh -c 'echo $$$$ >former; exec sleep 1000'", group: second}
`)
	b.file("brood", brood)
	b.file("pids", "")
	first := b.start()
	leader, former := b.awaitPID(first, "leader"), b.awaitPID(first, "former")
	first.signal(syscall.SIGKILL)
	b.ends(first, 137)
	_ = syscall.Kill(leader, syscall.SIGKILL)
	strays := strings.Fields(b.read("pids"))
	for _, field := range strays {
		if pid, _ := strconv.Atoi(field); !lives(pid) {
			t.Fatalf("stray %d is dead already: nothing is tested", pid)
		}
	}
	strays = append(strays, strconv.Itoa(former))
	// The next one says, as its first act, which of them live.
	b.file("look", "#!/bin/sh\nfor p in "+strings.Join(strays, " ")+"; do [ -d /proc/$p ] && grep -q '^State:.[^Z]' /proc/$p/status && echo $p lives >>seen; done\ntouch looked\nexec sleep 1000\n")
	config := b.read("procguard.yaml")
	b.file("procguard.yaml", "workers: [{worker_id: w, command: ./look}]\n"+config[strings.Index(config, "state:"):])
	g := b.start()
	b.await(g, "looked", func() bool { return exists(b.path("looked")) })
	if seen := b.read("seen"); seen != "" {
		t.Errorf("beside the new worker: %s%s", seen, g.log())
	}
	b.stop(g)
}

// TestNothingIsLeftOfTheKilled kills a worker with children that hold its stdout,
// again and again. Each new one says which of the processes before it live.
func TestNothingIsLeftOfTheKilled(t *testing.T) {
	b := newBench(t, `
workers: [{worker_id: w, command: "./brood"}]
defaults: {max_restarts: 1000000, restart_delay: 0, backoff: {factor: 1}}
logs: {console: false}
`)
	b.file("brood", `#!/bin/sh
[ -e pids ] && for p in $(cat pids); do kill -0 $p 2>/dev/null && grep -q '^State:.[^Z]' /proc/$p/status && echo $p >>survivors; done
rm -f pids
sh -c 'trap "" TERM HUP; echo $$ >>pids; exec sleep 1000' &
setsid sh -c 'trap "" TERM HUP; echo $$ >>pids; exec sleep 1000' &
(setsid sh -c 'trap "" TERM HUP; echo $$ >>pids; sleep 1000; :' &) &
while [ $(cat pids 2>/dev/null | wc -l) -lt 3 ]; do sleep 0.005; done
echo $$ >leader.tmp; mv leader.tmp leader
while :; do sleep 1000; done
`)
	g := b.start()
	last := 0
	for range cycles(100, 1000) {
		b.await(g, "the next worker", func() bool {
			pid, _ := strconv.Atoi(strings.TrimSpace(b.read("leader")))
			if pid == 0 || pid == last {
				return false
			}
			last = pid
			return true
		})
		_ = syscall.Kill(last, syscall.SIGKILL)
	}
	b.await(g, "the last worker", func() bool { return strings.TrimSpace(b.read("leader")) != strconv.Itoa(last) })
	if s := b.read("survivors"); s != "" {
		t.Errorf("alive when their replacement started: %v", strings.Fields(s))
	}
	if w := b.worker(g, "w"); w.RestartCount != cycles(100, 1000) {
		t.Errorf("%d restarts", w.RestartCount)
	}
	b.stop(g)
}
