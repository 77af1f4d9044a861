package reaper

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/cgroup"
	"github.com/procguard/procguard/reaper/proc"
)

// Survivor is a process that carries a marker: a worker of an earlier supervisor that
// was killed, or a descendant of one.
type Survivor struct {
	PID, PPID  int
	Group      int    // process group id
	Session    int    // session id
	Instance   string // value of the marker
	StartTicks uint64
	State      byte // as in Description
	Comm       string
	Leader     bool // leads its session or its group: it was spawned, not forked by a worker
	// Cgroup is for the caller to fill in, if the worker has one.
	Cgroup *cgroup.Group
}

// Survivors lists the living processes whose marker starts with prefix, other than
// ourselves. It reads the environment of every process, and so sees only those
// whose environment we may read; root may read that of all users. The result is a snapshot: Adopt checks again.
func (r *Reaper) Survivors(prefix string) ([]Survivor, error) {
	if !r.proc {
		return nil, errors.New("reaper: survivors cannot be found without /proc")
	}
	var found []Survivor
	for _, pid := range listProcs() {
		if pid == os.Getpid() {
			continue
		}
		if s, ok := r.survivor(pid); ok && strings.HasPrefix(s.Instance, prefix) {
			found = append(found, s)
		}
	}
	return found, nil
}

func (r *Reaper) survivor(pid int) (Survivor, bool) {
	env, err := readEnviron(pid)
	if err != nil || !bytes.Contains(env, []byte(r.opt.Marker+"=")) {
		return Survivor{}, false
	}
	value := envValue(env, r.opt.Marker)
	if value == "" {
		return Survivor{}, false
	}
	s, err := readSurvivor(pid)
	s.Instance = value
	return s, err == nil && !ended(pid, s.State)
}

// Living is the record of a process whose environment cannot be read (another user's,
// or one that overwrote it), made from /proc/PID/stat, which everybody may read. It is
// false if the pid is free, a zombie's, or another process's than the one that started
// at startTicks. Instance is for the caller to fill in, who knows it from elsewhere.
func (r *Reaper) Living(pid int, startTicks uint64) (Survivor, bool) {
	if !r.proc {
		return Survivor{}, false
	}
	s, err := readSurvivor(pid)
	if err != nil || s.StartTicks != startTicks || ended(pid, s.State) {
		return Survivor{}, false
	}
	return s, true
}

func readSurvivor(pid int) (Survivor, error) {
	st, err := proc.ReadStat(pid)
	if err != nil {
		return Survivor{}, err
	}
	return Survivor{
		PID: pid, PPID: st.PPID, Group: st.Group, Session: st.Session,
		StartTicks: st.Start, State: st.State, Comm: st.Comm,
		Leader: pid == st.Session || pid == st.Group,
	}, nil
}

// ended says whether a process in that state has died. One whose main thread has ended
// is called a zombie too, and lives in its other threads.
func ended(pid int, state byte) bool {
	return state == 'X' || state == 'x' || state == 'Z' && threads(pid) < 2
}

// Adopt takes charge of a survivor: from now on it can be signalled, its death is
// reported once by an Exit with id and gen, and what it leaves behind is killed. Its
// status is Unknown, unless it is our own child (we were executed anew). The error
// wraps os.ErrProcessDone if, and only if, it has died or its pid is another process's.
// Where there is no pidfd for it (an old kernel, a seccomp filter, no descriptors) it
// is watched by reading /proc/PID/stat every 100 ms.
func (r *Reaper) Adopt(s Survivor, id string, gen uint64) (Proc, error) {
	c := &child{id: id, gen: gen, instance: s.Instance, cgroup: s.Cgroup, pidfd: -1, strays: map[int]bool{}}
	if err := r.reserve(c); err != nil {
		return Proc{}, err
	}
	if err := r.adopt(c, s); err != nil {
		r.mu.Lock()
		delete(r.instances, c.instance)
		r.mu.Unlock()
		return Proc{}, fmt.Errorf("reaper: adopt pid %d: %w", s.PID, err)
	}
	r.poke()
	return c.Proc, nil
}

// adopt holds mu throughout, under which alone the waiter reaps: our own child cannot
// be reaped as an orphan under our hands.
func (r *Reaper) adopt(c *child, s Survivor) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	fd, err := pidfdOpen(s.PID, 0)
	if noProcess(err) {
		return os.ErrProcessDone
	}
	if err != nil {
		fd = -1
	}
	// Now the pidfd holds whoever has that pid; only then the check means something.
	st, err := proc.ReadStat(s.PID)
	if err == nil {
		err = identify(s.PID, s.StartTicks)
	} else {
		err = unidentified(s.PID, err)
	}
	if err == nil {
		c.Proc = Proc{PID: s.PID, StartTicks: st.Start, Start: startTime(st.Start)}
		err = r.attach(c, fd, st)
	}
	if err != nil && fd >= 0 {
		_ = unix.Close(fd)
	}
	return err
}

// attach registers c and takes over fd unless it fails. mu is held.
func (r *Reaper) attach(c *child, fd int, st proc.Stat) error {
	w := &watched{c: c, pid: c.PID, ticks: c.StartTicks, leader: true}
	switch {
	case st.PPID == os.Getpid():
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		r.live[c.PID] = c
		delete(r.orphans, c.PID)
		delete(r.unread, c.PID)
	case fd >= 0 && r.watch(fd, w) == nil:
		c.pidfd, c.adopted = fd, true
	default:
		if err := r.poll(w); err != nil {
			return err
		}
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		c.adopted = true
	}
	r.seq++
	c.seq = r.seq
	r.all[c.seq] = c
	if c.PID == st.Group && r.groups[c.PID] == nil {
		c.group, c.session = c.PID, c.PID == st.Session
		r.groups[c.group] = c
	}
	r.stats.Adopted++
	return nil
}

// userHZ is the unit of times in /proc/PID/stat. It is part of the kernel's interface
// and 100 on every architecture that Go supports.
const userHZ = 100

func startTime(ticks uint64) time.Time {
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return time.Time{}
	}
	age := time.Duration(up.Nano()) - time.Duration(ticks)*(time.Second/userHZ)
	return time.Now().Add(-age)
}

// End sends sig to a survivor that was not adopted. The error is os.ErrProcessDone if,
// and only if, it has died or its pid is another process's.
func (s Survivor) End(sig syscall.Signal) error {
	fd, err := pidfdOpen(s.PID, 0)
	if noProcess(err) {
		return os.ErrProcessDone
	}
	if err != nil {
		return killByTicks(s.PID, s.StartTicks, sig)
	}
	defer unix.Close(fd)
	if err := identify(s.PID, s.StartTicks); err != nil {
		return err
	}
	switch err := unix.PidfdSendSignal(fd, sig, nil, 0); err {
	case nil:
		return nil
	case unix.ESRCH:
		return os.ErrProcessDone
	case unix.ENOSYS, unix.EPERM: // not permitted at all, or only not this way (seccomp)
		return killByTicks(s.PID, s.StartTicks, sig)
	default:
		return os.NewSyscallError("pidfd_send_signal", err)
	}
}
