package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// keep is PID 1 above an init that is not: it starts it in a process group of its
// own, as a shell does with a job, and tells of every change of its state. It ends
// when the init has, and another line is read from the standard input or it is killed.
func keep(args []string) int {
	runtime.LockOSThread()
	var s setup
	if err := json.Unmarshal([]byte(args[0]), &s); err != nil {
		return stuck(err)
	}
	if err := s.mounts(); err != nil {
		return stuck(err)
	}
	s.Mounted = true
	return s.parent(args[1:])
}

// between is a process whose death the init is to notice.
func between(args []string) int {
	runtime.LockOSThread()
	var s setup
	if err := json.Unmarshal([]byte(args[0]), &s); err != nil {
		return stuck(err)
	}
	return s.parent(args[1:])
}

func (s setup) parent(argv []string) int {
	role := "@box"
	if s.Depth > 0 {
		role = "@between"
		s.Depth--
	}
	how, err := json.Marshal(s)
	if err != nil {
		return stuck(err)
	}
	self, err := os.Executable()
	if err != nil {
		return stuck(err)
	}
	unix.CloseOnExec(fdExec)
	unix.CloseOnExec(fdNews)
	exec, news := os.NewFile(fdExec, "exec"), os.NewFile(fdNews, "news")
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr, exec, news}
	p, err := os.StartProcess(self, append([]string{self, role, string(how)}, argv...), &os.ProcAttr{
		Files: files, Env: os.Environ(), Sys: &syscall.SysProcAttr{Setpgid: !s.SameTTY},
	})
	if err != nil {
		return stuck(err)
	}
	exec.Close()
	if role == "@box" {
		fmt.Fprintln(news, "init", p.Pid)
	}
	return watch(p.Pid, news)
}

// watch reaps everything, and stays when the init has ended, so that what it left
// can be looked at.
func watch(pid int, news *os.File) int {
	for {
		var w syscall.WaitStatus
		got, err := syscall.Wait4(-1, &w, syscall.WUNTRACED|unix.WCONTINUED, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			select {}
		case got == pid:
			tell(news, w)
		}
	}
}

func tell(news *os.File, w syscall.WaitStatus) {
	switch {
	case w.Stopped():
		fmt.Fprintln(news, "stopped")
	case w.Continued():
		fmt.Fprintln(news, "continued")
	default:
		fmt.Fprintln(news, "ended", uint32(w))
	}
}
