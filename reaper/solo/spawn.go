package solo

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/catch"
	"github.com/procguard/procguard/reaper/command"
)

// ttou is what the main thread blocks while the command has the terminal.
const ttou = 1 << (unix.SIGTTOU - 1)

// spawn starts the command. The handlers that are in place are reset by the exec, also
// for signals that were ignored when we started; the mask is empty since catch.
func (s *solo) spawn() error {
	attr := s.attr()
	s.terminal = findTerminal()
	switch s.o.Own {
	case OwnGroup:
		attr.Sys.Setpgid = true
		if s.foreground() {
			attr.Sys.Foreground, attr.Sys.Ctty = true, s.fd
		}
	case OwnSession:
		attr.Sys.Setsid = true
		if s.release() {
			attr.Sys.Setctty, attr.Sys.Ctty = true, s.fd
		}
	}
	var err error
	s.pid, err = s.fork(s.o.Argv, attr)
	s.group = s.o.Own != OwnNothing
	if err == nil {
		s.log(2, fmt.Sprintf("started %s as pid %d", s.o.Argv[0], s.pid))
	}
	// From now on we may use the terminal although the command has it.
	catch.SetMask(ttou)
	return err
}

func (s *solo) attr() *syscall.ProcAttr {
	a := &syscall.ProcAttr{Files: []uintptr{0, 1, 2}, Env: s.o.Env, Dir: s.o.Dir, Sys: &syscall.SysProcAttr{Credential: s.o.Credential}}
	if a.Env == nil {
		a.Env = os.Environ()
	}
	return a
}

func (s *solo) fork(argv []string, attr *syscall.ProcAttr) (int, error) {
	file, err := command.Find(command.Line{Argv0: argv[0], Dir: attr.Dir, Env: attr.Env})
	if err != nil {
		return 0, err
	}
	path := file.Path
	if s.passesSockets(attr.Env) {
		path, argv = "/proc/self/exe", append([]string{listenName, path}, argv...)
	}
	pid, err := syscall.ForkExec(path, argv, attr)
	if err != nil {
		return 0, file.Explain(err)
	}
	return pid, nil
}

// runHook starts the pre-stop command, in a group of its own. The waiter, which would
// reap it, waits until its pid is known.
func (s *solo) runHook() {
	s.mu.Lock()
	defer s.mu.Unlock()
	attr := s.attr()
	if attr.Dir == "" {
		attr.Dir = s.dir
	}
	attr.Sys.Setpgid = true
	catch.SetMask(0)
	pid, err := s.fork(s.o.PreStop, attr)
	catch.SetMask(ttou)
	if err != nil {
		s.log(0, fmt.Sprintf("the pre-stop command: %v", err))
		s.q.post(catch.Record{Code: recHooked})
		return
	}
	s.hookPID = pid
}

// killHook leaves a pre-stop command that is dead already to the waiter: its pid is
// its own for as long as mu is held.
func (s *solo) killHook() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hookPID != 0 {
		_ = unix.Kill(-s.hookPID, unix.SIGKILL)
		s.hookPID = 0
	}
}

// send passes a signal to the command or its group. Its zombie holds the number.
func (s *solo) send(a send) {
	if s.reaped {
		return
	}
	to := s.pid
	if a.group && s.group {
		to = -to
	}
	err := kill(to, a)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		s.log(1, fmt.Sprintf("cannot send %s: %v", name(a.sig), err))
	}
}

func kill(to int, a send) error {
	if a.queued && to > 0 {
		if err := sigqueue(to, a.sig, a.value); err == nil {
			return nil
		}
	}
	return unix.Kill(to, a.sig)
}
