package plain

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// built is ProcGuard: $PROCGUARD, or what the tests build. The test binary itself will
// not do: under the race detector and cgo it is another program.
var built = sync.OnceValues(func() (string, error) {
	if real := os.Getenv("PROCGUARD"); real != "" {
		return real, nil
	}
	dir, err := os.MkdirTemp("", "plain")
	if err != nil {
		return "", err
	}
	builtIn = dir
	real := filepath.Join(dir, "procguard")
	c := exec.Command("go", "build", "-o", real, "./testdata/procguard")
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return real, nil
})

var builtIn string

func TestMain(m *testing.M) {
	code := m.Run()
	if builtIn != "" {
		os.RemoveAll(builtIn)
	}
	os.Exit(code)
}

// binary makes ProcGuard callable under a name.
func binary(t *testing.T, name string) string {
	t.Helper()
	real, err := built()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	return link
}

// outcome is what can be seen of a run.
type outcome struct {
	code     int
	out, err string
}

// try runs a program in dir, with no more environment than it needs.
func try(t *testing.T, dir, program string, env, args []string) outcome {
	t.Helper()
	c := exec.Command(program, args...)
	c.Dir = dir
	c.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, env...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return outcome{c.ProcessState.ExitCode(), out.String(), errs.String()}
}

// peerCase is one command line for a program and for ProcGuard under its name.
type peerCase struct {
	args string // separated by blanks; a lone _ is an empty word, ~ a blank
	env  string // likewise
	// exact: the command prints on standard output, so that has to be the same.
	exact bool
	// other is where we differ on purpose: our exit code and standard output.
	other *outcome
}

func fields(text string) []string {
	list := strings.Fields(text)
	for i, w := range list {
		if list[i] = strings.ReplaceAll(w, "~", " "); w == "_" {
			list[i] = ""
		}
	}
	return list
}

// failing are command lines that come to nothing, under any name.
var failing = []peerCase{
	{}, {args: "--"}, {args: "-- --"}, {args: "-Z true"}, {args: "--bogus true"}, {args: "--bogus=1 true"}, {args: "-"},
	{args: "./absent"}, {args: "no-such-command-anywhere"}, {args: "./lines"}, {args: "./folder"}, {args: "./orphan"},
	{args: "/etc/passwd/x"}, {args: "_"}, {args: "-- ./folder -x"}, {args: "./junk x"}, {args: "junk"},
	{args: "no-bang a", exact: true, env: "PATH=.:/usr/bin:/bin"}, {args: "./no-bang a b", exact: true},
}

// running are command lines that run something, under any name.
var running = []peerCase{
	{args: "true"}, {args: "false"}, {args: "-- true"}, {args: "-- sh -c exit~42"}, {args: "-- sh -c exit~255"},
	{args: "-- sh -c kill~-TERM~$$"}, {args: "-- sh -c kill~-KILL~$$"}, {args: "-- sh -c kill~-SEGV~$$"}, {args: "-- sh -c kill~-34~$$"},
	{args: "-- echo -- x", exact: true}, {args: "-- echo -v -h", exact: true}, {args: "-- echo --version", exact: true},
	{args: "echo - x", exact: true}, {args: "-- sh -c echo~out;echo~err>&2", exact: true},
}

var tiniCases = []peerCase{
	{args: "-p TERM true"}, {args: "-p SIGTERM true"}, {args: "-pSIGHUP true"}, {args: "-p FOO true"}, {args: "-p 15 true"},
	{args: "-p sigterm true"}, {args: "-p SIGRTMIN true"}, {args: "-p SIGPOLL true"}, {args: "-p SIGIO true"}, {args: "-p SIGIOT true"},
	{args: "-p SIGCLD true"}, {args: "-p SIGSTKFLT true"}, {args: "-p SIGPWR true"}, {args: "-p SIGSYS true"}, {args: "-p SIGWINCH true"},
	{args: "-p"}, {args: "-p true"}, {args: "-e"}, {args: "-sp"}, {args: "-p --"},
	{args: "-e 3 -- sh -c exit~3"}, {args: "-e3 -- sh -c exit~3"}, {args: "-ve3 -- sh -c exit~3"}, {args: "-e 4 -e 3 -- sh -c exit~3"},
	{args: "-e 4 -- sh -c exit~3"}, {args: "-e 256 true"}, {args: "-e -1 true"}, {args: "-e abc true"}, {args: "-e 3x true"}, {args: "-e 0x3 true"},
	{args: "-e 003 -- sh -c exit~3"}, {args: "-e +3 -- sh -c exit~3"}, {args: "-e ~3 -- sh -c exit~3"}, {args: "-e 3~ true"}, {args: "-e _ true"},
	{args: "-e 99999999999999999999 true"}, {args: "-e 143 -- sh -c kill~-TERM~$$"}, {args: "-e 127 no-such-command-anywhere"}, {args: "-e 126 ./lines"},
	{args: "-e 1 /etc/passwd/x"}, {args: "-e -0 -- sh -c exit~0"},
	{args: "-gvv true"}, {args: "-gvZ true"}, {args: "-s true"}, {args: "-s -- true"}, {args: "-sw true"}, {args: "-svvv true"}, {args: "-svvvv true"},
	{args: "-h"}, {args: "-l"}, {args: "-lh"}, {args: "-hl"}, {args: "-h -Z"}, {args: "-Z -h"}, {args: "-h true"}, {args: "-sh"},
	{args: "--version"}, {args: "--version x"}, {args: "--ver"}, {args: "-v --version"}, {args: "-V"}, {args: "--help"}, {args: "-s --version"},
	{args: "-s true", env: "TINI_VERBOSITY=0"}, {args: "true", env: "TINI_VERBOSITY=0"}, {args: "true", env: "TINI_VERBOSITY=1"},
	{args: "true", env: "TINI_VERBOSITY=2"}, {args: "true", env: "TINI_VERBOSITY=3"}, {args: "true", env: "TINI_VERBOSITY=x"},
	{args: "true", env: "TINI_VERBOSITY=-1"}, {args: "true", env: "TINI_VERBOSITY="}, {args: "-vvv true", env: "TINI_VERBOSITY=0"},
	{args: "true", env: "TINI_SUBREAPER="}, {args: "true", env: "TINI_SUBREAPER=0"}, {args: "true", env: "TINI_KILL_PROCESS_GROUP="},
	{args: "no-such-command-anywhere", env: "TINI_VERBOSITY=0"}, {args: "-h", env: "TINI_VERBOSITY=0"},
	{args: "echo -- x", exact: true}, {args: "echo a -- b", exact: true}, {args: "echo a -- -b -- c", exact: true}, {args: "-s echo -- x", exact: true},
	{args: "echo -- x", exact: true, env: "POSIXLY_CORRECT=1"}, {args: "sh -c exit~3", env: "POSIXLY_CORRECT=1"},
	// It looks for its own options among the command's words.
	{args: "sh -c exit~42", other: &outcome{code: 42}},
	{args: "echo -v x", other: &outcome{out: "-v x\n"}},
	{args: "true -h", other: &outcome{}},
	{args: "echo -v -- x", other: &outcome{out: "-v -- x\n"}},
}

var dumbInitCases = []peerCase{
	{args: "-c true"}, {args: "--single-child true"}, {args: "--single true"}, {args: "--s true"}, {args: "-c -- true"},
	{args: "-r 15:3 true"}, {args: "-r15:3 true"}, {args: "--rewrite 15:3 true"}, {args: "--rewrite=15:3 true"}, {args: "--rew=15:3 true"},
	{args: "-r 15:0 true"}, {args: "-r 0:1 true"}, {args: "-r 65:1 true"}, {args: "-r 31:31 true"}, {args: "-r 32:2 true"}, {args: "-r 1:32 true"},
	{args: "-r 15 true"}, {args: "-r TERM:INT true"}, {args: "-r 15:x true"}, {args: "-r 15:15x true"}, {args: "-r 15::3 true"}, {args: "-r ~1:~2 true"},
	{args: "-r 15:-1 true"}, {args: "-r -1:3 true"}, {args: "-r 1:2:3 true"}, {args: "-r 9:9 true"}, {args: "-r 17:3 true"}, {args: "-r _ true"},
	{args: "-r +15:+3 true"}, {args: "-r 15~:3 true"}, {args: "-r"}, {args: "--rewrite"}, {args: "--rewrite= true"}, {args: "-r true"},
	{args: "-v true"}, {args: "--verbose true"}, {args: "-vc true"}, {args: "-cvr15:3 true"}, {args: "-cr 15:3 true"},
	{args: "--ver true"}, {args: "--verb true"}, {args: "--vers true"}, {args: "--v=1 true"}, {args: "--=x true"}, {args: "-: true"}, {args: "-; true"},
	{args: "--version"}, {args: "--version=3"}, {args: "-V"}, {args: "-cV true"}, {args: "-h"}, {args: "--help"}, {args: "-ch true"}, {args: "-Vh"}, {args: "-hV"}, {args: "-hZ"},
	{args: "-cZ true"}, {args: "-g true"},
	{args: "-v true", env: "DUMB_INIT_SETSID=0"}, {args: "true", env: "DUMB_INIT_DEBUG=1"}, {args: "true", env: "DUMB_INIT_DEBUG=0"},
	{args: "true", env: "DUMB_INIT_DEBUG="}, {args: "true", env: "DUMB_INIT_DEBUG=true"},
	{args: "sh -c exit~42"}, {args: "echo -v -h", exact: true}, {args: "echo -- x", exact: true}, {args: "-v -- echo x", exact: true},
	{args: "sh -c test~$(ps~-o~sid=~-p~$$)~-eq~$$"},
	{args: "sh -c test~$(ps~-o~sid=~-p~$$)~-eq~$$", env: "DUMB_INIT_SETSID=0"},
	{args: "sh -c test~$(ps~-o~sid=~-p~$$)~-eq~$$", env: "DUMB_INIT_SETSID=00"},
	{args: "-c sh -c test~$(ps~-o~pgid=~-p~$$)~-eq~$$"},
}

var catatonitCases = []peerCase{
	{args: "-g -- true"}, {args: "-g true"}, {args: "-gZ true"}, {args: "-V"}, {args: "--version"}, {args: "--ver"}, {args: "--v true"},
	{args: "--version=1"}, {args: "-gV true"}, {args: "-h"}, {args: "--help"}, {args: "-hV"}, {args: "-Vh"}, {args: "-L"}, {args: "-LV"}, {args: "-g"}, {args: "-g --"},
	{args: "true", env: "CATATONIT_LOG=1"}, {args: "-h", env: "CATATONIT_LOG="}, {args: "true", env: "CATATONIT_DEBUG="},
	{args: "echo -- x", exact: true}, {args: "echo a -- -b", exact: true}, {args: "echo -- x", exact: true, env: "POSIXLY_CORRECT=1"},
	{args: "-- sh -c echo~$LISTEN_PID", exact: true, env: "LISTEN_PID=7"}, {args: "-- sh -c echo~$LISTEN_PID", exact: true},
	// It looks for its own options among the command's words.
	{args: "sh -c exit~42", other: &outcome{code: 42}},
	{args: "echo -g x", other: &outcome{out: "-g x\n"}},
}

func TestPeers(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"lines": "x\n", "junk": "no-such-thing-inside", "no-bang": "echo $0 $1 $#\n", "orphan": "#!/no/such/interpreter\n"} {
		mode := os.FileMode(0o755)
		if name == "lines" {
			mode = 0o644
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, cases := range map[string][]peerCase{"tini": tiniCases, "docker-init": {{args: "--version"}, {args: "-h"}, {args: "-Z"}}, "dumb-init": dumbInitCases, "catatonit": catatonitCases} {
		t.Run(name, func(t *testing.T) {
			peer, err := exec.LookPath(name)
			if err != nil {
				t.Skipf("%s is not installed: nothing to compare with", name)
			}
			ours := binary(t, name)
			for _, c := range append(append(append([]peerCase{}, failing...), running...), cases...) {
				compare(t, c, try(t, dir, peer, fields(c.env), fields(c.args)), try(t, dir, ours, fields(c.env), fields(c.args)))
			}
		})
	}
}

func compare(t *testing.T, c peerCase, peer, ours outcome) {
	t.Helper()
	at := strings.TrimSpace(c.env + " " + c.args)
	if c.other != nil {
		if ours.code != c.other.code || ours.out != c.other.out {
			t.Errorf("[%s]: %+v, want %+v", at, ours, *c.other)
		}
		if ours == peer {
			t.Errorf("[%s]: no difference from the peer after all: %+v", at, peer)
		}
		return
	}
	if ours.code != peer.code || c.exact && ours.out != peer.out || (ours.out == "") != (peer.out == "") || (ours.err == "") != (peer.err == "") {
		t.Errorf("[%s]:\n ours %+v\n peer %+v", at, ours, peer)
	}
}
