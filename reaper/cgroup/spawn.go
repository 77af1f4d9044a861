package cgroup

import (
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// CanClone says whether a process can be created inside a group: clone3(2), since 5.7,
// which the seccomp filters of container runtimes often forbid. Otherwise the child
// enters the group before its exec, see [Enter].
var CanClone = sync.OnceValue(func() bool {
	// Arguments of size 0 are refused (EINVAL) before anything is created.
	_, _, errno := syscall.RawSyscall(unix.SYS_CLONE3, 0, 0, 0)
	return errno == unix.EINVAL
})

// Enter moves the calling process into the group at dir.
func Enter(dir string) error {
	err := write(dir+"/cgroup.procs", "0")
	if e, ok := err.(*os.PathError); ok {
		return e.Err
	}
	return err
}
