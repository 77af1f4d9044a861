package sim

import (
	"time"

	"github.com/procguard/procguard/supervise/fleet"
)

// proc is an instance: a leader and whatever it has started.
type proc struct {
	worker, group string
	gen           uint64
	pid           int
	life          int // of the ProcGuard that watches it; 0: nobody does
	adopted       bool
	leader        bool // alive
	kids          bool // alive
	doomed        bool // killed before ProcGuard came back
	place         int  // in kernel.all

	// how it behaves
	needsReady bool
	beatEvery  time.Duration // 0: it sends none
	finishes   bool
	deaf       bool
	kidsDeaf   bool
	slow       time.Duration // from stop signal to its end
	immortal   time.Duration // SIGKILL has no effect before
	hung       bool
	frozen     bool // hung by SIGSTOP
	ready      bool
	unit       string
	step       int64
	stepEvery  time.Duration // 0: it tells none
	quiet      time.Duration // in a phase without signs of life until then

	signalled bool // with its stop signal, by us
	asked     bool // the same, and not yet acted on because frozen
	told      time.Duration
	alive     fleet.Event // its heartbeat, boxed once
	tasks     []string    // what it was told to work on
}

// tree says that something of it is alive.
func (p *proc) tree() bool { return p.leader || p.kids }

// kernel holds all that is alive.
type kernel struct {
	all     []*proc          // order is by chance, but the same in every run
	of      map[string]*proc // by worker
	inGroup map[string]int   // how many trees live
	pids    int
}

func newKernel() kernel {
	return kernel{of: map[string]*proc{}, inGroup: map[string]int{}, pids: 100}
}

func (k *kernel) add(p *proc) {
	p.place = len(k.all)
	k.all = append(k.all, p)
	k.of[p.worker] = p
	k.inGroup[p.group]++
}

// remove is called once, when nothing of p is left.
func (k *kernel) remove(p *proc) {
	last := len(k.all) - 1
	k.all[p.place] = k.all[last]
	k.all[p.place].place = p.place
	k.all[last] = nil
	k.all = k.all[:last]
	k.inGroup[p.group]--
	if k.of[p.worker] == p {
		delete(k.of, p.worker)
	}
}

// instance is the living process of that name, nil if there is none.
func (k *kernel) instance(worker string, gen uint64) *proc {
	if p := k.of[worker]; p != nil && p.gen == gen {
		return p
	}
	return nil
}

const (
	sigKill = 9
	sigCont = 18
)

var signalNames = map[int]string{2: "SIGINT", sigKill: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 15: "SIGTERM"}

// leaderEnds: how is an exit code, or minus a signal. Whoever watches sweeps up
// the children that are left, then says that all is gone.
func (w *world) leaderEnds(p *proc, how int) {
	if !p.leader {
		return
	}
	p.leader = false
	w.res.Deaths++
	x := fleet.Exited{Worker: p.worker, Gen: p.gen, Sent: p.signalled, Lost: p.adopted}
	switch {
	case p.adopted:
	case how < 0:
		x.Signal = signalNames[-how]
	default:
		x.Code = how
	}
	if p.kids {
		if w.watched(p) {
			w.tell(p, x)
			w.later(w.reach(p), job{deed: deedKids, p: p})
		}
		return
	}
	w.kern.remove(p)
	x.Gone = !w.chance(w.faults.separate)
	w.tell(p, x)
	if !x.Gone {
		w.tell(p, fleet.Gone{Worker: p.worker, Gen: p.gen})
	}
}

func (w *world) kidsEnd(p *proc) {
	if !p.kids {
		return
	}
	p.kids = false
	if !p.leader {
		w.kern.remove(p)
		w.tell(p, fleet.Gone{Worker: p.worker, Gen: p.gen})
	}
}

// reach is how long SIGKILL takes.
func (w *world) reach(p *proc) time.Duration {
	return max(w.lag(), p.immortal-w.now)
}

// kill sends SIGKILL to all of p.
func (w *world) kill(p *proc) {
	d := w.reach(p)
	p.signalled = true
	if p.leader {
		w.later(d, job{deed: deedEnd, p: p, how: -sigKill})
	}
	if p.kids {
		w.later(d, job{deed: deedKids, p: p})
	}
}

// signal delivers a signal to p's leader, or to its children as well.
func (w *world) signal(p *proc, sig int, group bool) {
	if sig == sigCont {
		if p.frozen {
			p.frozen = false
			if p.asked {
				w.obey(p)
			}
		}
		return
	}
	p.signalled = true
	if group && p.kids && !p.kidsDeaf {
		w.later(w.lag(), job{deed: deedKids, p: p})
	}
	switch {
	case !p.leader || p.deaf || p.asked:
	case p.frozen:
		p.asked = true
	default:
		w.obey(p)
	}
}

// obey lets a process end because it was told to.
func (w *world) obey(p *proc) {
	p.asked = true
	w.later(p.slow, job{deed: deedAnswer, p: p, how: pick(w.dice, 0, 0, 1, -15)})
}

// wipe ends everything at once: the container is gone.
func (w *world) wipe() {
	for len(w.kern.all) > 0 {
		p := w.kern.all[len(w.kern.all)-1]
		p.leader, p.kids, p.life = false, false, 0
		w.kern.remove(p)
	}
}
