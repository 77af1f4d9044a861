package plain

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/procguard/procguard/reaper/solo"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// procguard runs ProcGuard under its own name.
func procguard(t *testing.T, env string, args ...string) outcome {
	t.Helper()
	return try(t, t.TempDir(), binary(t, "procguard"), fields(env), args)
}

func TestRun(t *testing.T) {
	for line, want := range map[string]outcome{
		"true":                            {},
		"-- sh -c exit~42":                {code: 42},
		"-e 42 -- sh -c exit~42":          {},
		"-e 43 -- sh -c exit~42":          {code: 42},
		"-- sh -c kill~-TERM~$$":          {143, "", "procguard: sh killed by SIGTERM\n"},
		"-e 143 -- sh -c kill~-TERM~$$":   {},
		"-- sh -c kill~-36~$$":            {164, "", "procguard: sh killed by SIGRTMIN+2\n"},
		"-vv -e 3 -- sh -c exit~3":        {0, "", "procguard: sh ended with exit code 3\n"},
		"--chdir / -- pwd":                {out: "/\n"},
		"--chdir /no/such/dir true":       {125, "", "working directory /no/such/dir"},
		"no-such-command-anywhere":        {127, "", `procguard: cannot run "no-such-command-anywhere": not found in PATH (/`},
		"/etc":                            {126, "", "procguard: cannot run \"/etc\": /etc: is a directory"},
		"/etc/passwd":                     {126, "", "permission denied"},
		"--user no-such-user true":        {125, "", "user \"no-such-user\" is not known here: "},
		"--env-file /no/such/file true":   {2, "", "procguard: cannot read the --env-file: open /no/such/file: no such file or directory\nhint: --env-file takes"},
		"-e 127 no-such-command-anywhere": {127, "", "not found"},
		"--grace soon true":               {2, "", "hint: --grace takes"},
	} {
		got := procguard(t, "", fields(line)...)
		if got.code != want.code || got.out != want.out || !strings.Contains(got.err, want.err) || want.err == "" && got.err != "" {
			t.Errorf("%s: %+v, want %+v", line, got, want)
		}
	}
}

// TestEnvironment: ours, then the user's, then each file's; the command sees each
// name once.
func TestEnvironment(t *testing.T) {
	one, two := write(t, "one", "A=1\nB=1 # x\nexport C='1 1'\n"), write(t, "two", "B=2\nHOME=/two\n")
	got := procguard(t, "A=0 Z=0 HOME=/zero", "--env-file", one, "--env-file", two, "--", "env")
	want := map[string]string{"A": "1", "B": "2", "C": "1 1", "Z": "0", "HOME": "/two"}
	seen := map[string]int{}
	for line := range strings.Lines(got.out) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		if seen[k]++; want[k] != "" && want[k] != v {
			t.Errorf("%s is %q, want %q", k, v, want[k])
		}
	}
	for k := range want {
		if seen[k] != 1 {
			t.Errorf("%s is there %d times", k, seen[k])
		}
	}
}

func TestEnvFileMistakes(t *testing.T) {
	file := write(t, "bad.env", "A=1\n1B=2\nC\n")
	got := procguard(t, "", "--env-file", file, "true")
	for _, want := range []string{"procguard: " + file + ":2: expected NAME=value", "procguard: " + file + ":3: expected NAME=value", "\nhint: --env-file takes"} {
		if got.code != 2 || !strings.Contains(got.err, want) {
			t.Errorf("%+v, want %s", got, want)
		}
	}
}

func TestUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to become somebody else")
	}
	real := binary(t, "procguard")
	for user, want := range map[string]string{"424242": "424242:424242 / 424242 424242\n", "424242:17": "424242:17 / 424242 424242\n", "0:0": "0:0 /root root root\n"} {
		got := try(t, "/", real, []string{"HOME=/zero"}, []string{"--user", user, "--", "sh", "-c", "echo $(id -u):$(id -g) $HOME $USER $LOGNAME"})
		if got.code != 0 || got.out != want {
			t.Errorf("%s: %+v, want %s", user, got, want)
		}
	}
}

// TestListenPID: the number is the command's where it was ours, as catatonit has it.
func TestListenPID(t *testing.T) {
	for _, name := range []string{"catatonit", "procguard"} {
		ours := binary(t, name)
		for set, same := range map[string]bool{"$$": true, "7": false} {
			out, err := exec.Command("sh", "-c", `LISTEN_FDS=1 LISTEN_PID=`+set+` exec "$0" -- sh -c 'test $LISTEN_PID = $$ && echo same; echo $LISTEN_FDS'`, ours).Output()
			if err != nil || string(out) != map[bool]string{true: "same\n1\n", false: "1\n"}[same] {
				t.Errorf("%s, LISTEN_PID=%s: %q, %v", name, set, out, err)
			}
		}
	}
}

// TestPause: catatonit's and ours end with 0 on TERM and INT, and not on others.
func TestPause(t *testing.T) {
	for name, flag := range map[string]string{"catatonit": "-P", "procguard": "-vP"} {
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
			r, w := pipe(t)
			c := exec.Command(binary(t, name), flag)
			c.Stderr, c.Env = w, []string{"CATATONIT_DEBUG=1"}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			w.Close()
			if line, err := bufio.NewReader(r).ReadString('\n'); err != nil { // said when it catches signals
				t.Fatalf("%s: %q, %v", name, line, err)
			}
			for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1, sig} {
				if err := c.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Wait(); err != nil {
				t.Errorf("%s, %v: %v", name, sig, err)
			}
		}
	}
}

func TestConclude(t *testing.T) {
	for line, cases := range map[string]map[solo.Result]int{
		"procguard true":        {{Status: 0}: 0, {Status: 42 << 8}: 42, {Status: 9}: 137, {Status: 139}: 139, {Err: syscall.EPERM}: 125},
		"tini -e 137 -e 3 true": {{Status: 9}: 0, {Status: 3 << 8}: 0, {Status: 4 << 8}: 4, {Err: syscall.EPERM}: 1},
		"dumb-init true":        {{Status: 64}: 192, {Err: syscall.EPERM}: 1},
		"catatonit -P":          {{}: 0, {Err: syscall.EPERM}: 1},
		"procguard -P":          {{}: 0},
	} {
		argv := fields(line)
		for r, want := range cases {
			c := parse(t, argv[0], strings.Join(argv[1:], " "))
			if got := c.conclude(r, &speech{as: c.as, err: voice{silent: true}}); got != want {
				t.Errorf("%s, %+v: %d, want %d", line, r, got, want)
			}
		}
	}
}

// TestMessages: the signal is said by us, with the core; others say it when asked.
func TestMessages(t *testing.T) {
	for line, want := range map[string]string{
		"procguard job": "procguard: job killed by SIGSEGV (core dumped)\n", "tini job": "", "dumb-init job": "", "catatonit job": "",
		"dumb-init -v job": "[dumb-init] job killed by SIGSEGV (core dumped)\n",
	} {
		r, w := pipe(t)
		argv := fields(line)
		c := parse(t, argv[0], strings.Join(argv[1:], " "))
		c.conclude(solo.Result{Status: 139}, &speech{as: c.as, most: c.verbosity, err: voice{fd: int(w.Fd())}, out: voice{silent: true}})
		w.Close()
		var got strings.Builder
		if _, err := r.WriteTo(&got); err != nil || got.String() != want {
			t.Errorf("%s: %q, %v, want %q", line, got.String(), err, want)
		}
	}
}
