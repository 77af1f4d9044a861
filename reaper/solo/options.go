package solo

import (
	"syscall"
	"time"
)

// Own says what the command gets of its own.
type Own int

const (
	OwnGroup   Own = iota // a process group, made the terminal's foreground group if we have a terminal
	OwnSession            // a session; our terminal becomes its controlling terminal if we lead the terminal's session
	OwnNothing            // it stays in our group
)

// Options say what to run and how. Only Argv is required, or Pause.
type Options struct {
	Argv       []string
	Env        []string            // nil: ours
	Dir        string              // the command's working directory; "": ours
	Credential *syscall.Credential // nil: ours
	Pause      bool                // run nothing: reap until TERM or INT, then end with 0
	// ListenPID makes LISTEN_PID name the command where it names us (sd_listen_fds(3)).
	ListenPID bool

	Own   Own
	Group bool // signals go to the command's group, not to it alone; not with OwnNothing

	// Rewrite replaces a signal before it is passed on; 0 drops it.
	Rewrite map[syscall.Signal]syscall.Signal
	// StopSignal is sent instead of TERM, 0: TERM itself.
	StopSignal syscall.Signal
	// ParentDeath is sent to us when our own parent dies (prctl(2),
	// PR_SET_PDEATHSIG), and passed on like any other; 0: none.
	ParentDeath syscall.Signal
	// Subreaper makes orphaned descendants our children where we are not PID 1.
	Subreaper bool

	// Grace is the time that the command has after a TERM was passed on; then
	// everything is killed. A second TERM 0.1 s or more after the first kills at
	// once. 0: there is no end to the patience.
	Grace time.Duration
	// PreStop is run, with the command's environment, directory and user, before
	// the first TERM is passed on, for at most Grace (10 s if that is 0). Grace
	// counts from its start.
	PreStop []string
	// KillOrphans leaves nothing behind when the command has ended: the rest gets
	// TERM and Grace to end in, then KILL; with no Grace KILL at once.
	KillOrphans bool
	// Farewell is sent to the command's group when the command has ended, 0: none.
	Farewell syscall.Signal

	// Log gets what is worth saying, with a level: 0 fatal, 1 warning, 2 info, 3
	// debug, 4 trace. It must not block. nil: nobody listens.
	Log func(level int, text string)
	// Verbose is the highest level that Log wants to hear.
	Verbose int
	// WarnReaped logs each reaped orphan at level 1 instead of 3.
	WarnReaped bool
}

// Result is how it ended.
type Result struct {
	Status syscall.WaitStatus // of the command; 0 with Pause
	Err    error              // the command could not be started (*command.Error), or we could not go on
	Killed bool               // by us: out of patience
}
