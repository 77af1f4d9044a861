package config

import (
	"math"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// worker parses one worker with extra keys.
func worker(t testing.TB, extra string, kv ...string) Worker {
	t.Helper()
	return mustParse(t, "workers:\n  - worker_id: w\n    command: x\n    "+extra+"\n", kv...).Workers[0]
}

// refused checks that a worker with an extra key is refused with a message that has a part.
func refused(t testing.TB, extra, part string, kv ...string) {
	t.Helper()
	got := mistakesIn(t, "workers:\n  - worker_id: w\n    command: x\n    "+extra+"\n", kv...)
	if !strings.Contains(got, part) {
		t.Errorf("%s: %q lacks %q", extra, got, part)
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "5": 5 * time.Second, "0.5": time.Second / 2, "5.0": 5 * time.Second, "1e-3": time.Millisecond,
		"500ms": time.Second / 2, "1h30m": 90 * time.Minute, `"5s"`: 5 * time.Second, `"5"`: 5 * time.Second,
		"0.1": 100 * time.Millisecond, "9e9": 9e18, "250us": 250 * time.Microsecond,
	} {
		if got := worker(t, "restart_delay: "+text).RestartDelay; got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{"-1", "-5s", ".nan", ".inf", "-.inf", "nan", "inf", "1e300", "1e10", "9999999h", "5 s", "soon", "true", "1:30", "[1]", "{}", "5d", "2024-01-01"} {
		refused(t, "restart_delay: "+text, "restart_delay: expected a number of seconds or a duration such as 500ms, got ")
	}
	refused(t, "restart_delay:", "got nothing")
	refused(t, "startup_timeout: auto", "`auto` is for heartbeat_timeout of a worker or of `defaults`")
}

// TestAdapterTimeout is the one bare number that is not in seconds.
func TestAdapterTimeout(t *testing.T) {
	for text, want := range map[string]time.Duration{"1000": time.Second, "1.5": 1500 * time.Microsecond, "2s": 2 * time.Second} {
		cfg := mustParse(t, "communication: {adapter_config: {timeout: "+text+"}}\nworkers: [{worker_id: w, command: x}]")
		if got := cfg.Communication.AdapterConfig.Timeout; got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestSignals(t *testing.T) {
	for text, want := range map[string]syscall.Signal{"TERM": 15, "SIGINT": 2, "usr1": 10, "9": 9, "Quit": 3, "RTMIN": 34, "SIGRTMIN+3": 37, "RTMAX-1": 63, "WINCH": 28, "64": 64} {
		if got := worker(t, "stop: {signal: "+text+"}").Stop.Signal; got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
	for _, text := range []string{"0", "65", "-1", "FOO", "STOP", "CONT", "CHLD", "19", "RTMIN+31", "RTMAX+1", "RTMINx", "true", `""`} {
		refused(t, "stop: {signal: "+text+"}", "expected a signal that ends a process")
	}
}

func TestSizesAndLimits(t *testing.T) {
	for text, want := range map[string]int64{"1": 1, "1B": 1, "100MB": 100 << 20, "2k": 2048, "3 GiB": 3 << 30, "1T": 1 << 40} {
		if got := worker(t, "logs: {max_size: "+text+"}").Logs.MaxSize; got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
	for _, text := range []string{"0", "-1", "MB", "1.5MB", "1XB", "1MBB", "99999999999999999999", "99999999T", "K"} {
		refused(t, "logs: {max_size: "+text+"}", "expected a size in bytes")
	}
	const inf = Unlimited
	for text, want := range map[string]Rlimit{"5": {5, 5}, "unlimited": {inf, inf}, `"1:2"`: {1, 2}, `"1K:unlimited"`: {1024, inf}, "INFINITY": {inf, inf}, "0": {0, 0}} {
		if got := worker(t, "rlimits: {nofile: "+text+"}").Rlimits["nofile"]; got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{"-1", `"1:"`, `":2"`, "x", `"1:2:3"`, "1.5", "true", "[1]"} {
		refused(t, "rlimits: {nofile: "+text+"}", "expected a number")
	}
	refused(t, `rlimits: {nofile: "2:1"}`, "the soft limit is above the hard limit")
	refused(t, "rlimits: {RLIMIT_NOFILE: 1}", "unknown resource limit")
}

func TestCPULists(t *testing.T) {
	for text, want := range map[string][]int{"3": {3}, `"0-2,6"`: {0, 1, 2, 6}, "[5, 1, 1-2]": {1, 2, 5}, `" 1 , 2 "`: {1, 2}, "1023": {1023}} {
		if got := worker(t, "cpu_affinity: "+text).CPUAffinity; !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{"1024", "-1", `"1-"`, `"2-1"`, `""`, "x", "[[1]]", "{}", `"0-1023,` + strings.Repeat("0-1023,", 5000) + `0"`} {
		refused(t, "cpu_affinity: "+text, "expected CPU numbers")
	}
}

func TestSmallValues(t *testing.T) {
	for text, want := range map[string]int{`"022"`: 0o22, "022": 0o22, "27": 0o27, "0o77": 0o77, "0": 0, "777": 0o777} {
		if got := worker(t, "umask: "+text).Umask; got == nil || *got != want {
			t.Errorf("umask %s: %v", text, got)
		}
	}
	for _, text := range []string{"778", "1000", "8", "-1", "x"} {
		refused(t, "umask: "+text, "expected an octal mask")
	}
	for text, want := range map[string]string{"80": "127.0.0.1:80", `":81"`: "127.0.0.1:81", "host:82": "host:82", `"[::1]:83"`: "[::1]:83"} {
		if got := worker(t, "ready: {tcp: "+text+"}").Ready.TCP; got != want {
			t.Errorf("tcp %s: %s", text, got)
		}
	}
	for _, text := range []string{"0", "65536", "host", "host:", `"a:b:1"`} {
		refused(t, "ready: {tcp: "+text+"}", "expected host:port or a port")
	}
	for _, text := range []string{"nobody", "1000", `"1000:1000"`, "a.b:c-d", `"0:0"`} {
		if got := worker(t, "user: "+text).User; got != strings.Trim(text, `"`) {
			t.Errorf("user %s: %s", text, got)
		}
	}
	for _, text := range []string{`":"`, `"a:"`, `"a:b:c"`, "4294967295", "-x", `"a b"`, "99999999999"} {
		refused(t, "user: "+text, "expected a user name or uid")
	}
	if n := worker(t, "nice: -20").Nice; n == nil || *n != -20 {
		t.Errorf("nice %v", n)
	}
	refused(t, "max_restarts: 99999999999999999999", "expected an integer from 0 up")
	if got := worker(t, "max_restarts: 2147483648").MaxRestarts; got != math.MaxInt32+1 {
		t.Errorf("max_restarts %d", got)
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("x", 128)
	for _, id := range []string{"a", "worker_0", "A.b-c:d@e+f", "工人", "0", long} {
		if cfg := mustParse(t, "workers: [{worker_id: "+id+", command: x}]"); cfg.Workers[0].ID != id {
			t.Errorf("%s became %s", id, cfg.Workers[0].ID)
		}
	}
	for _, id := range []string{`""`, `"a/b"`, `".."`, `"a b"`, `"a\nb"`, long + "x", `"a\u0007"`, "true"} {
		got := mistakesIn(t, "workers: [{worker_id: "+id+", command: x}]")
		if !strings.Contains(got, "expected an id of letters") {
			t.Errorf("%s: %s", id, got)
		}
	}
}

func TestEnv(t *testing.T) {
	w := worker(t, `env: {NUM: 007, FLOAT: 1.50, BOOL: true, DATE: 2024-01-01, EMPTY: "", SPACED: " a ", MULTI: "a\nb", lower.case: x}`)
	for k, want := range map[string]string{"NUM": "007", "FLOAT": "1.50", "BOOL": "true", "DATE": "2024-01-01", "EMPTY": "", "SPACED": " a ", "MULTI": "a\nb", "lower.case": "x"} {
		if got, ok := w.Env[k]; !ok || got != want {
			t.Errorf("%s = %q, want %q", k, got, want)
		}
	}
	refused(t, "env: {A: [1]}", "env.A: expected a value")
	for _, name := range reservedEnv {
		refused(t, "env: {"+name+": 1}", "set by ProcGuard itself")
	}
}

func TestCommands(t *testing.T) {
	for text, want := range map[string][]string{
		`[a, "b c", 7, "", "$X"]`:       {"a", "b c", "7", "", "$X"},
		`a "b c" 'd e' $X f\ g`:         {"a", "b c", "d e", "$X", "f g"},
		"|\n      a \\\n        --b\n":  {"a", "--b"},
		">-\n      a\n      b\n":        {"a", "b"},
		`'python3 -c "print(''a\n'')"'`: {"python3", "-c", `print('a\n')`},
		"env A=b c":                     {"env", "A=b", "c"},
		"a#b c # comment":               {"a#b", "c"},
	} {
		got := mustParse(t, "workers:\n  - worker_id: w\n    command: "+text+"\n").Workers[0].Command
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	w := mustParse(t, "workers: [{worker_id: w, shell: true, command: 'a | b $X'}]").Workers[0]
	if !w.Shell || !slices.Equal(w.Command, []string{"/bin/sh", "-c", "a | b $X"}) {
		t.Errorf("%q", w.Command)
	}
}
