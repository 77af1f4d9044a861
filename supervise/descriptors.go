package supervise

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Open files that a running worker takes of us: two pipes and its /proc/PID/stat; a socket
// for sd_notify; two of its cgroup. spareFiles is for ourselves, and for starts under way.
const (
	filesNeeded = 3
	filesSocket = 1
	filesGroup  = 2
	spareFiles  = 160
)

// reckonFiles looks whether our limit of open files is enough for all workers. Where it is
// not, they go without what they can do without: a restart that fails for want of a pipe is worse.
func (l *loop) reckonFiles() {
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) != nil {
		return
	}
	n, was := uint64(len(l.cfg.Workers)), l.frugal
	want := spareFiles + n*(filesNeeded+filesSocket+filesGroup)
	l.frugal = lim.Cur < want
	if l.frugal && !was {
		l.log.Warn("the limit of open files is low: no cgroups for workers, and NOTIFY_SOCKET only for those that are watched by it",
			"limit", lim.Cur, "wanted", want)
	}
	if least := spareFiles + n*filesNeeded; lim.Cur < least && !was {
		l.degrade(fmt.Sprintf("RLIMIT_NOFILE is %d; %d workers need %d: some may not start", lim.Cur, n, least))
	}
}
