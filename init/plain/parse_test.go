package plain

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/procguard/procguard/reaper/solo"
)

func parse(t *testing.T, argv0, line string, env ...string) *Call {
	t.Helper()
	c, ok, err := Parse(append([]string{argv0}, fields(line)...), env)
	if !ok || err != nil {
		t.Fatalf("%s %s: %v, %v", argv0, line, ok, err)
	}
	return c
}

// TestNotPlain: these are for the rest of the program.
func TestNotPlain(t *testing.T) {
	for _, line := range []string{
		"", "check x.yaml", "status", "help", "--config x", "--fresh", "-h", "--help", "--version", "-c x true", "--format json", "-test.v", "-test.run X",
		"-g --config x", "-gh", "--grace 25s --help", "--nproc-per-node 2 -- true", "--gra 25s true", "-g -x true", "__complete --gr", "--=x true",
	} {
		if c, ok, err := Parse(append([]string{"/procguard"}, fields(line)...), nil); c != nil || ok || err != nil {
			t.Errorf("%s: %v, %v, %v", line, c, ok, err)
		}
	}
	if c, ok, err := Parse(nil, nil); c != nil || ok || err != nil {
		t.Errorf("no argv: %v, %v, %v", c, ok, err)
	}
}

// TestCommandLine: what is left for the command, to the letter.
func TestCommandLine(t *testing.T) {
	for line, want := range map[string]string{
		"true": "true", "-- true": "true", "-- check": "check", "-- -- x": "-- x", "-- --grace 5": "--grace 5", "echo --config x -h": "echo --config x -h",
		"-g true -g": "true -g", "-g -- true --": "true --", "--grace 5 status": "status", "- x": "- x", "_ x": " x", "--chdir -- true": "true",
		"-gvv true": "true", "-pTERM true": "true", "-p TERM true": "true", "-gp TERM true": "true", "-e 143 -e 130 true": "true", "--grace=5 true": "true",
		"true -- x": "true -- x",
	} {
		if c := parse(t, "procguard", line); strings.Join(c.Options.Argv, " ") != want {
			t.Errorf("%s: %q", line, c.Options.Argv)
		}
	}
}

func TestFlags(t *testing.T) {
	for line, ok := range map[string]func(c *Call, o solo.Options) bool{
		"": func(c *Call, o solo.Options) bool {
			return !o.Group && o.Own == solo.OwnGroup && o.Subreaper && o.ListenPID && c.verbosity == 1
		},
		"-g":                           func(c *Call, o solo.Options) bool { return o.Group && o.Own == solo.OwnGroup },
		"--group":                      func(c *Call, o solo.Options) bool { return o.Group && o.Own == solo.OwnGroup },
		"--session":                    func(c *Call, o solo.Options) bool { return o.Group && o.Own == solo.OwnSession && o.Farewell == 0 },
		"-s":                           func(c *Call, o solo.Options) bool { return o.Subreaper },
		"--subreaper":                  func(c *Call, o solo.Options) bool { return o.Subreaper },
		"-w":                           func(c *Call, o solo.Options) bool { return o.WarnReaped },
		"--warn-reaped":                func(c *Call, o solo.Options) bool { return o.WarnReaped },
		"-p hup":                       func(c *Call, o solo.Options) bool { return o.ParentDeath == syscall.SIGHUP },
		"--parent-death=9":             func(c *Call, o solo.Options) bool { return o.ParentDeath == syscall.SIGKILL },
		"-e 0 -e 143 --remap-exit 255": func(c *Call, o solo.Options) bool { return c.remap[0] && c.remap[143] && c.remap[255] && !c.remap[1] },
		"-v":                           func(c *Call, o solo.Options) bool { return c.verbosity == 2 },
		"-vv --verbose":                func(c *Call, o solo.Options) bool { return c.verbosity == 4 },
		"--rewrite 15:3 --rewrite=HUP:0": func(c *Call, o solo.Options) bool {
			return o.Rewrite[15] == 3 && has(o, syscall.SIGHUP, 0) && len(o.Rewrite) == 2
		},
		"--rewrite SIGRTMIN+1:rtmax-2":           func(c *Call, o solo.Options) bool { return has(o, 35, 62) },
		"--rewrite TERM:INT --rewrite TERM:USR1": func(c *Call, o solo.Options) bool { return has(o, syscall.SIGTERM, syscall.SIGUSR1) },
		"--stop-signal SIGQUIT":                  func(c *Call, o solo.Options) bool { return o.StopSignal == syscall.SIGQUIT },
		"--stop-signal RTMIN+3":                  func(c *Call, o solo.Options) bool { return o.StopSignal == 37 },
		"--grace 25s":                            func(c *Call, o solo.Options) bool { return o.Grace == 25*time.Second },
		"--grace 1m30s":                          func(c *Call, o solo.Options) bool { return o.Grace == 90*time.Second },
		"--grace 25":                             func(c *Call, o solo.Options) bool { return o.Grace == 25*time.Second },
		"--grace .5":                             func(c *Call, o solo.Options) bool { return o.Grace == 500*time.Millisecond },
		"--pre-stop nginx~-s~'quit~now'": func(c *Call, o solo.Options) bool {
			return slices.Equal(o.PreStop, []string{"nginx", "-s", "quit now"})
		},
		"--kill-orphans":            func(c *Call, o solo.Options) bool { return o.KillOrphans },
		"--user nobody:nogroup":     func(c *Call, o solo.Options) bool { return c.user == "nobody:nogroup" },
		"--chdir /tmp":              func(c *Call, o solo.Options) bool { return o.Dir == "/tmp" },
		"--env-file a --env-file=b": func(c *Call, o solo.Options) bool { return slices.Equal(c.envFiles, []string{"a", "b"}) },
	} {
		if c := parse(t, "/usr/bin/procguard", line+" -- true"); !ok(c, c.Options) {
			t.Errorf("%s: %+v", line, c)
		}
	}
	for _, line := range []string{"-P", "--pause"} {
		if c := parse(t, "procguard", line); !c.Options.Pause || len(c.Options.Argv) != 0 {
			t.Errorf("%s: %+v", line, c)
		}
	}
}

func has(o solo.Options, from, to syscall.Signal) bool {
	got, ok := o.Rewrite[from]
	return ok && got == to
}

// TestFlagsTable: nothing is left unsaid about a flag.
func TestFlagsTable(t *testing.T) {
	for _, f := range Flags() {
		if f.Help == "" || strings.ToLower(f.Help[:1]) != f.Help[:1] || f.Argument != "" && accepts[f.Argument] == "" {
			t.Errorf("%+v: no help, or nothing is said about the argument", f)
		}
	}
	if len(Flags()) != len(ownFlags) {
		t.Errorf("%d flags of %d", len(Flags()), len(ownFlags))
	}
}

func TestUsage(t *testing.T) {
	for line, want := range map[string]string{
		"--":                "cannot run: no command after --\nhint: procguard -- CMD ARG…",
		"-g":                "cannot run: no command after -g\nhint: procguard [flags] [--] CMD ARG…",
		"--grace 25s":       "cannot run: no command after --grace 25s\n",
		"--grace 25s --":    "cannot run: no command after --\n",
		"--grace":           "cannot do that: option '--grace' requires an argument\nhint: procguard --help",
		"-p":                "cannot do that: option requires an argument -- 'p'\nhint: procguard --help",
		"--group=1 true":    "cannot do that: option '--group' doesn't allow an argument\nhint: procguard --help",
		"--pause true":      "cannot run: --pause runs no command, and there is \"true\"\nhint: procguard --pause",
		"--grace soon true": "cannot use --grace \"soon\": it is no such time\nhint: --grace takes a duration",
		"--grace 0 true":    "cannot use --grace \"0\"", "--grace -1 true": "cannot use --grace", "--grace NaN true": "cannot use --grace", "--grace Inf true": "cannot use --grace",
		"--grace 1e300 true": "cannot use --grace", "--grace 0s true": "cannot use --grace", "--grace _ true": "cannot use --grace \"\"",
		"--stop-signal FOO true": "cannot use --stop-signal \"FOO\": there is no such signal\nhint: --stop-signal takes a signal by name or number",
		"--stop-signal 0 true":   "cannot use --stop-signal", "--stop-signal 65 true": "cannot use --stop-signal", "--stop-signal RTMIN3 true": "cannot use --stop-signal",
		"-p RTMAX+1 true": "cannot use -p \"RTMAX+1\": there is no such signal\nhint: -p takes",
		"-e 256 true":     "cannot use -e \"256\": it is no exit code\nhint: -e takes an exit code from 0 to 255",
		"-e -1 true":      "cannot use -e", "-e x true": "cannot use -e", "-e true": "cannot use -e",
		"--rewrite 15 true":     "cannot use --rewrite \"15\": it has no colon\nhint: --rewrite takes two signals",
		"--rewrite 15:FOO true": "there is no signal \"FOO\"", "--rewrite FOO:15 true": "there is no signal \"FOO\"", "--rewrite 0:15 true": "there is no signal \"0\"",
		"--rewrite KILL:TERM true": "nobody can catch SIGKILL", "--rewrite 19:1 true": "nobody can catch SIGSTOP", "--rewrite CHLD:1 true": "SIGCHLD is not passed on",
		"--pre-stop _ true":   "cannot use --pre-stop \"\": it has no words\nhint: --pre-stop takes a command without shell operators",
		"--pre-stop a|b true": "means something to a shell only", "--pre-stop 'a true": "a ' quote is not closed",
		"--user _ true": "cannot use --user \"\": it is empty\nhint: --user takes a user name", "--chdir _ true": "cannot use --chdir", "--env-file _ true": "cannot use --env-file",
	} {
		_, ok, err := Parse(append([]string{"procguard"}, fields(line)...), nil)
		var u *Usage
		if !ok || !errors.As(err, &u) || u.Code != 2 || !strings.HasPrefix(u.Text, "procguard: cannot ") || !strings.Contains(u.Text, want) || !strings.Contains(u.Text, "\nhint: ") || !strings.HasSuffix(u.Text, "\n") {
			t.Errorf("%s: %v, %v", line, ok, err)
		}
	}
}

func TestPersonas(t *testing.T) {
	for line, want := range map[string]string{
		"tini true":                          "own 0 group false sub false listen false farewell 0 rewrite map[] verbose 1",
		"/sbin/docker-init -gsvv -- true":    "own 0 group true sub true listen false farewell 0 rewrite map[] verbose 3",
		"tini-static -p SIGHUP true":         "own 0 group false sub false listen false farewell 0 rewrite map[] verbose 1",
		"catatonit -g true":                  "own 0 group true sub true listen true farewell 0 rewrite map[] verbose 0",
		"dumb-init true":                     "own 1 group true sub false listen false farewell 15 rewrite map[20:19 21:19 22:19] verbose 0",
		"dumb-init -r 15:3 -r 20:20 -v true": "own 1 group true sub false listen false farewell 3 rewrite map[15:3 20:20 21:19 22:19] verbose 4",
		"dumb-init -r 15:0 true":             "own 1 group true sub false listen false farewell 0 rewrite map[15:0 20:19 21:19 22:19] verbose 0",
		"dumb-init -c -r 2:3 true":           "own 2 group false sub false listen false farewell 0 rewrite map[2:3] verbose 0",
	} {
		argv := fields(line)
		c := parse(t, argv[0], strings.Join(argv[1:], " "))
		o := c.Options
		rewrite := map[int]int{}
		for a, b := range o.Rewrite {
			rewrite[int(a)] = int(b)
		}
		got := fmt.Sprintf("own %d group %v sub %v listen %v farewell %d rewrite %v verbose %d", o.Own, o.Group, o.Subreaper, o.ListenPID, o.Farewell, rewrite, c.verbosity)
		if got != want || !slices.Equal(o.Argv, []string{"true"}) {
			t.Errorf("%s:\n got %s %q\nwant %s", line, got, o.Argv, want)
		}
	}
	if c := parse(t, "dumb-init", "true", "DUMB_INIT_SETSID=0", "DUMB_INIT_SETSID=1", "DUMB_INIT_DEBUG=1"); c.Options.Own != solo.OwnNothing || c.Options.Group || c.verbosity != 4 {
		t.Errorf("%+v", c)
	}
	if c := parse(t, "catatonit", "-P any thing"); !c.Options.Pause {
		t.Errorf("%+v", c)
	}
}

// TestVersions: what comes first is what docker and scripts look for.
func TestVersions(t *testing.T) {
	for name, want := range map[string]string{"tini": "tini version 0.19.0 (procguard ", "docker-init": "tini version 0.19.0 (procguard ", "catatonit": "tini version 0.1.7_catatonit (procguard ", "dumb-init": "dumb-init v1.2.5 (procguard "} {
		if c := parse(t, name, "--version"); c.show == nil || !strings.HasPrefix(c.show.text, want) || !strings.HasSuffix(c.show.text, ")\n") {
			t.Errorf("%s: %+v", name, c.show)
		}
	}
}

func TestLicence(t *testing.T) {
	file, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	if string(file) != licence {
		t.Error("licence.go and LICENSE differ")
	}
}

// FuzzParse: it takes no call with a flag that is not in the table, loses no word of
// the command, and never panics, whatever the name.
func FuzzParse(f *testing.F) {
	for _, c := range slices.Concat(failing, running, tiniCases, dumbInitCases, catatonitCases) {
		f.Add("procguard", c.args, c.env)
	}
	f.Add("dumb-init", "-r 1:2 -- true", "DUMB_INIT_DEBUG=1")
	f.Add("tini", "-e 1 x -- y", "TINI_VERBOSITY=9999999999999999999999")
	f.Add("catatonit", "-P", "")
	f.Add("procguard", "--grace 1 --rewrite A:B --env-file=x -- a b", "")
	known := map[string]bool{}
	for _, flag := range Flags() {
		known["--"+flag.Name] = true
	}
	f.Fuzz(func(t *testing.T, name, line, env string) {
		args := fields(line)
		c, ok, err := Parse(append([]string{name}, args...), fields(env))
		var u *Usage
		switch {
		case (c != nil) != (ok && err == nil), err != nil && (!ok || !errors.As(err, &u)):
			t.Fatalf("%v, %v, %v", c, ok, err)
		case u != nil && (u.Code == 0 || !strings.HasSuffix(u.Text, "\n")):
			t.Fatalf("%+v", u)
		case c == nil || c.show != nil:
			return
		}
		if n := len(c.Options.Argv); !slices.Equal(args[len(args)-n:], c.Options.Argv) && !c.as.permuted {
			t.Errorf("%q became %q", args, c.Options.Argv)
		}
		if c.as == own && len(args) > 0 && strings.HasPrefix(args[0], "--") && args[0] != "--" {
			if first, _, _ := strings.Cut(args[0], "="); !known[first] {
				t.Errorf("%q was taken", args)
			}
		}
	})
}
