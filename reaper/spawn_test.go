package reaper

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/command"
)

func ptr[T any](v T) *T { return &v }

// status runs a worker that copies its /proc/self files, and returns them.
func (g *rig) dump(s Spec) string {
	g.t.Helper()
	out := g.file("out")
	f, err := os.Create(out)
	if err != nil {
		g.t.Fatal(err)
	}
	defer f.Close()
	s.Stdout, s.Stderr = f, f
	if e := g.exit(g.spawn(s)); e.Code() != 0 {
		b, _ := os.ReadFile(out)
		g.t.Fatalf("%v: %s", e, b)
	}
	b, _ := os.ReadFile(out)
	return string(b)
}

func TestChildStartsClean(t *testing.T) {
	g := newRig(t)
	leak, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	out := g.dump(g.sh("w", `grep -E 'Sig(Blk|Ign|Cgt)' /proc/$$/status; ls -l /proc/$$/fd; ulimit -n; ps -o pid=,pgid=,sid= -p $$; echo $PROCGUARD_INSTANCE`))
	for _, l := range []string{"SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"} {
		if !strings.Contains(out, l) {
			t.Errorf("no %q in %s", l, out)
		}
	}
	if strings.Contains(out, "/dev/zero") || !strings.Contains(out, "0 -> /dev/null") {
		t.Errorf("descriptors: %s", out)
	}
	if !strings.Contains(out, g.ns+"w#1") {
		t.Errorf("no marker in %s", out)
	}
	f := strings.Fields(out[strings.LastIndex(strings.TrimSpace(out[:strings.Index(out, g.ns)]), "\n"):])
	if f[0] != f[1] || f[0] != f[2] {
		t.Errorf("not a session leader: %q", f)
	}
}

// The runtime raises RLIMIT_NOFILE for itself; children get what we were given.
func TestRlimitNofileRestored(t *testing.T) {
	g := newRig(t)
	want := strings.TrimSpace(g.dump(Spec{Argv: []string{"/bin/sh", "-c", `ulimit -Sn`}}))
	for range 3 {
		s := g.sh("w", `ulimit -Sn`)
		s.Umask = ptr(0o22) // through the shim, whose runtime raises it once more
		if got := strings.TrimSpace(g.dump(s)); got != want {
			t.Errorf("with the shim %s, without %s", got, want)
		}
	}
}

// mayLowerNice looks for CAP_SYS_NICE (bit 23 of the effective set), which root
// of an ordinary container does not have.
func mayLowerNice() bool {
	data, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(data), "CapEff:\t")
	word, _, _ := strings.Cut(rest, "\n")
	caps, err := strconv.ParseUint(word, 16, 64)
	return err == nil && caps&(1<<23) != 0
}

func TestShimAttributes(t *testing.T) {
	if os.Getuid() != 0 || !mayLowerNice() {
		t.Skip("needs root with CAP_SYS_NICE to lower nice and set a user")
	}
	g := newRig(t)
	dir := t.TempDir()
	_ = os.Chmod(dir, 0o755)
	_ = os.Chmod(filepath.Dir(dir), 0o755)
	s := g.sh("w", `umask; nice; grep -E 'open files|core file|processes' /proc/self/limits
		grep -E 'Cpus_allowed_list|^Uid|^Gid|Groups|SigBlk|SigIgn' /proc/self/status
		cat /proc/self/oom_score_adj; pwd; cat <&3; echo "$ODD"; ls /proc/$$/fd; tr '\0' ' ' </proc/$$/cmdline`)
	r, w, _ := os.Pipe()
	_, _ = w.WriteString("extra\n")
	w.Close()
	defer r.Close()
	s.Extra = []*os.File{r}
	s.Dir = dir
	s.Env = append(os.Environ(), "ODD=a\xffb\n\x01c")
	s.Umask, s.Nice, s.OOMScoreAdj = ptr(0o27), ptr(-3), ptr(321)
	s.Rlimits = []Rlimit{{unix.RLIMIT_NOFILE, 123, 456}, {unix.RLIMIT_CORE, 0, 0}, {unix.RLIMIT_NPROC, 9999, 9999}}
	s.CPUs = []int{0}
	s.Credential = &syscall.Credential{Uid: 65534, Gid: 65533, Groups: []uint32{1, 2}}
	out := g.dump(s)
	for _, want := range []string{
		"0027\n-3\n", "Cpus_allowed_list:\t0\n", "Uid:\t65534\t65534\t65534\t65534", "Gid:\t65533\t65533\t65533\t65533",
		"Groups:\t1 2", "SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "\n321\n", "\n" + dir + "\nextra\na\xffb\n\x01c\n0\n1\n2\n3\n/bin/sh -c",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	for _, want := range [][]string{{"Max open files", "123", "456"}, {"Max core file size", "0", "0"}, {"Max processes", "9999", "9999"}} {
		if !hasLimit(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}

func hasLimit(out string, want []string) bool {
	for _, l := range strings.Split(out, "\n") {
		if rest, ok := strings.CutPrefix(l, want[0]); ok {
			f := strings.Fields(rest)
			return f[0] == want[1] && f[1] == want[2]
		}
	}
	return false
}

func TestCredentialWithoutShim(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to set a user")
	}
	g := newRig(t)
	s := g.sh("w", `id -u; id -g; id -G`)
	s.Credential = &syscall.Credential{Uid: 65534, Gid: 65533}
	if out := g.dump(s); out != "65534\n65533\n65533\n" {
		t.Errorf("got %q", out)
	}
}

// An inherited "ignore" must not reach the children: neither one that the runtime
// handles, nor one that needs the shim.
func TestIgnoredSignalsReset(t *testing.T) {
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTTOU)
	defer func() {
		signal.Reset(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTTOU)
		resetSignals() // Reset leaves those ignored for which the runtime has no handler
	}()
	g := newRig(t)
	if ignores(int(syscall.SIGHUP)) || !ignores(int(syscall.SIGTTOU)) {
		t.Fatal("the test's premise does not hold")
	}
	if out := g.dump(g.sh("w", `grep SigIgn /proc/self/status`)); out != "SigIgn:\t0000000000000000\n" {
		t.Errorf("got %s", out)
	}
}

func TestBlockedSignalsUnblocked(t *testing.T) {
	g := newRig(t)
	done := make(chan error)
	go func() { // on a thread with TERM blocked, as all of ours would be
		var set, old unix.Sigset_t
		set.Val[0] = 1 << (unix.SIGTERM - 1)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		_ = unix.PthreadSigmask(unix.SIG_BLOCK, &set, &old)
		defer unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
		p, err := g.r.Spawn(g.sh("masked", `grep -q 'SigBlk:.0000000000000000' /proc/self/status`))
		if err == nil && g.exit(p).Code() != 0 {
			err = errors.New("child has blocked signals")
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestEnviron(t *testing.T) {
	r := newReaper(Options{})
	r.outer = "up/1"
	got := r.environ(&Spec{Instance: "me/2", Env: []string{"A=1", "PROCGUARD_INSTANCE=x", "B=2", "A=3", "PROCGUARD_INSTANCE_OUTER=y"}})
	if s := strings.Join(got, " "); s != "A=3 B=2 PROCGUARD_INSTANCE=me/2 PROCGUARD_INSTANCE_OUTER=up/1" {
		t.Errorf("got %s", s)
	}
}

func TestExecErrors(t *testing.T) {
	g := newRig(t)
	dir := t.TempDir()
	write := func(name, body string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(body), mode); err != nil {
			t.Fatal(err)
		}
		_ = os.Chmod(p, mode)
		return p
	}
	write("plain", "no program\n", 0o644)
	tests := []struct {
		name string
		spec Spec
		kind command.Kind
		code int
		text string
	}{
		{"not in PATH", Spec{Argv: []string{"nosuch"}, Env: []string{"PATH=/bin:/x"}}, command.NotFound, 127, `cannot run "nosuch": not found in PATH (/bin:/x)`},
		{"no file", Spec{Argv: []string{"/no/such"}}, command.NotFound, 127, "/no/such: no such file"},
		{"relative to Dir", Spec{Argv: []string{"./no"}, Dir: dir}, command.NotFound, 127, "no such file in " + dir},
		{"under a file", Spec{Argv: []string{"/dev/null/x"}}, command.NotFound, 127, "no such file"},
		{"mode", Spec{Argv: []string{dir + "/plain"}}, command.NotExecutable, 126, "permission denied"},
		{"mode in PATH", Spec{Argv: []string{"plain"}, Env: []string{"PATH=" + dir}}, command.NotExecutable, 126, dir + "/plain: permission denied"},
		{"directory", Spec{Argv: []string{dir}}, command.IsDirectory, 126, "is a directory"},
		{"format", Spec{Argv: []string{write("format", "echo no hash bang\n", 0o755)}}, command.BadFormat, 126, "exec format error"},
		{"interpreter", Spec{Argv: []string{write("script", "#! /no/python3 -u\n", 0o755)}}, command.NoInterpreter, 127, "its interpreter /no/python3 is missing"},
		{"carriage return", Spec{Argv: []string{write("crlf", "#!/bin/sh\r\necho\r\n", 0o755)}}, command.NoInterpreter, 127, `"/bin/sh\r" is missing`},
		{"loader", Spec{Argv: []string{write("elf", elfWith("/lib/no-ld.so"), 0o755)}}, command.NoInterpreter, 127, "its interpreter /lib/no-ld.so is missing"},
		{"no Dir", Spec{Argv: []string{"true"}, Dir: "/no/dir"}, command.BadDir, 125, "working directory /no/dir: no such file"},
		{"Dir is a file", Spec{Argv: []string{"true"}, Dir: dir + "/plain"}, command.BadDir, 125, "not a directory"},
		{"nice", Spec{Argv: []string{"true"}, CPUs: []int{1 << 20}}, command.BadAttribute, 125, "cannot set cpu affinity: invalid argument"},
		{"limit", Spec{Argv: []string{"true"}, Rlimits: []Rlimit{{99, 1, 1}}}, command.BadAttribute, 125, "cannot set resource limit: invalid argument"},
		{"big", Spec{Argv: []string{"true", strings.Repeat("x", 4<<20)}}, command.Other, 126, "argument list too long"},
	}
	for _, tt := range tests {
		for _, shim := range []bool{false, true} {
			if shim {
				tt.spec.Umask = ptr(0o22)
			}
			_, err := g.r.Spawn(tt.spec)
			var e *ExecError
			if !errors.As(err, &e) || e.Kind != tt.kind {
				t.Errorf("%s (shim %v): %v", tt.name, shim, err)
				continue
			}
			if e.Code != tt.code || !strings.Contains(e.Error(), tt.text) {
				t.Errorf("%s (shim %v): code %d, %q", tt.name, shim, e.Code, e)
			}
		}
	}
	if s := g.r.Stats(); s.SpawnFailed != uint64(2*len(tests)) || s.Live != 0 || s.Exits != 0 {
		t.Errorf("stats %+v", s)
	}
}

// elfWith is the least ELF file that asks for a dynamic loader.
func elfWith(loader string) string {
	b, _ := os.ReadFile("/proc/self/exe")
	head := bytes.Clone(b[:64])
	le := binary.LittleEndian
	le.PutUint16(head[16:], 2) // ET_EXEC
	le.PutUint64(head[32:], 64)
	le.PutUint16(head[54:], 56)
	le.PutUint16(head[56:], 1)
	ph := make([]byte, 56)
	le.PutUint32(ph, 3) // PT_INTERP
	le.PutUint64(ph[8:], 120)
	le.PutUint64(ph[32:], uint64(len(loader)+1))
	le.PutUint64(ph[40:], uint64(len(loader)+1))
	return string(head) + string(ph) + loader + "\x00"
}

func TestLookPathInWorkersWorld(t *testing.T) {
	g := newRig(t)
	dir := t.TempDir()
	_ = os.Mkdir(dir+"/bin", 0o755)
	for _, f := range []string{"/bin/here", "/here"} {
		_ = os.WriteFile(dir+f, []byte("#!/bin/sh\necho $0\n"), 0o755)
	}
	for path, want := range map[string]string{"bin": "bin/here\n", dir + "/bin": dir + "/bin/here\n", "": "./here\n"} {
		s := g.spec("w", "here")
		s.Dir, s.Env = dir, []string{"PATH=" + path}
		if out := g.dump(s); out != want {
			t.Errorf("PATH=%s: got %q want %q", path, out, want)
		}
	}
}

func TestForkLimit(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to run a worker as another user with a limit")
	}
	g := newRig(t)
	s := g.spec("w", "sleep", "1000")
	s.Credential = &syscall.Credential{Uid: 54321, Gid: 54321}
	p := g.spawn(s)
	defer g.r.Kill(p)
	s = g.sh("w", `exit 0`)
	s.Credential = &syscall.Credential{Uid: 54321, Gid: 54321}
	s.Rlimits = []Rlimit{{unix.RLIMIT_NPROC, 0, 0}}
	_, err := g.r.Spawn(s)
	var e *ExecError
	if !errors.As(err, &e) || e.Kind != command.NoResources || !e.Temporary() || e.Code != 125 {
		t.Errorf("got %v", err)
	}
}

// The shim's name alone must not turn a program into the shim.
func TestShimNotByAccident(t *testing.T) {
	g := newRig(t)
	s := g.spec("w", shimName, "3", "/bin/false")
	s.Path = "/proc/self/exe"
	s.Env = append(os.Environ(), "REAPER_TEST_ROLE=accident")
	if _, ok := readOrder(0); ok {
		t.Fatal("stdin is taken for an order")
	}
	r, w, _ := os.Pipe()
	defer r.Close()
	_, _ = w.WriteString(shimMagic + `{"Path":"L2Jpbi9mYWxzZQ=="}`)
	w.Close()
	s.Extra = []*os.File{r}
	if e := g.exit(g.spawn(s)); e.Code() != 77 {
		t.Errorf("the program did not run as itself: %v", e)
	}
}

func init() { roles["accident"] = func() int { return 77 } }
