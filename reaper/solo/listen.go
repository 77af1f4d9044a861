package solo

import (
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/procguard/procguard/reaper/command"
)

// Sockets that a service manager hands over are for the process whose pid LISTEN_PID is
// (sd_listen_fds(3)). A process learns its pid when it exists, so where ListenPID is asked
// for this program is executed in between: Listener sets the variable and executes
// the command.
const listenName = "procguard-listen"

// Listener takes over in such a process; else it returns. It is to be called first.
func Listener(argv []string) {
	if len(argv) < 3 || argv[0] != listenName {
		return
	}
	env := append(withoutListenPID(os.Environ()), listenPID+strconv.Itoa(os.Getpid()))
	err := syscall.Exec(argv[1], argv[2:], env)
	e := command.File{Path: argv[1]}.Explain(err)
	_, _ = os.Stderr.WriteString("procguard: " + e.Error() + "\n")
	os.Exit(e.Code)
}

const listenPID = "LISTEN_PID="

func withoutListenPID(env []string) (out []string) {
	for _, kv := range env {
		if !strings.HasPrefix(kv, listenPID) {
			out = append(out, kv)
		}
	}
	return out
}

// passesSockets says that sockets were handed to us and are meant for the command.
func (s *solo) passesSockets(env []string) bool {
	if !s.o.ListenPID {
		return false
	}
	for _, kv := range env {
		if kv == listenPID+strconv.Itoa(os.Getpid()) {
			return true
		}
	}
	return false
}
