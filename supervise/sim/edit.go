package sim

import (
	"slices"

	"github.com/procguard/procguard/supervise/fleet"
)

// edited is the configuration after somebody has changed it: a few workers or
// tasks more or less, or other programs behind the same names.
func (p *plan) edited(d dice) fleet.Spec {
	s := p.spec
	s.Workers, s.Tasks = slices.Clone(s.Workers), slices.Clone(s.Tasks)
	was := p.spec
	p.spec = s
	defer func() { p.spec = was }()
	for range 1 + d.IntN(3) {
		p.editOnce(d)
	}
	return p.spec
}

func (p *plan) editOnce(d dice) {
	s := &p.spec
	w := &s.Workers[d.IntN(len(s.Workers))]
	switch d.IntN(6) {
	case 0:
		w.Fingerprint = p.name("fp")
	case 1:
		w.MaxRestarts++
	case 2:
		p.addWorker(d, w)
	case 3:
		p.removeWorker(w.ID)
	case 4:
		s.Tasks = append(s.Tasks, p.drawTask(d))
	case 5:
		p.editTask(d)
	}
}

// addWorker adds one beside like: a new one, or one that was removed before.
func (p *plan) addWorker(d dice, like *fleet.Worker) {
	s := &p.spec
	if n := len(p.removed); n > 0 && d.chance(0.5) {
		back := p.removed[n-1]
		p.removed = p.removed[:n-1]
		back.DependsOn = nil
		if !slices.ContainsFunc(s.Workers, func(w fleet.Worker) bool { return w.ID == back.ID }) { // the edit was refused
			s.Workers = append(s.Workers, back)
		}
		return
	}
	w := p.drawWorker(d, like.Group)
	w.Ranked = like.Ranked
	p.dress(d, &w, d.chance(0.5))
	s.Workers = append(s.Workers, w)
}

// removeWorker takes a worker out, and the edges to it. Its tasks stay, ownerless
// in the file: what becomes of them is the machine's affair.
func (p *plan) removeWorker(id string) {
	s := &p.spec
	if len(s.Workers) == 1 {
		return
	}
	s.Workers = slices.DeleteFunc(s.Workers, func(w fleet.Worker) bool {
		if w.ID == id {
			p.removed = append(p.removed, w)
		}
		return w.ID == id
	})
	for i := range s.Workers {
		w := &s.Workers[i]
		w.DependsOn = slices.DeleteFunc(slices.Clone(w.DependsOn), func(d fleet.Dependency) bool { return d.Worker == id })
	}
	for i := range s.Tasks {
		if s.Tasks[i].Owner == id {
			s.Tasks[i].Owner = ""
		}
	}
}

func (p *plan) editTask(d dice) {
	s := &p.spec
	if len(s.Tasks) == 0 {
		return
	}
	i := d.IntN(len(s.Tasks))
	if d.chance(0.5) {
		s.Tasks[i].Weight++
		return
	}
	s.Tasks = slices.Delete(s.Tasks, i, i+1)
}
