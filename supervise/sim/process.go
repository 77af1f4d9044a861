package sim

import (
	"time"

	"github.com/procguard/procguard/supervise/fleet"
)

// spawn carries out a Spawn: a process, or a failure to make one.
func (w *world) spawn(a fleet.Spawn) {
	s := w.workers[a.Worker]
	if s == nil {
		w.failf("spawn of %s, which is not configured", a.Worker)
		return
	}
	if w.chance(w.faults.spawn) {
		w.tellAfter(nil, w.lag(), fleet.SpawnFailed{Worker: a.Worker, Gen: a.Gen, Detail: "no memory"})
		return
	}
	w.kern.pids++
	w.res.Spawns++
	p := &proc{worker: a.Worker, group: s.Group, gen: a.Gen, pid: w.kern.pids, life: w.guard.life, leader: true, tasks: a.Tasks}
	p.alive = fleet.Alive{Worker: p.worker, Gen: p.gen}
	w.kern.add(p)
	w.check.own(p)
	w.tell(p, fleet.Started{Worker: p.worker, Gen: p.gen, PID: p.pid, Ticks: uint64(p.pid) * 7})
	w.character(p, s)
	w.begin(p, s)
}

// character draws how a process will behave.
func (w *world) character(p *proc, s *fleet.Worker) {
	f := &w.faults
	p.needsReady, p.finishes = s.NeedsReady, !w.plan.endless[s.ID] || (s.Restart == fleet.Always && !w.calm && w.chance(0.3))
	p.beatEvery = s.HeartbeatTimeout * 2 / 5
	p.deaf = w.chance(f.deaf)
	p.slow = w.lag()
	if w.chance(f.slowStop) {
		p.slow = w.between(0, 2*s.Grace+time.Second)
	}
	if p.kids = w.chance(f.kids); p.kids {
		p.kidsDeaf = w.chance(0.5)
	}
	if w.chance(f.immortal) {
		p.immortal = w.now + w.between(time.Second, 3*time.Minute)
		p.deaf = true
	}
}

// begin sets off what a process does by itself.
func (w *world) begin(p *proc, s *fleet.Worker) {
	f := &w.faults
	if p.needsReady {
		d := w.between(0, 2*time.Second)
		if w.chance(f.lateReady) {
			d = w.between(0, 3*s.StartupTimeout+20*time.Second)
		}
		w.later(d, job{deed: deedReady, p: p})
	}
	if p.beatEvery > 0 {
		w.later(w.between(0, p.beatEvery), job{deed: deedBeat, p: p})
	}
	if p.finishes {
		w.later(w.between(0, w.plan.work), job{deed: deedFinish, p: p})
	}
	w.enliven(p, s)
	if w.calm {
		return
	}
	if f.uptime > 0 {
		w.later(w.within(f.uptime), job{deed: deedCrash, p: p, how: pick(w.dice, 1, 1, 137, -11, -sigKill)})
	}
	if w.chance(f.hang) {
		w.later(w.between(0, 30*time.Second), job{deed: deedHang, p: p})
	}
}

// live carries out the jobs that are a process's own doing.
func (w *world) live(j *job) {
	p := j.p
	if !p.leader {
		return
	}
	switch j.deed {
	case deedReady:
		if !p.hung {
			p.ready = true
			w.tell(p, fleet.Ready{Worker: p.worker, Gen: p.gen})
		}
	case deedBeat:
		if !p.hung {
			if w.now >= p.quiet {
				w.tell(p, p.alive)
			}
			w.later(p.beatEvery, *j)
		}
	case deedCrash:
		if !w.calm {
			w.leaderEnds(p, j.how)
		}
	case deedFinish:
		if !p.hung && !(w.calm && w.plan.endless[p.worker]) {
			w.leaderEnds(p, 0)
		}
	case deedHang:
		w.hang(p)
	case deedStep:
		w.makeStep(p, *j)
	case deedWord:
		w.speak(p, *j)
	}
}

func (w *world) hang(p *proc) {
	if w.calm {
		return
	}
	p.hung, p.frozen = true, w.chance(w.faults.frozen)
	if w.chance(0.5) {
		w.judge(p)
	}
}

// recoverProc makes a hung process well again, when faults end.
func (w *world) recoverProc(p *proc) {
	if !p.leader || !p.hung {
		return
	}
	p.hung, p.frozen = false, false
	if p.asked {
		w.obey(p)
	}
	if p.needsReady && !p.ready {
		w.later(w.lag(), job{deed: deedReady, p: p})
	}
	if p.beatEvery > 0 {
		w.later(w.lag(), job{deed: deedBeat, p: p})
	}
	if p.finishes {
		w.later(w.between(0, w.plan.work), job{deed: deedFinish, p: p})
	}
}
