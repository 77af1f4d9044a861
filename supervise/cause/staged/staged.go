package staged

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/procguard/procguard/supervise/cause"
)

// Need is what a case needs of the machine.
type Need string

// What cases need.
const (
	Root      Need = "root"          // to write to cgroups
	Mount     Need = "mount"         // the right to mount a tmpfs
	Python    Need = "python3"       // in the PATH
	Memory    Need = "memory"        // a memory cgroup of its own, with Limit bytes
	Container Need = "container"     // the limit is the container's, the worker shares it
	Pids      Need = "pids"          // a pids cgroup of its own, with Limit processes
	AMD64     Need = "amd64"         // machine code
	Core      Need = "core files"    // core_pattern names a file
	Linked    Need = "a dynamic ELF" // /bin/true is linked with libc.so.6
)

// Act is what the test does to the program once it has printed "ready".
type Act string

// The acts.
const (
	Nothing Act = ""
	Kill    Act = "kill"   // SIGKILL, by somebody else
	Term    Act = "term"   // SIGTERM, by somebody else
	Hup     Act = "hup"    // SIGHUP, by somebody else
	Freeze  Act = "freeze" // SIGSTOP; then it is judged as hung
	Hang    Act = "hang"   // it is judged as hung
	Stop    Act = "stop"   // SIGTERM by ProcGuard
	End     Act = "end"    // SIGKILL by ProcGuard
)

// Case is one way to die.
type Case struct {
	Name  string
	Argv  []string
	Files map[string]string // by name, in the working directory; executable
	Needs []Need
	Limit int64 // of the cgroup that it needs
	Act   Act
	// Children says that processes of it outlive it.
	Children bool

	Class cause.Class
	// Dark is the class where the kernel's log cannot be read, or names pids of
	// another namespace, if that changes it.
	Dark  cause.Class
	Words []string // in the reason
	// Sender is the beginning of who sent the signal, "" where there was none.
	Sender string
}

// Write makes the case's files in dir and gives its command.
func (c *Case) Write(dir string) ([]string, error) {
	for name, text := range c.Files {
		text = strings.ReplaceAll(text, "{dir}", dir)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			return nil, err
		}
	}
	argv := make([]string, len(c.Argv))
	for i, a := range c.Argv {
		argv[i] = strings.ReplaceAll(a, "{dir}", dir)
	}
	return argv, nil
}

// Needed says whether the case needs something.
func (c *Case) Needed(n Need) bool {
	for _, have := range c.Needs {
		if have == n {
			return true
		}
	}
	return false
}

func sh(script string) []string { return []string{"/bin/sh", "-c", script} }

func python(script string) []string { return []string{"python3", "-u", "-c", script} }

// All are the cases, the cheap ones first.
func All() []Case {
	var all []Case
	for _, list := range [][]Case{exits(), programs(), signals(), faults(), resources(), hangs(), memory()} {
		all = append(all, list...)
	}
	return all
}
