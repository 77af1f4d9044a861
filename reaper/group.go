package reaper

import (
	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/proc"
)

// killCgroup kills all that is left in the cgroup of a dead worker. The members are put on
// record first: many will be reaped by us, and are then known for its own. mu is held.
func (r *Reaper) killCgroup(c *child) {
	if c.cgroup == nil || c.keep {
		return
	}
	found := map[int]uint64{}
	for _, pid := range c.cgroup.PIDs() {
		if st, err := proc.ReadStat(pid); err == nil && pid != c.PID {
			found[pid] = st.Start
		}
	}
	r.addKin(c, found)
	_ = c.cgroup.Kill()
}

// isPopulated says whether somebody in c's cgroup has not died yet. Most of them are our
// orphans, and their deaths bring us back; for the others the kernel tells. mu is held.
func (r *Reaper) isPopulated(c *child) bool {
	if c.cgroup == nil {
		return false
	}
	if populated, err := c.cgroup.Populated(); err != nil || !populated {
		return false
	}
	if !c.watching {
		c.watching = r.watch(c.cgroup.EventsFD(), &watched{c: c, cgroup: true}) == nil
	}
	return true
}

func (r *Reaper) unwatchCgroup(c *child) {
	if !c.watching {
		return
	}
	c.watching = false
	fd := c.cgroup.EventsFD()
	delete(r.watched, int32(fd))
	_ = r.controlEpoll(func(ep uintptr) {
		_ = unix.EpollCtl(int(ep), unix.EPOLL_CTL_DEL, fd, nil)
	})
}
