package evidence

import (
	"golang.org/x/sys/unix"
)

func init() {
	syscalls[unix.SYS_POLL] = "poll"
	syscalls[unix.SYS_SELECT] = "select"
	syscalls[unix.SYS_EPOLL_WAIT] = "epoll_wait"
	syscalls[unix.SYS_PAUSE] = "pause"
	syscalls[unix.SYS_OPEN] = "open"
}
