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

// ttou is what the main thread blocks: we may use the terminal although the command, or
// somebody else, has it. With our handler the kernel would try again for ever.
const ttou = catch.TTOU

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
	if s.pid, err = s.fork(s.o.Argv, attr); err != nil {
		s.retrieve() // a child that could not execute had it already
		return err
	}
	s.group = s.o.Own != OwnNothing
	s.log(2, fmt.Sprintf("started %s as pid %d", s.o.Argv[0], s.pid))
	return nil
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
	catch.SetMask(0)
	pid, err := syscall.ForkExec(path, argv, attr)
	catch.SetMask(ttou)
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
	// It starts where the command did, in a directory that its user may not be able to enter.
	_ = unix.Chdir(s.dir)
	defer unix.Chdir("/")
	attr := s.attr()
	attr.Sys.Setpgid = true
	pid, err := s.fork(s.o.PreStop, attr)
	if err != nil {
		s.log(0, fmt.Sprintf("the pre-stop command: %v", err))
		s.next = hooked{} // not by the queue: it may be full, and we read it
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
