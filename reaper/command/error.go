package command

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
)

// Kind says why a command could not be started.
type Kind int

const (
	Other         Kind = iota // Err tells
	NotFound                  // no such file, or none in PATH
	NotExecutable             // no execute permission (or a noexec mount, or no search permission above it)
	IsDirectory
	BadFormat     // neither a program of this machine nor a script with #!
	NoInterpreter // the script's #! program or the program's dynamic loader is missing
	BadDir        // the working directory cannot be entered
	NoResources   // pids limit, memory: a try later may succeed
	Denied        // user, group or session could not be set
	BadAttribute  // umask, nice, limits, affinity, OOM score could not be set
)

// Error is why a command could not be started. No process is left of it.
type Error struct {
	Kind  Kind
	Argv0 string
	Path  string   // the file tried, "" if none was found
	Dir   string   // the command's directory, "" for ours
	Tried []string // where Argv0 was looked for
	What  string   // the missing interpreter, or the attribute
	Err   error    // the errno
	// Code is what an init exits with: 127 not found, 126 found but not
	// executable, 125 could not start for another reason.
	Code int
}

func (e *Error) Unwrap() error { return e.Err }

// Temporary says that the same Spawn may succeed later.
func (e *Error) Temporary() bool {
	return e.Kind == NoResources || errors.Is(e.Err, syscall.ETXTBSY)
}

func (e *Error) Error() string {
	return fmt.Sprintf("cannot run %q: %s", e.Argv0, e.reason())
}

func (e *Error) reason() string {
	switch e.Kind {
	case NotFound:
		if len(e.Tried) > 0 {
			return "not found in PATH (" + strings.Join(e.Tried, ":") + ")"
		}
		return fmt.Sprintf("%s: no such file%s", e.Path, e.in())
	case NotExecutable:
		return fmt.Sprintf("%s: permission denied (is it executable?)", e.Path)
	case IsDirectory:
		return e.Path + ": is a directory"
	case BadFormat:
		return e.Path + ": exec format error (another machine's program, or a script without #!)"
	case NoInterpreter:
		return fmt.Sprintf("%s: its interpreter %s is missing", e.Path, e.What)
	case BadDir:
		return fmt.Sprintf("working directory %s: %v", e.Dir, e.Err)
	case NoResources:
		return fmt.Sprintf("out of processes or memory: %v", e.Err)
	case Denied:
		return fmt.Sprintf("cannot set user, group, session or terminal: %v", e.Err)
	case BadAttribute:
		return fmt.Sprintf("cannot set %s: %v", e.What, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Path, e.Err)
}

func (e *Error) in() string {
	if e.Dir == "" || filepath.IsAbs(e.Path) {
		return ""
	}
	return " in " + e.Dir
}

// code is what an init exits with.
func (k Kind) code() int {
	switch k {
	case NotFound, NoInterpreter:
		return 127
	case NotExecutable, IsDirectory, BadFormat, Other:
		return 126
	}
	return 125
}
