package solo

import (
	"os"

	"golang.org/x/sys/unix"
)

// terminal is our controlling terminal, if one of the standard files is it.
type terminal struct {
	fd   int
	have bool
}

func findTerminal() terminal {
	for fd := range 3 {
		if _, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err == nil {
			return terminal{fd, true}
		}
	}
	return terminal{}
}

// foreground says whether the terminal is our group's to use, and so to lend.
func (t terminal) foreground() bool {
	pgid, err := t.holder()
	return err == nil && pgid == unix.Getpgrp()
}

func (t terminal) holder() (int, error) {
	if !t.have {
		return 0, unix.ENOTTY
	}
	return unix.IoctlGetInt(t.fd, unix.TIOCGPGRP)
}

// lend gives the terminal to a group, if it is ours to give.
func (t terminal) lend(pgid int) {
	if pgid > 0 && t.foreground() {
		_ = unix.IoctlSetPointerInt(t.fd, unix.TIOCSPGRP, pgid)
	}
}

// takeBack gives the terminal to our own group, if the given one has it or nobody does.
// SIGTTOU is blocked, or this would stop us.
func (t terminal) takeBack(pgid int) {
	holder, err := t.holder()
	if err == nil && (holder == pgid || unix.Kill(-holder, 0) == unix.ESRCH) {
		_ = unix.IoctlSetPointerInt(t.fd, unix.TIOCSPGRP, unix.Getpgrp())
	}
}

// retrieve takes the terminal back from a group that is no more.
func (t terminal) retrieve() {
	if holder, err := t.holder(); err == nil && holder > 1 && unix.Kill(-holder, 0) == unix.ESRCH {
		t.takeBack(holder)
	}
}

// release gives the terminal up, for a new session to take it as its own. Only the leader
// of a session can: it gets HUP and CONT for it, from itself.
func (t terminal) release() bool {
	sid, _ := unix.Getsid(0)
	if !t.have || sid != os.Getpid() {
		return false
	}
	return unix.IoctlSetInt(t.fd, unix.TIOCNOTTY, 0) == nil
}
