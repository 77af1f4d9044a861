package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// subject is an init: the words that stand before the command, none for no init at all.
type subject struct {
	name string
	argv []string
}

func (s *subject) line(command string) []string {
	return append(s.argv[:len(s.argv):len(s.argv)], command)
}

// runOnce runs a command that writes one stamp. at is when it began, end when the init's
// exit code was read, both since just before the init was forked.
func (s *subject) runOnce(command string, in, out *os.File, stamps *os.File) (at, end time.Duration, err error) {
	argv := s.line(command)
	attr := &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{in.Fd(), out.Fd(), 2}}
	from := now()
	pid, err := syscall.ForkExec(argv[0], argv, attr)
	if err != nil {
		return 0, 0, err
	}
	err = bareWait(pid)
	end = now() - from
	if err != nil {
		return 0, 0, err
	}
	at, err = readStamp(stamps) // it is in the pipe, or never will be
	return at - from, end, err
}

// readStamp waits for the next stamp.
func readStamp(f *os.File) (time.Duration, error) {
	var buf [stampSize]byte
	if err := f.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(f, buf[:]); err != nil {
		return 0, fmt.Errorf("no stamp from the command: %w", err)
	}
	sec, nsec := binary.NativeEndian.Uint64(buf[:]), binary.NativeEndian.Uint64(buf[8:])
	return time.Duration(sec)*time.Second + time.Duration(nsec), nil
}

// stay is an init with a command that stays.
type stay struct {
	pid    int // of the init
	first  bool
	in     *os.File // the command's standard input
	stamps *os.File // what it writes
}

// launch starts a command that stays under the init, as PID 1 of a new namespace where h
// says so. It does not wait for anything.
func (s *subject) launch(h how, command string) (*stay, error) {
	argv, sys := s.line(command), &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if h == asFirst {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		argv = append([]string{self, roleFirst}, argv...)
		sys = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	}
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	stamps, theirOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, theirIn.Close(), in.Close())
	}
	y := &stay{first: h == asFirst, in: in, stamps: stamps}
	y.pid, err = syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{theirIn.Fd(), theirOut.Fd(), 2}, Sys: sys})
	err = errors.Join(err, theirIn.Close(), theirOut.Close())
	if err != nil {
		y.closeFiles()
		return nil, err
	}
	return y, nil
}

// end kills a namespace with all that is in it; elsewhere TERM ends the command, and
// with it the init.
func (y *stay) end() error {
	sig := syscall.SIGTERM
	if y.first {
		sig = syscall.SIGKILL
	}
	err := bareEnd(sig, y.pid)
	y.closeFiles()
	return err
}

func (y *stay) closeFiles() {
	_ = y.in.Close()
	_ = y.stamps.Close()
}

// signal sends USR1 to the init, and says how long it took to reach the command.
func (y *stay) signal() (time.Duration, error) {
	from := now()
	if err := syscall.Kill(y.pid, syscall.SIGUSR1); err != nil {
		return 0, err
	}
	at, err := readStamp(y.stamps)
	return at - from, err
}

// cpu is what all threads have used since their start.
func (y *stay) cpu() (time.Duration, error) {
	all, err := threads(y.pid)
	var sum time.Duration
	for _, t := range all {
		sum += t.cpu
	}
	return sum, err
}

// wakesOf gives the number of threads of a process, and how often one of them went to
// sleep since its start.
func wakesOf(pid int) (count, wakes int, err error) {
	all, err := threads(pid)
	for _, t := range all {
		wakes += t.wakes
	}
	return len(all), wakes, err
}

// storm lets the command make its orphans, and gives the CPU time that the init needs
// until none is left of them.
func (y *stay) storm() (time.Duration, error) {
	before, err := y.cpu()
	if err != nil {
		return 0, err
	}
	if _, err := y.in.Write([]byte{1}); err != nil {
		return 0, err
	}
	if _, err := readStamp(y.stamps); err != nil {
		return 0, err
	}
	if err := y.awaitAlone(); err != nil {
		return 0, err
	}
	after, err := y.cpu()
	return after - before, err
}

// awaitAlone waits until the init has no child but its command.
func (y *stay) awaitAlone() error {
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		pids, err := childrenOf(y.pid)
		if err != nil || len(pids) == 1 {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d children are left: %w", len(pids)-1, errSilence)
		}
	}
}
