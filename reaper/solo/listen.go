package solo

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/catch"
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
	release()
	err := syscall.Exec(argv[1], argv[2:], env)
	e := command.File{Path: argv[1]}.Explain(err)
	_, _ = os.Stderr.WriteString("procguard: " + e.Error() + "\n")
	os.Exit(e.Code)
}

// release has signals that were meant for the command do to us what they would have done
// to it at its first instruction.
func release() {
	catch.Default()
	catch.SetMask(0)
	var rec catch.Record
	b := unsafe.Slice((*byte)(unsafe.Pointer(&rec)), catch.Size)
	r, w := catch.Files()
	if w == 0 {
		return // there was no queue to be had
	}
	_ = unix.SetNonblock(r, true)
	for n, _ := unix.Read(r, b); n == len(b); n, _ = unix.Read(r, b) {
		_ = unix.Kill(os.Getpid(), syscall.Signal(rec.Signo))
	}
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
	// Without /proc the command has to do without the sockets.
	if !s.o.ListenPID || unix.Access("/proc/self/exe", unix.X_OK) != nil {
		return false
	}
	for _, kv := range env {
		if kv == listenPID+strconv.Itoa(os.Getpid()) {
			return true
		}
	}
	return false
}
