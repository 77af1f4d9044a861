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
}

// Survivors lists the living processes whose marker starts with prefix, other than
// ourselves. It reads the environment of every process, and so sees only those
// whose environment we may read. The result is a snapshot: Adopt checks again.
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
	env, err := readProc(pid, "environ")
	if err != nil || !bytes.Contains(env, []byte(r.opt.Marker+"=")) {
		return Survivor{}, false
	}
	value := envValue(env, r.opt.Marker)
	st, err := readStat(pid)
	if err != nil || value == "" || isGoneState(st.state) {
		return Survivor{}, false
	}
	return Survivor{
		PID: pid, PPID: st.ppid, Group: st.pgrp, Session: st.sess, Instance: value,
		StartTicks: st.start, State: st.state, Comm: st.comm,
		Leader: pid == st.sess || pid == st.pgrp,
	}, true
}

func isGoneState(s byte) bool { return s == 'Z' || s == 'X' || s == 'x' }

// Adopt takes charge of a survivor: from now on it can be signalled, its death is
// reported once by an Exit with id and gen, and what it leaves behind is killed. Its
// status is Unknown, unless it is our own child (we were executed anew). The error
// is os.ErrProcessDone if it has died, or its pid is another process's.
func (r *Reaper) Adopt(s Survivor, id string, gen uint64) (Proc, error) {
	c := &child{id: id, gen: gen, instance: s.Instance, pidfd: -1, strays: map[int]bool{}}
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

// adopt holds the fork lock for writing: the waiter takes it too before it reaps an
// unknown pid, so our own child cannot be reaped as an orphan under our hands.
func (r *Reaper) adopt(c *child, s Survivor) error {
	r.forks.Lock()
	defer r.forks.Unlock()
	fd, err := unix.PidfdOpen(s.PID, 0)
	if err == unix.ESRCH || err == unix.EINVAL {
		return os.ErrProcessDone
	}
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	// Now the pidfd holds whoever has that pid; only then the check means something.
	st, err := readStat(s.PID)
	if err != nil || st.start != s.StartTicks || isGoneState(st.state) {
		_ = unix.Close(fd)
		return os.ErrProcessDone
	}
	c.Proc = Proc{PID: s.PID, StartTicks: st.start, Start: startTime(st.start)}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq++
	c.seq = r.seq
	if st.ppid == os.Getpid() {
		_ = unix.Close(fd)
		r.live[c.PID] = c
		delete(r.orphans, c.PID)
	} else if err := r.watch(fd, &watched{c: c, pid: s.PID, leader: true}); err != nil {
		_ = unix.Close(fd)
		return err
	} else {
		c.pidfd, c.adopted = fd, true
	}
	r.all[c.seq] = c
	if s.PID == st.pgrp && r.groups[s.PID] == nil {
		c.group, c.session = s.PID, s.PID == st.sess
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

// End sends sig to a survivor that was not adopted, if it is still the same process.
func (s Survivor) End(sig syscall.Signal) error {
	fd, err := unix.PidfdOpen(s.PID, 0)
	if err != nil {
		return os.ErrProcessDone
	}
	defer unix.Close(fd)
	if st, err := readStat(s.PID); err != nil || st.start != s.StartTicks {
		return os.ErrProcessDone
	}
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err == unix.ESRCH {
		return os.ErrProcessDone
	} else if err != nil {
		return os.NewSyscallError("pidfd_send_signal", err)
	}
	return nil
}
