package control

import (
	"fmt"
	"maps"
	"slices"

	"github.com/procguard/procguard/state"
)

// Stored is the status of a volume that no procguard runs on.
func Stored(dir string, snap *state.Snapshot) *Status {
	s := &Status{Verdict: NotRunning, Node: snap.Node, StateDir: dir, Epoch: snap.Epoch, Run: snap.Run,
		Incidents: snap.Incidents, Finished: snap.Finished, Degraded: []string{}, Tasks: Tasks{SetAside: []string{}}}
	s.Summary = "no procguard runs on this state; the next one continues from it"
	if f := snap.Finished; f != nil {
		s.Verdict, s.Summary = GaveUp, fmt.Sprintf("ended with exit code %d: %s", f.Code, f.Why)
		if f.Code == 0 {
			s.Verdict = Finished
		}
	}
	members := map[string]int{}
	for _, id := range slices.Sorted(maps.Keys(snap.Workers)) {
		w := snap.Workers[id]
		members[w.Group]++
		s.Workers = append(s.Workers, Worker{Worker: *w, State: string(w.Status), Health: "unknown"})
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		s.Groups = append(s.Groups, storedGroup(name, members[name], snap.Recovery[name]))
	}
	for _, id := range slices.Sorted(maps.Keys(snap.Tasks)) {
		s.Tasks.Count(snap.Tasks[id])
	}
	return s
}

func storedGroup(name string, members int, r *state.Recovery) Group {
	g := Group{Name: name, Phase: "steady", Members: members}
	if r != nil {
		g.Phase, g.Incident, g.Attempt, g.Culprits = string(r.Phase), r.Incident, r.Attempt, r.Culprits
	}
	return g
}
