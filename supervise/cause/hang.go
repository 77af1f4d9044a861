package cause

import (
	"fmt"
	"strings"
)

// busyFrom is the CPU percentage from which a hung worker counts as computing.
// A loop that polls with short sleeps stays below it.
const busyFrom = 50

// byHang classes what a worker was found doing when it was judged dead.
func byHang(d *Death) Verdict {
	v := Verdict{Class: HangOther, Reason: d.Hang, Confidence: Likely}
	if d.Look != nil {
		var doing string
		v.Class, doing = d.Look.class()
		v.Reason += "; " + doing
	}
	if v.Class == HangOther && !d.Ready {
		v.Class = HangStartup
	}
	if c := d.Memory.class(); c != "" {
		v.Reason += "; meanwhile the OOM killer ended a process of it"
	}
	if d.Pids.Refused > 0 {
		v.Reason += "; meanwhile forks were refused" + d.Pids.limit()
	}
	lines := clean(d.Text)
	if x := lastException(lines); x != nil && x.thread {
		v.Reason += "; a thread of it had died of " + x.String()
	}
	v.Accuses = accused(lines)
	where := ""
	if d.Look != nil {
		where = d.Look.Wchan
	}
	v.Signature = Signature(string(v.Class), where)
	return v
}

// class names the wait by the state first, which is certain, then by how much it
// computes, then by where the main thread sleeps.
func (l *Look) class() (Class, string) {
	at := l.Wchan + " " + l.Syscall
	switch {
	case l.State == "T" || l.State == "t":
		return HangStopped, "it is stopped (SIGSTOP or a debugger)"
	case l.State == "D":
		return HangDisk, "it is in the kernel and cannot be interrupted" + l.in()
	case l.CPU >= busyFrom, l.State == "R" && l.CPU > 0 && l.in() == "": // it wants more than it gets
		return HangBusy, fmt.Sprintf("it computes: CPU %.0f %%%s%s", l.CPU, l.busy(), l.main())
	case l.State == "R" && l.in() == "":
		return HangBusy, "it is running"
	case hasAny(at, "futex"):
		return HangLock, "it waits for a lock or another thread" + l.in()
	case hasAny(at, "pipe_read", "pipe_wait", "anon_pipe", "tcp_recv", "inet_recv", "unix_stream", "skb_wait", "wait_woken", "n_tty_read", "read", "recv", "accept", "poll", "select", "epoll", "eventfd"):
		return HangRead, "it waits for input" + l.from() + l.in()
	case hasAny(at, "nanosleep", "hrtimer"):
		return HangSleep, "it sleeps" + l.in()
	case hasAny(at, "do_wait", "wait4", "waitid"):
		return HangOther, "it waits for a child" + l.in()
	}
	return HangOther, fmt.Sprintf("state %s, CPU %.0f %%%s", l.State, l.CPU, l.in())
}

func (l *Look) in() string {
	switch {
	case l.Wchan != "" && l.Wchan != "0":
		return " (wchan " + l.Wchan + ")"
	case l.Syscall != "":
		return " (system call " + l.Syscall + ")"
	}
	return ""
}

func (l *Look) from() string {
	if l.FD == "" {
		return ""
	}
	return " from " + l.FD
}

// main says what the main thread does while another computes.
func (l *Look) main() string {
	if in := l.in(); l.State == "S" && in != "" {
		return ", while the main thread waits" + in
	}
	return ""
}

func (l *Look) busy() string {
	if l.Busy == "" {
		return ""
	}
	return " in thread " + l.Busy
}

func hasAny(s string, words ...string) bool {
	for _, w := range words {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}
