package fleet

import (
	"time"

	"github.com/procguard/procguard/state"
)

// Action is something to be done. The set is closed. Actions of one Step come
// in this order: at most one Persist, then all others as they were decided.
type Action interface{ action() }

// Persist makes records durable. With Sync the caller waits for the disk (for
// so long as it is willing to) before it carries out what follows.
type Persist struct {
	Records []state.Record
	Sync    bool
}

// Spawn makes a process for a worker. Tasks is the caller's to keep.
type Spawn struct {
	Worker   string
	Gen      uint64
	Epoch    uint64
	Restarts int // starts of this worker before this one
	Tasks    []string
	Rank     *Rank // nil unless Ranked
}

// Rank is a worker's place in its group's world.
type Rank struct {
	Rank, World int
	// Rendezvous names the meeting of these ranks. Spawns with the same name
	// meet at the same port, another name means a fresh one.
	Rendezvous string
}

// Adopt watches a survivor from now on as if it had been spawned.
type Adopt struct {
	Worker string
	Gen    uint64
	PID    int
	Ticks  uint64
}

// Signal sends a signal to the leader, or to its process group.
type Signal struct {
	Worker string
	Gen    uint64
	Signal int
	Group  bool
}

// Kill sends SIGKILL to everything of an instance.
type Kill struct {
	Worker string
	Gen    uint64
}

// Retask says that a living worker's tasks have changed: its task file must
// be written again.
type Retask struct {
	Worker string
	Gen    uint64
}

// Dump asks for evidence of a living worker that has been judged, before
// anything is done to it. It is answered by Dumped; the worker's DumpTimeout
// bounds the wait. Where nothing will be done to it nobody waits for the answer.
type Dump struct {
	Worker string
	Gen    uint64
	Cause  state.Cause
}

// Emit tells whoever listens.
type Emit struct{ Note Note }

// Exit ends the program. Nothing follows it and no process is left, but for
// the unkillable ones that Why names.
type Exit struct {
	Code int
	Why  string
}

func (Persist) action() {}
func (Spawn) action()   {}
func (Adopt) action()   {}
func (Signal) action()  {}
func (Kill) action()    {}
func (Retask) action()  {}
func (Dump) action()    {}
func (Emit) action()    {}
func (Exit) action()    {}

// NoteKind names what a Note tells.
type NoteKind string

// The kinds of notes. Those of a chain carry its Incident.
const (
	NoteStarted   NoteKind = "started"
	NoteAdopted   NoteKind = "adopted"
	NoteReady     NoteKind = "ready"
	NoteExited    NoteKind = "exited"   // Cause; Expected if we had asked for it
	NoteStopping  NoteKind = "stopping" // a worker was asked to stop
	NoteKilling   NoteKind = "killing"  // it did not; Text says for how long
	NoteStuck     NoteKind = "unkillable"
	NoteGone      NoteKind = "gone" // nothing of it is left, later than its exit
	NoteDone      NoteKind = "done"
	NoteExcluded  NoteKind = "excluded"
	NoteStandby   NoteKind = "standby" // it takes the place that Text names
	NoteRetry     NoteKind = "retry"   // failed while its group comes back: tried alone after Delay
	NoteMoved     NoteKind = "moved"   // Tasks went to Worker from From
	NoteSetAside  NoteKind = "set_aside"
	NotePhase     NoteKind = "phase" // Phase of Group
	NoteShrunk    NoteKind = "shrunk"
	NoteHeld      NoteKind = "held"
	NoteReloaded  NoteKind = "reloaded"
	NoteStopAll   NoteKind = "stop"     // the whole fleet stops; Text says why
	NoteFinished  NoteKind = "finished" // Text says why, Code
	NoteRestarted NoteKind = "restart"  // an exit that is no failure; comes back after Delay

	NoteSuspected NoteKind = "suspected" // Cause: judged while alive; dumped first, for at most Delay
	NoteHung      NoteKind = "hung"      // Cause, Incident: judged, and nothing is done about it
	NoteWell      NoteKind = "well"      // Cause, Incident: a verdict is taken back; Text says by which sign
)

// Note is an event for people and programs that watch. The zero value of a
// field means that it does not apply.
type Note struct {
	Kind     NoteKind
	Time     time.Time
	Worker   string
	Gen      uint64
	PID      int
	Group    string
	Incident uint64
	Epoch    uint64
	Phase    state.Phase
	Attempt  int
	Cause    *state.Cause
	Expected bool // an exit that followed our stop: a victim, if in a chain
	Culprit  bool // this failure opened or re-opened the chain
	Tasks    []string
	From     string
	Delay    time.Duration
	Code     int
	Text     string
}
