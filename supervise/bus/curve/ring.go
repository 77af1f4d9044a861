package curve

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Right is what the holder of a key may do.
type Right string

// The rights.
const (
	Node      Right = "node"      // speak as the node of the key's name
	Status    Right = "status"    // ask for the status, hear events
	Heartbeat Right = "heartbeat" // send heartbeats for workers
	Commands  Right = "commands"  // start, stop and restart workers
)

// Rights are all of them, in the order of the reference.
var Rights = []Right{Node, Status, Heartbeat, Commands}

// Grant is one key that is let in, and what it may do.
type Grant struct {
	Key string // public, as text
	May []Right
}

// Ring is a program's own key and those of its peers, by their names. It does not change once it is in use.
type Ring struct {
	Secret Secret
	Allow  map[string]Grant
}

// Check says what is wrong with the ring, or nil.
func (r *Ring) Check() error {
	if _, err := r.Secret.Public(); err != nil {
		return fmt.Errorf("the secret key: %w", err)
	}
	owner := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(r.Allow)) {
		g := r.Allow[name]
		if _, err := Decode(g.Key); err != nil {
			return fmt.Errorf("the key of %s: %w", name, err)
		}
		if first, taken := owner[g.Key]; taken {
			return fmt.Errorf("%s and %s have the same key", first, name)
		}
		owner[g.Key] = name
		if name == "" || len(g.May) == 0 {
			return errors.New("a key without a name or without a right")
		}
	}
	return nil
}

// Find is whose public key it is.
func (r *Ring) Find(key string) (name string, g Grant, ok bool) {
	for name, g := range r.Allow {
		if g.Key == key {
			return name, g, true
		}
	}
	return "", Grant{}, false
}

// Needs is the right that a command takes.
func Needs(command string) Right {
	switch command {
	case "heartbeat":
		return Heartbeat
	case "status", "get_worker_status":
		return Status
	}
	return Commands
}

// Permit tells whether the holder of the key called name may give the command, and if not, why.
func (r *Ring) Permit(name, command string) error {
	g, need := r.Allow[name], Needs(command)
	if slices.Contains(g.May, need) {
		return nil
	}
	return fmt.Errorf("the key of %q has no right to %s, which %q takes; it has: %s", name, need, command, g.list())
}

func (g Grant) list() string {
	words := make([]string, len(g.May))
	for i, m := range g.May {
		words[i] = string(m)
	}
	return strings.Join(words, " ")
}

// Has tells whether the key may do any of these.
func (g Grant) Has(any ...Right) bool {
	return slices.ContainsFunc(any, func(r Right) bool { return slices.Contains(g.May, r) })
}
