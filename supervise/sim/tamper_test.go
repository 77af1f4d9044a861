package sim

import (
	"strings"
	"testing"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/fleet"
)

// tampered is one way to do something else than the machine has decided.
type tampered struct {
	name string
	want string // part of the rule that must be found broken
	make func() func([]fleet.Action) []fleet.Action
}

// each changes every action by itself; nil drops it.
func each(change func(fleet.Action) []fleet.Action) func() func([]fleet.Action) []fleet.Action {
	return func() func([]fleet.Action) []fleet.Action {
		return func(acts []fleet.Action) (out []fleet.Action) {
			for _, a := range acts {
				out = append(out, change(a)...)
			}
			return out
		}
	}
}

func same(a fleet.Action) []fleet.Action { return []fleet.Action{a} }

// records changes every record on its way to the disk.
func records(change func(*state.Record)) func() func([]fleet.Action) []fleet.Action {
	return each(func(a fleet.Action) []fleet.Action {
		if p, ok := a.(fleet.Persist); ok {
			for i := range p.Records {
				change(&p.Records[i])
			}
		}
		return same(a)
	})
}

var tamperings = []tampered{
	{"spawn twice", "is spawned while generation", each(func(a fleet.Action) []fleet.Action {
		if _, ok := a.(fleet.Spawn); ok {
			return []fleet.Action{a, a}
		}
		return same(a)
	})},
	{"persist nothing", "is spawned, 0 is on record", each(func(a fleet.Action) []fleet.Action {
		if _, ok := a.(fleet.Persist); ok {
			return nil
		}
		return same(a)
	})},
	{"persist every other time", "is written after record", func() func([]fleet.Action) []fleet.Action {
		n := 0
		return func(acts []fleet.Action) []fleet.Action {
			if len(acts) == 0 {
				return acts
			}
			if _, ok := acts[0].(fleet.Persist); ok {
				if n++; n%2 == 0 {
					return acts[1:]
				}
			}
			return acts
		}
	}},
	{"never wait for the disk", "is on disk", each(func(a fleet.Action) []fleet.Action {
		if p, ok := a.(fleet.Persist); ok {
			p.Sync = false
			return same(p)
		}
		return same(a)
	})},
	{"come back before all is gone", "of it live", early},
	{"kill an old generation", "is done to generation", each(func(a fleet.Action) []fleet.Action {
		if s, ok := a.(fleet.Spawn); ok && s.Gen > 1 {
			return []fleet.Action{a, fleet.Kill{Worker: s.Worker, Gen: s.Gen - 1}}
		}
		return same(a)
	})},
	{"spawn an old generation", "is on record", each(func(a fleet.Action) []fleet.Action {
		if s, ok := a.(fleet.Spawn); ok && s.Gen > 1 {
			s.Gen--
			return same(s)
		}
		return same(a)
	})},
	{"forget to spawn", "does not", each(func(a fleet.Action) []fleet.Action {
		if s, ok := a.(fleet.Spawn); ok && s.Gen > 1 {
			return nil
		}
		return same(a)
	})},
	{"forget to tell of tasks", "it owns", each(func(a fleet.Action) []fleet.Action {
		if _, ok := a.(fleet.Retask); ok {
			return nil
		}
		return same(a)
	})},
	{"give a task to everybody", "is given away while", sharing},
	{"an old epoch", "in epoch", each(func(a fleet.Action) []fleet.Action {
		if s, ok := a.(fleet.Spawn); ok && s.Epoch > 0 {
			s.Epoch--
			return same(s)
		}
		return same(a)
	})},
	{"success whatever happens", "exit code 0", each(func(a fleet.Action) []fleet.Action {
		if x, ok := a.(fleet.Exit); ok {
			x.Code = 0
			return same(x)
		}
		return same(a)
	})},
	{"failure whatever happens", "exit code 10", each(func(a fleet.Action) []fleet.Action {
		if x, ok := a.(fleet.Exit); ok {
			x.Code = 10
			return same(x)
		}
		return same(a)
	})},
	{"one number for all incidents", "is used again", records(func(r *state.Record) {
		if r.Kind == state.KindFailure {
			r.Incident = 1
		}
	})},
	{"write another truth", "to another truth", records(func(r *state.Record) {
		if r.Kind == state.KindReady {
			r.Kind = state.KindStatus
		}
	})},
	{"a budget that is always whole", "was never ready", records(func(r *state.Record) {
		if r.Kind == state.KindExit && !r.Expected {
			r.Kind = state.KindRefill
		}
	})},
	{"act without looking", "nobody has looked at it", each(func(a fleet.Action) []fleet.Action {
		if _, ok := a.(fleet.Dump); ok {
			return nil
		}
		return same(a)
	})},
	{"steps that nobody made", "is said to have made step", records(func(r *state.Record) {
		if r.Kind == state.KindProgress && r.Step > 0 {
			r.Step += 1000
		}
	})},
	{"charge nobody", "budget refilled", records(func(r *state.Record) {
		if r.Kind == state.KindFailure {
			r.Kind = state.KindRefill
		}
	})},
}

// early writes that a group restarts where its stop was decided.
func early() func([]fleet.Action) []fleet.Action {
	return records(func(r *state.Record) {
		if r.Kind == state.KindPhase && r.Phase == state.StopAll {
			r.Phase = state.Restart
		}
	})()
}

// sharing adds the first task that was ever given to every later spawn.
func sharing() func([]fleet.Action) []fleet.Action {
	var first []string
	return each(func(a fleet.Action) []fleet.Action {
		s, ok := a.(fleet.Spawn)
		switch {
		case !ok || len(s.Tasks) == 0:
			return same(a)
		case first == nil:
			first = s.Tasks[:1]
		default:
			s.Tasks = append(append([]string{}, s.Tasks...), first...)
		}
		return same(s)
	})()
}

// TestTampering: every rule that is there finds what it is there for.
func TestTampering(t *testing.T) {
	const worlds = 300
	for _, x := range tamperings {
		t.Run(x.name, func(t *testing.T) {
			var other error
			for seed := range uint64(worlds) {
				r := Run(seed, Options{Workers: 6, Tamper: x.make()})
				if r.Err != nil && strings.Contains(r.Err.Error(), x.want) {
					return
				}
				if r.Err != nil {
					other = r.Err
				}
			}
			t.Errorf("in %d worlds nobody noticed that %q; last seen instead: %v", worlds, x.want, other)
		})
	}
}
