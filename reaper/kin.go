package reaper

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/proc"
)

// A process that left its session and changed its environment has one tie left: its
// chain of parents. Death cuts it (the kernel re-parents the children before anybody can
// see the zombie), so it is recorded while it holds: before each signal to a
// worker, before each kill of a leftover, and whenever the caller says Survey.

// relative is a descendant seen by its parent link.
type relative struct {
	c     *child
	ticks uint64 // start time: whoever has the pid later is somebody else
}

// kinLimit bounds what is remembered of one worker.
const kinLimit = 4096

// Survey records the living descendants of a running worker, so that they are known for
// its own after its death, whatever they do to session and environment. It returns how
// many are on record. Signal and Kill do it by themselves; a death that nobody
// announced is swept by the last Survey. It reads /proc for each descendant and each
// thread: call it as often as the worker is sampled, from any goroutine.
func (r *Reaper) Survey(p Proc) int {
	r.mu.Lock()
	c := r.find(p)
	if c == nil || c.dead || c.keep || r.closed {
		r.mu.Unlock()
		return 0
	}
	root, kin := c.Proc, r.kinOf(c)
	r.mu.Unlock()
	// Not under the lock: a worker may have hundreds of threads.
	if !r.proc {
		return 0
	}
	found := r.descent(root.PID, root.StartTicks)
	for pid, ticks := range kin {
		if _, again := found[pid]; !again && !isAlive(pid, ticks) {
			kin[pid] = 0
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.record(c, found, kin)
}

// isAlive is false for a zombie: it has no children to find, and leaves none.
func isAlive(pid int, ticks uint64) bool { return identify(pid, ticks) != os.ErrProcessDone }

func (r *Reaper) kinOf(c *child) map[int]uint64 {
	kin := make(map[int]uint64, len(c.kin))
	for _, pid := range c.kin {
		kin[pid] = r.kin[pid].ticks
	}
	return kin
}

// record replaces what is on record of c by what was found, and what was known and still
// lives. Of a worker that died meanwhile nothing is taken off. mu is held.
func (r *Reaper) record(c *child, found, known map[int]uint64) int {
	if r.all[c.seq] != c {
		return 0
	}
	keep := c.kin[:0]
	for _, pid := range c.kin {
		ticks, asked := known[pid]
		if _, again := found[pid]; again || asked && ticks == 0 && !c.dead {
			if r.kin[pid].c == c {
				delete(r.kin, pid)
			}
			continue
		}
		keep = append(keep, pid)
	}
	c.kin = keep
	r.addKin(c, found)
	return len(c.kin)
}

// addKin is also for those of a dead worker. A pid on the record of another worker
// goes to the later finding. mu is held.
func (r *Reaper) addKin(c *child, found map[int]uint64) {
	for pid, ticks := range found {
		if len(c.kin) >= kinLimit || r.live[pid] != nil {
			continue
		}
		if r.kin[pid].c != c {
			c.kin = append(c.kin, pid)
		}
		r.kin[pid] = relative{c, ticks}
	}
}

func (r *Reaper) dropKin(c *child) {
	for _, pid := range c.kin {
		if r.kin[pid].c == c {
			delete(r.kin, pid)
		}
	}
	c.kin = nil
}

// kinsman says whose descendant pid was seen to be. It works for a zombie. mu is held.
func (r *Reaper) kinsman(pid int) *child {
	k, ok := r.kin[pid]
	if !ok {
		return nil
	}
	if st, err := proc.ReadStat(pid); err != nil || st.Start != k.ticks {
		return nil
	}
	return k.c
}

// descent lists the living descendants of a process with their start times. Each
// link is checked from both ends, so a pid that changes hands meanwhile is not taken.
func (r *Reaper) descent(root int, ticks uint64) map[int]uint64 {
	found := map[int]uint64{}
	list := childrenOf
	if r.kids < 0 {
		list = childrenByScan()
	}
	type link struct {
		pid   int
		ticks uint64
	}
	for queue := []link{{root, ticks}}; len(queue) > 0 && len(found) < kinLimit; queue = queue[1:] {
		at := queue[0]
		kids := list(at.pid)
		if len(kids) == 0 || !isAlive(at.pid, at.ticks) {
			continue
		}
		for _, kid := range kids {
			st, err := proc.ReadStat(kid)
			if _, twice := found[kid]; err != nil || twice || st.PPID != at.pid {
				continue
			}
			found[kid] = st.Start
			queue = append(queue, link{kid, st.Start})
		}
	}
	return found
}

// childrenOf lists the children of all threads of a process.
func childrenOf(pid int) []int {
	dir := "/proc/" + strconv.Itoa(pid) + "/task/"
	tids := []string{strconv.Itoa(pid)}
	if threads(pid) > 1 {
		tids = nil
		ents, _ := os.ReadDir(dir)
		for _, e := range ents {
			tids = append(tids, e.Name())
		}
	}
	var kids []int
	for _, tid := range tids {
		fd, err := unix.Open(dir+tid+"/children", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		kids = readChildren(fd, kids)
		_ = unix.Close(fd)
	}
	return kids
}

// threads counts those of a process that are not reaped: the kernel keeps the number of
// links of the task directory at two more. It is 1 for a zombie, 0 if there is none.
func threads(pid int) int {
	var st unix.Stat_t
	if unix.Stat("/proc/"+strconv.Itoa(pid)+"/task", &st) != nil || st.Nlink < 2 {
		return 0
	}
	return int(st.Nlink) - 2
}

// childrenByScan is for kernels without CONFIG_PROC_CHILDREN: one look at all processes.
func childrenByScan() func(int) []int {
	kids := map[int][]int{}
	for _, pid := range listProcs() {
		if st, err := proc.ReadStat(pid); err == nil {
			kids[st.PPID] = append(kids[st.PPID], pid)
		}
	}
	return func(pid int) []int { return kids[pid] }
}

// noteDescent records who is below a leftover that is about to be killed. mu is held,
// and the pid is that of an unreaped child of ours or of a process held by a pidfd.
func (r *Reaper) noteDescent(c *child, pid int) {
	if !r.proc || r.kids < 0 && len(r.leftovers) > scanLimit {
		return
	}
	if st, err := proc.ReadStat(pid); err == nil {
		r.addKin(c, r.descent(pid, st.Start))
	}
}

// scanLimit bounds the cost where each descent takes a look at all processes.
const scanLimit = 16
