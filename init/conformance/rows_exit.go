package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

func exitRows() []row {
	return []row{
		{name: "0, 1, 42 and 255", required: true, run: ownCodes, means: "The command's exit code is the init's."},
		{name: "128+n for TERM, KILL and SEGV", required: true, run: signalCodes, means: "143, 137 and 139 where a signal ends the command."},
		{name: "signal named", run: signalSaid, means: "Standard error says that the command was killed by a signal."},
		{name: "core dump named", run: coreSaid, means: "It also says if there was a core dump; n/a where the kernel makes none."},
		{name: "not found", run: failing("/no/such/program", ""), means: "Exit code for a command that is not there, and \"named\" if the message names it."},
		{name: "not found in PATH", run: failing("no-such-program", ""), means: "Likewise, for one that was looked for in PATH."},
		{name: "not executable", run: failing("", "plain", 0o644), means: "Likewise, for a file without the permission."},
		{name: "a directory", run: failing("/tmp", ""), means: "Likewise."},
		{name: "exec format error", run: failing("", "\x7fELF nothing", 0o755), means: "Likewise, for a file that is no program."},
		{name: "interpreter missing", run: interpreter, means: "Likewise, for a script whose interpreter is not there; \"named\" if the interpreter is named."},
	}
}

func ownCodes(t *trial) verdict {
	for _, want := range []int{0, 1, 42, 255} {
		b := t.start(launch{cmd: t.me("@exit", want)})
		if code := b.wait(); code != want {
			return no("%s for %d", codeText(code), want)
		}
	}
	return yes()
}

func signalCodes(t *trial) verdict {
	for _, s := range []syscall.Signal{15, 9, 11} {
		b := t.cat(launch{})
		_ = syscall.Kill(b.child(b.pid), s)
		if code := b.wait(); code != 128+int(s) {
			return no("%s for %s", codeText(code), signalName(s))
		}
	}
	return yes()
}

// ended kills a command and gives back what the init says.
func (t *trial) ended(s syscall.Signal, set setup) string {
	b := t.cat(launch{setup: set})
	_ = syscall.Kill(b.child(b.pid), s)
	b.wait()
	b.kill()
	return strings.ToLower(b.stderrAtEnd())
}

func signalSaid(t *trial) verdict {
	said := t.ended(syscall.SIGKILL, setup{})
	return when(strings.Contains(said, "kill") || strings.Contains(said, "signal"), "")
}

// coreSaid first sees whether the kernel here dumps at all.
func coreSaid(t *trial) verdict {
	b := t.start(launch{bare: []string{"/bin/sh", "-c", "ulimit -c; sh -c 'kill -ABRT $$'; wait"}, setup: setup{Core: true, Dir: t.dir}})
	b.wait()
	before, _ := os.ReadDir(t.dir)
	if len(before) == 0 {
		return value(true, "n/a")
	}
	said := t.ended(syscall.SIGABRT, setup{Core: true, Dir: t.dir})
	return when(strings.Contains(said, "core"), "")
}

// failing starts a path, or a file with that content and mode.
func failing(path, content string, mode ...os.FileMode) func(*trial) verdict {
	return func(t *trial) verdict {
		at := path
		if len(mode) > 0 {
			at = t.file("program", content, mode[0])
		}
		return t.cannot(at, at)
	}
}

func interpreter(t *trial) verdict {
	return t.cannot(t.file("script", "#!/no/such/interpreter\n", 0o755), "/no/such/interpreter")
}

// cannot is good for 126 and 127, as shells have it.
func (t *trial) cannot(path, named string) verdict {
	b := t.start(launch{cmd: []string{path}})
	code := b.wait()
	cell := codeText(code)
	if strings.Contains(b.stderrAtEnd(), named) {
		cell = fmt.Sprintf("%s, named", cell)
	}
	return value(code == 126 || code == 127, "%s", cell)
}
