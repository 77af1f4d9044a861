package tree

// Tree is a leader and all that belongs to it.
type Tree struct {
	PID int
	// Own are the leader's numbers, which the caller reads before each look.
	Own Stat

	Sum

	before   Stat // Own, at the look before
	beforeIO bytesIO
	known    bool // there was a look before
	gone     bool
	members  []int // living processes but the leader
	delta    delta
}

// Sum is of a leader and of all processes that belong to it.
type Sum struct {
	Ticks         uint64 // CPU time in USER_HZ; never falls; counts from the leader's own at the first look
	Pages         uint64 // resident
	Threads       int
	Processes     int
	Active        int    // runnable, or traced by a debugger; without the leader
	Read, Written uint64 // bytes from and to storage, as far as it may be seen
	NoIO          bool   // of at least one process it may not
}

// delta is what happened between two looks, in ticks.
type delta struct {
	used      uint64 // by those who live
	inherited uint64 // from children that were waited for
	lost      uint64 // totals of those who are gone, part of which was inherited
	io        bytesIO
	ioLost    bytesIO
}

type bytesIO struct{ read, written uint64 }

func (a bytesIO) plus(b bytesIO) bytesIO { return bytesIO{a.read + b.read, a.written + b.written} }
func (a bytesIO) less(b bytesIO) bytesIO {
	return bytesIO{a.read - min(a.read, b.read), a.written - min(a.written, b.written)}
}

// Forest knows the processes.
type Forest struct {
	src    Source
	procs  map[int]*process
	round  uint64
	full   bool // there was a full scan
	pids   []int
	byLead map[int]*Tree
}

type process struct {
	now    Stat
	io     bytesIO
	noIO   bool
	tree   *Tree // nil: nobody's
	round  uint64
	before Stat
	fresh  bool // first seen in this round, and not there in the round before
}

// stride is how many scans one that is nobody's is left alone.
const stride = 8

// New makes an empty Forest.
func New(src Source) *Forest {
	return &Forest{src: src, procs: map[int]*process{}, byLead: map[int]*Tree{}}
}

// Scan looks at all processes. Trees that are not in the list any more are forgotten.
func (f *Forest) Scan(trees []*Tree) error {
	pids, err := f.src.List(f.pids[:0])
	f.pids = pids
	if err != nil {
		return err
	}
	f.begin(trees, true)
	for _, pid := range pids {
		f.visit(pid)
	}
	for _, pr := range f.procs {
		f.attribute(pr)
	}
	for pid, pr := range f.procs {
		if pr.round != f.round || pr.tree != nil && pr.tree.gone {
			f.bury(pid, pr)
		} else {
			pr.count(pid)
		}
	}
	f.end(trees)
	f.full = true
	return nil
}

// Again looks at those who are known to belong to the trees, which is cheap. It does
// not find new ones.
func (f *Forest) Again(trees []*Tree) {
	f.begin(trees, false)
	for _, t := range trees {
		members := t.members
		t.members = nil
		for _, pid := range members {
			f.reread(t, pid)
		}
	}
	f.end(trees)
}

func (f *Forest) reread(t *Tree, pid int) {
	pr := f.procs[pid]
	if pr == nil || pr.tree != t {
		return
	}
	switch f.visit(pid); {
	case f.procs[pid] != pr: // another process has its pid
	case pr.round != f.round:
		f.bury(pid, pr)
	default:
		pr.count(pid)
	}
}

func (f *Forest) begin(trees []*Tree, all bool) {
	f.round++
	if all {
		for _, t := range f.byLead {
			t.gone = true
		}
		clear(f.byLead)
	}
	for _, t := range trees {
		t.gone = false
		f.byLead[t.PID] = t
		t.delta, t.members = delta{}, t.keep(all)
		t.Sum = Sum{Ticks: t.Ticks, Read: t.Read, Written: t.Written}
		f.lead(t)
	}
}

func (t *Tree) keep(all bool) []int {
	if all {
		return t.members[:0]
	}
	return t.members
}

// lead counts the leader itself.
func (f *Forest) lead(t *Tree) {
	t.Pages, t.Threads, t.Processes = t.Own.Pages, t.Own.Threads, 1
	io, ok := f.io(t.PID)
	t.NoIO = !ok
	if !t.known {
		t.known = true
		t.Ticks, t.Read, t.Written = t.Own.total(), io.read, io.written
	} else {
		t.delta.add(&t.before, &t.Own)
		t.delta.io = t.delta.io.plus(io.less(t.beforeIO))
	}
	t.before, t.beforeIO = t.Own, io
}

func (f *Forest) io(pid int) (bytesIO, bool) {
	read, written, err := f.src.IO(pid)
	return bytesIO{read, written}, err == nil
}

func (d *delta) add(from, to *Stat) {
	d.used += to.Ticks - min(to.Ticks, from.Ticks)
	d.inherited += to.Reaped - min(to.Reaped, from.Reaped)
}

// visit reads a process, unless it is nobody's and was read lately.
func (f *Forest) visit(pid int) {
	if f.byLead[pid] != nil {
		return
	}
	pr := f.procs[pid]
	if pr != nil && pr.tree == nil && uint64(pid)%stride != f.round%stride {
		pr.round, pr.fresh = f.round, false
		return
	}
	var s Stat
	if f.src.Stat(pid, &s) != nil {
		return // it has ended meanwhile, or is not ours to see
	}
	if pr == nil || pr.now.Start != s.Start {
		pr = f.replace(pid, pr)
	} else {
		pr.fresh = false
	}
	pr.before, pr.now, pr.round = pr.now, s, f.round
}

// replace makes an entry for a process that was not there before.
func (f *Forest) replace(pid int, old *process) *process {
	if old != nil {
		f.bury(pid, old)
	}
	pr := &process{fresh: f.full}
	f.procs[pid] = pr
	return pr
}

// attribute finds whose a process is.
func (f *Forest) attribute(pr *process) {
	if pr.tree != nil || pr.round != f.round {
		return
	}
	if pr.tree = f.owner(&pr.now); pr.tree != nil && !pr.fresh {
		pr.before = pr.now // what it used before it was anybody's is not counted
	}
}

// maxDepth bounds the way up to the leader: the table is not of one moment, and
// could show a circle.
const maxDepth = 64

func (f *Forest) owner(s *Stat) *Tree {
	up := s
	for range maxDepth {
		if t := f.byLead[up.PPID]; t != nil {
			return t
		}
		parent := f.procs[up.PPID]
		if parent == nil || parent.round != f.round {
			break
		}
		if parent.tree != nil {
			return parent.tree
		}
		up = &parent.now
	}
	if t := f.byLead[s.Group]; t != nil {
		return t
	}
	return f.byLead[s.Session]
}

// count adds a process to its tree.
func (pr *process) count(pid int) {
	t := pr.tree
	if t == nil {
		return
	}
	t.members = append(t.members, pid)
	if !pr.now.Dead() {
		t.Pages += pr.now.Pages
		t.Threads += pr.now.Threads
		t.Processes++
	}
	if s := pr.now.State; s == 'R' || s == 't' {
		t.Active++
	}
	t.delta.add(&pr.before, &pr.now)
}

// bury takes a process out of the table. What it had used is part of the sum still.
func (f *Forest) bury(pid int, pr *process) {
	if f.procs[pid] == pr {
		delete(f.procs, pid)
	}
	if pr.tree != nil {
		pr.tree.delta.lost += pr.now.total()
		pr.tree.delta.ioLost = pr.tree.delta.ioLost.plus(pr.io)
	}
}

// end makes the sums. Parents inherit the times of the children that they wait for,
// most of which was counted while the child lived: only the rest is new.
func (f *Forest) end(trees []*Tree) {
	for _, t := range trees {
		for _, pid := range t.members {
			f.addIO(t, pid, f.procs[pid])
		}
		d := &t.delta
		t.Ticks += d.used + d.inherited - min(d.inherited, d.lost)
		io := d.io.less(d.ioLost)
		t.Read += io.read
		t.Written += io.written
	}
}

// addIO is asked once of a process that does not let us.
func (f *Forest) addIO(t *Tree, pid int, pr *process) {
	if !pr.noIO && !pr.now.Dead() {
		io, ok := f.io(pid)
		if pr.noIO = !ok; ok {
			t.delta.io = t.delta.io.plus(io.less(pr.io))
			pr.io = io
		}
	}
	t.NoIO = t.NoIO || pr.noIO
}

// PIDs are of the leader and of all that belonged to it at the last look.
func (t *Tree) PIDs() []int { return append([]int{t.PID}, t.members...) }
