package solo

import (
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/proc"
)

// sendRest sends a signal to everything that the command has left.
func (s *solo) sendRest(sig syscall.Signal) {
	if s.m.alone {
		_ = unix.Kill(-1, sig) // all in our PID namespace, but for us
		return
	}
	for _, d := range descendants() {
		d.send(sig)
	}
}

// rounds bounds the hunt for what forks while it is killed.
const rounds = 50

// killAll kills everything but us. As PID 1 that is one call, which nothing can
// escape by forking; else our descendants are looked for until none is alive.
func (s *solo) killAll() {
	if s.m.alone {
		_ = unix.Kill(-1, unix.SIGKILL)
		return
	}
	if s.group && !s.reaped {
		_ = unix.Kill(-s.pid, unix.SIGKILL)
	}
	for range rounds {
		found := descendants()
		if len(found) == 0 {
			break
		}
		for _, d := range found {
			d.send(unix.SIGKILL)
		}
		time.Sleep(time.Millisecond)
	}
	if !s.reaped {
		_ = unix.Kill(s.pid, unix.SIGKILL) // also where there is no /proc
	}
}

// descendant is a living process that we are an ancestor of.
type descendant struct {
	pid   int
	start uint64
}

// descendants reads all of /proc. Whoever lost its parent is our own child: we are PID 1
// or a subreaper. Without /proc there is nothing to be found.
func descendants() (all []descendant) {
	children := map[int][]descendant{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if st, err := proc.ReadStat(pid); err == nil {
			if dead(pid, st) {
				pid = 0 // it has no children any more
			}
			children[st.PPID] = append(children[st.PPID], descendant{pid, st.Start})
		}
	}
	for todo := []int{os.Getpid()}; len(todo) > 0; todo = todo[1:] {
		for _, d := range children[todo[0]] {
			if d.pid != 0 {
				all, todo = append(all, d), append(todo, d.pid)
			}
		}
	}
	return all
}

// dead: a process whose first thread has ended looks like a zombie while others go on.
func dead(pid int, st proc.Stat) bool {
	if st.State != 'Z' && st.State != 'X' {
		return false
	}
	threads, _ := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	return len(threads) < 2
}

// send signals the very process that was seen, where the kernel has pidfds; its number
// may have a new owner meanwhile.
func (d descendant) send(sig syscall.Signal) {
	fd, err := unix.PidfdOpen(d.pid, 0)
	if err == nil {
		defer unix.Close(fd)
	}
	if st, serr := proc.ReadStat(d.pid); serr != nil || st.Start != d.start {
		return
	}
	if err == nil {
		_ = unix.PidfdSendSignal(fd, sig, nil, 0)
		return
	}
	_ = unix.Kill(d.pid, sig)
}
