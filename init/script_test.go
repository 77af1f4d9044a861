package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/supervise/bus/zmq"
	"github.com/procguard/procguard/supervise/control"
)

// TestScript runs testdata/script. Besides testscript's own commands there are:
//
//	start NAME CMD…         run in the background, output to NAME.out and NAME.err
//	end NAME CODE           wait for its end and check the exit code
//	sig SIGNAL NAME|FILE    signal a background command, or the pid in a file
//	code N CMD…             run in the foreground and check the exit code
//	await FILE REGEXP       wait until a line of the file matches
//	alive FILE, dead FILE   the pid in a file lives; or wait until it does not
//	same FILE FILE          the two have the same content
//	json FILE PATH WANT     a value in a JSON file or stdout: a.b, list[k=v].b, list[0], #list for its length
//	awaitjson PATH WANT     wait until the status says so, asked at $WORK/sock
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup:               setup,
		Condition:           condition,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start": startCmd, "end": endCmd, "sig": sigCmd, "code": codeCmd, "await": awaitCmd,
			"alive": aliveCmd, "dead": deadCmd, "same": sameCmd, "json": jsonCmd, "awaitjson": awaitJSONCmd,
		},
	})
}

type guards map[string]*guard

func setup(env *testscript.Env) error {
	env.Setenv(dirKey, env.WorkDir)
	env.Values["guards"] = guards{}
	env.Defer(func() { killStarted(env.WorkDir) })
	return nil
}

// condition adds [zmq], [root] and [mounts] (a mount namespace can be made) to testscript's.
func condition(cond string) (bool, error) {
	switch cond {
	case "zmq":
		return zmq.Available, nil
	case "root":
		return os.Geteuid() == 0, nil
	case "mounts":
		return exec.Command("unshare", "-m", "true").Run() == nil, nil
	}
	return false, fmt.Errorf("unknown condition %q", cond)
}

func all(ts *testscript.TestScript) guards { return ts.Value("guards").(guards) }

func usage(ts *testscript.TestScript, bad bool, text string) {
	if bad {
		ts.Fatalf("usage: %s", text)
	}
}

func startCmd(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) < 2, "start NAME CMD…")
	var env []string
	for _, k := range []string{"HOME", "PATH", "PROCGUARD_CONFIG", "XDG_STATE_HOME", "NAME", "WORK"} {
		env = append(env, k+"="+ts.Getenv(k))
	}
	g, err := launch(ts.Getenv("WORK"), args[0], env, args[1:]...)
	ts.Check(err)
	all(ts)[args[0]] = g
	ts.Defer(func() {
		if ts.Logf("%s said:\n%s", args[0], g.log()); g.running() {
			g.signal(syscall.SIGKILL)
			_, _ = g.wait() // its workers are killed by the cleanup of setup
		}
	})
}

func endCmd(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 2, "end NAME CODE")
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	got, err := all(ts)[args[0]].wait()
	ts.Check(err)
	if got != want {
		ts.Fatalf("%s ended with exit code %d, not %d", args[0], got, want)
	}
}

func sigCmd(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 2, "sig SIGNAL NAME|FILE")
	sig := unix.SignalNum("SIG" + args[0])
	usage(ts, sig == 0, "sig SIGNAL NAME|FILE, with a known SIGNAL")
	if g := all(ts)[args[1]]; g != nil {
		g.signal(sig)
		return
	}
	ts.Check(syscall.Kill(pidIn(ts, args[1]), sig))
}

func codeCmd(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) < 2, "code N CMD…")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	if x := (*exec.ExitError)(nil); errors.As(err, &x) {
		got = x.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, not %d", got, want)
	}
}

func awaitCmd(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 2, "await FILE REGEXP")
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	path := ts.MkAbs(args[0])
	if !eventually(func() bool { b, _ := os.ReadFile(path); return re.Match(b) }) {
		b, _ := os.ReadFile(path)
		ts.Fatalf("%s never has %s; it is:\n%s", args[0], args[1], b)
	}
}

func pidIn(ts *testscript.TestScript, file string) int {
	pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(file)))
	ts.Check(err)
	return pid
}

func aliveCmd(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 1, "alive FILE")
	if pid := pidIn(ts, args[0]); !lives(pid) {
		ts.Fatalf("pid %d of %s is dead", pid, args[0])
	}
}

func deadCmd(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 1, "dead FILE")
	if pid := pidIn(ts, args[0]); !eventually(func() bool { return !lives(pid) }) {
		ts.Fatalf("pid %d of %s lives", pid, args[0])
	}
}

func sameCmd(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, len(args) != 2, "same FILE FILE")
	if a, b := ts.ReadFile(args[0]), ts.ReadFile(args[1]); (a == b) == neg {
		ts.Fatalf("same: %v; %q and %q", a == b, a, b)
	}
}

func jsonCmd(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, len(args) != 3, "json FILE PATH WANT")
	got, err := jsonValue([]byte(ts.ReadFile(args[0])), args[1])
	ts.Check(err)
	if (got == args[2]) == neg {
		ts.Fatalf("%s is %s, wanted %s (negated: %v)", args[1], got, args[2], neg)
	}
}

func awaitJSONCmd(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 2, "awaitjson PATH WANT")
	got, client := "", control.Dial(filepath.Join(ts.Getenv("WORK"), "sock"))
	ok := eventually(func() bool {
		s, err := client.Status(context.Background())
		doc, _ := json.Marshal(s) // it is plain data
		if err == nil {
			got, err = jsonValue(doc, args[0])
		}
		if err != nil {
			got = err.Error()
		}
		return got == args[1]
	})
	if !ok {
		ts.Fatalf("%s stays %s, wanted %s", args[0], got, args[1])
	}
}

// jsonValue finds a value; a text is given without its quotes, nothing as "none".
func jsonValue(doc []byte, path string) (string, error) {
	var v any
	if err := json.Unmarshal(doc, &v); err != nil {
		return "", fmt.Errorf("%w in %q", err, doc)
	}
	path, count := strings.CutPrefix(path, "#")
	for _, step := range regexp.MustCompile(`[^.\[\]]+|\[[^\]]*\]`).FindAllString(path, -1) {
		v = descend(v, strings.Trim(step, "[]"))
	}
	if list, ok := v.([]any); ok && count {
		return strconv.Itoa(len(list)), nil
	}
	if s, ok := v.(string); ok {
		return s, nil
	}
	if v == nil {
		return "none", nil
	}
	b, err := json.Marshal(v)
	return string(b), err
}

func descend(v any, step string) any {
	switch v := v.(type) {
	case map[string]any:
		return v[step]
	case []any:
		if key, want, ok := strings.Cut(step, "="); ok {
			i := slices.IndexFunc(v, func(e any) bool { return fmt.Sprint(descend(e, key)) == want })
			if i >= 0 {
				return v[i]
			}
		} else if n, err := strconv.Atoi(step); err == nil && n < len(v) {
			return v[n]
		}
	}
	return nil
}
