package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func ids(cfg *Config) []string {
	var list []string
	for _, w := range cfg.Workers {
		list = append(list, w.ID)
	}
	return list
}

func TestReplicas(t *testing.T) {
	cfg := mustParse(t, `
workers:
  - {worker_id: a, command: "run {index} {worker_id} {other}", replicas: 2, env: {N: "{index}"}, working_dir: "/d/{worker_id}", ready: {exec: "probe {index}"}}
  - {worker_id: b, command: "run {index}", replicas: 1}
  - {worker_id: c, command: "run {index}"}
`)
	if got := ids(cfg); !slices.Equal(got, []string{"a_0", "a_1", "b_0", "c"}) {
		t.Errorf("ids %v", got)
	}
	w := cfg.Workers[1]
	if w.Entry != "a" || w.Index != 1 || w.Replicas != 2 || w.MinReplicas != 2 {
		t.Errorf("%+v", w)
	}
	if want := []string{"run", "1", "a_1", "{other}"}; !slices.Equal(w.Command, want) {
		t.Errorf("command %q", w.Command)
	}
	if w.Env["N"] != "1" || w.WorkingDir != "/d/a_1" || !slices.Equal(w.Ready.Exec, []string{"probe", "1"}) {
		t.Errorf("%+v", w)
	}
	if got := cfg.Workers[3].Command; !slices.Equal(got, []string{"run", "{index}"}) {
		t.Errorf("without replicas the text stays: %q", got)
	}
}

// TestNothingShared changes one worker and looks at the others, and at the next
// load: an environment that grows from restart to restart was a bug once.
func TestNothingShared(t *testing.T) {
	text := `
defaults: {env: {A: 1}, rlimits: {core: 0}, cpu_affinity: [1], nice: 1, heartbeat_timeout: 5, depends_on: [z]}
workers:
  - {worker_id: a, command: [x, y], replicas: 2}
  - {worker_id: b, command: [x, y], env: {B: 2}}
  - {worker_id: z, command: x, depends_on: []}
`
	cfg, fresh := mustParse(t, text), mustParse(t, text)
	w := &cfg.Workers[0]
	w.Env["A"], w.Env["NEW"] = "changed", "x"
	w.Rlimits["core"] = Rlimit{9, 9}
	w.Command[0], w.CPUAffinity[0], *w.Nice, *w.HeartbeatTimeout = "changed", 7, 7, 7
	w.DependsOn[0].Worker = "changed"
	if !reflect.DeepEqual(cfg.Workers[1:], fresh.Workers[1:]) {
		t.Errorf("workers share memory:\n%+v\n%+v", cfg.Workers[1:], fresh.Workers[1:])
	}
	if again := mustParse(t, text); !reflect.DeepEqual(again, fresh) {
		t.Errorf("a later load differs:\n%+v\n%+v", again, fresh)
	}
}

func TestDefaultsBlock(t *testing.T) {
	cfg := mustParse(t, `
logs: {max_files: 9, format: json}
defaults:
  command: common
  env: {A: 1, B: 1}
  env_file: testdata/train.env
  stop: {signal: INT, grace: 1}
  ready: {tcp: 80}
  logs: {format: text}
  restart_delay: 2m
workers:
  - {worker_id: a}
  - {worker_id: b, command: own, env: {B: 2}, stop: {grace: 2}, ready: {heartbeat: true}, env_file: [], restart_delay: 0}
`)
	a, b := cfg.Workers[0], cfg.Workers[1]
	if a.Command[0] != "common" || a.Env["A"] != "1" || a.Env["C"] == "" || a.Ready.TCP != "127.0.0.1:80" || a.RestartDelay != 2*time.Minute {
		t.Errorf("a: %+v", a)
	}
	if a.Backoff.Max != 2*time.Minute {
		t.Errorf("the default longest delay stays below restart_delay: %v", a.Backoff.Max)
	}
	if !maps.Equal(b.Env, map[string]string{"A": "1", "B": "2"}) {
		t.Errorf("b: env %v", b.Env)
	}
	if b.Command[0] != "own" || b.Stop.Signal != 2 || b.Stop.Grace != 2*time.Second || b.Ready.TCP != "" || !b.Ready.Heartbeat || b.RestartDelay != 0 {
		t.Errorf("b: %+v", b)
	}
	if a.Logs.MaxFiles != 9 || a.Logs.Format != "text" || !a.Logs.Console {
		t.Errorf("logs: %+v", a.Logs)
	}
}

func TestDependencies(t *testing.T) {
	cfg := mustParse(t, `
workers:
  - {worker_id: r, command: x, replicas: 3}
  - {worker_id: a, command: x, depends_on: [r]}
  - {worker_id: b, command: x, depends_on: {r_1: started, a: COMPLETED}}
  - {worker_id: c, command: x, depends_on: [r_2, r, r_2]}
`)
	for i, want := range map[int][]Dependency{
		0: nil,
		3: {{"r_0", "ready"}, {"r_1", "ready"}, {"r_2", "ready"}},
		4: {{"r_1", "started"}, {"a", "completed"}},
		5: {{"r_2", "ready"}, {"r_0", "ready"}, {"r_1", "ready"}},
	} {
		if got := cfg.Workers[i].DependsOn; !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", cfg.Workers[i].ID, got, want)
		}
	}
}

// TestLongRing is a chain of a thousand workers that closes.
func TestLongRing(t *testing.T) {
	var b strings.Builder
	b.WriteString("workers:\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "- {worker_id: w%03d, command: x, depends_on: [w%03d]}\n", i, (i+1)%1000)
	}
	got := mistakesIn(t, b.String())
	if strings.Count(got, "\n") != 0 || !strings.Contains(got, "ring: w000 -> w001 -> ") || !strings.HasSuffix(got, " -> w999 -> w000") {
		t.Error(got)
	}
}

func TestTasks(t *testing.T) {
	cfg := mustParse(t, `
workers:
  - {worker_id: r, command: x, replicas: 2, worker_type: gpu, tasks: [t0, t1, {task_id: t2, weight: 2.5, payload: {b: 1, a: [x, null]}}]}
  - {worker_id: s, command: x, tasks: [7]}
tasks:
  - {task_id: t1, worker_id: r_0, weight: 4}
  - {task_id: t3, worker_id: r}
  - {task_id: t4}
  - {task_id: t0, payload: text}
  - {task_id: t5, worker_type: gpu}
`)
	want := []Task{
		{"t0", "r_0", "gpu", 1, []byte(`"text"`)},
		{"t1", "r_0", "gpu", 4, nil},
		{"t2", "r_0", "gpu", 2.5, []byte(`{"a":["x",null],"b":1}`)},
		{"7", "s", "default", 1, nil},
		{"t3", "r_1", "gpu", 1, nil},
		{"t4", "", "default", 1, nil},
		{"t5", "", "gpu", 1, nil},
	}
	if !reflect.DeepEqual(cfg.Tasks, want) {
		t.Errorf("got:\n%+v\nwant:\n%+v", cfg.Tasks, want)
	}
	for i, list := range [][]string{{"t0", "t1", "t2"}, {"t3"}, {"7"}} {
		if got := cfg.Workers[i].Tasks; !slices.Equal(got, list) {
			t.Errorf("%s owns %v, want %v", cfg.Workers[i].ID, got, list)
		}
	}
}

func TestFingerprint(t *testing.T) {
	base := "worker_id: w, command: x, env: {A: 1, B: 2, C: 3, D: 4}, rlimits: {core: 0, nofile: 9}"
	of := func(extra string) string {
		return mustParse(t, "workers: [{"+base+extra+"}, {worker_id: d, command: x}]").Workers[0].Fingerprint()
	}
	first := of("")
	if len(first) != 32 {
		t.Errorf("%q", first)
	}
	for range 50 {
		if again := of(""); again != first {
			t.Fatalf("not stable: %s, %s", first, again)
		}
	}
	for _, policy := range []string{"max_restarts: 9", "stop: {grace: 1}", "tasks: [t]", "depends_on: [d]", "logs: {console: false}", "ready: {tcp: 1}", "pid_file: /x", "restart: never"} {
		if of(", "+policy) != first {
			t.Errorf("%s asks for a restart", policy)
		}
	}
	seen := map[string]string{first: "nothing"}
	for _, change := range []string{"shell: true", "working_dir: /x", "user: nobody", "umask: 022", "umask: 0", "nice: 0", "cpu_affinity: 0", "group: g", "launcher: torch", "env_file: testdata/train.env"} {
		got := of(", " + change)
		if seen[got] != "" {
			t.Errorf("%s and %s look alike", change, seen[got])
		}
		seen[got] = change
	}
}

// TestFingerprintKeepsBytesApart looks at values that JSON would write alike.
func TestFingerprintKeepsBytesApart(t *testing.T) {
	w := mustParse(t, "workers: [{worker_id: w, command: x}]").Workers[0]
	v := w
	v.Env = map[string]string{"A": "\xff"}
	u := w
	u.Env = map[string]string{"A": "\xfe"}
	if v.Fingerprint() == w.Fingerprint() || u.Fingerprint() == v.Fingerprint() {
		t.Error("bytes that are not UTF-8 look alike")
	}
}

// TestFingerprintOutlivesTheContainer: another host name is not another program.
func TestFingerprintOutlivesTheContainer(t *testing.T) {
	on := func(node string) string {
		cfg, err := Parse("x.yaml", []byte("workers: [{worker_id: a, command: x}]"), func(k string) (string, bool) { return node, k == "PROCGUARD_NODE" })
		if err != nil {
			t.Fatal(err)
		}
		return cfg.Workers[0].Fingerprint()
	}
	if on("first") != on("second") {
		t.Error("the fingerprint depends on the host")
	}
}
