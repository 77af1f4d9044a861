package reaper

import (
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// asOwner runs f with the file-system identity of the user that pid runs as: the kernel
// lets everybody read the environment of his own processes, but root that of others
// only with CAP_SYS_PTRACE, which containers lack. It takes CAP_SETUID and CAP_SETGID,
// without which no worker would run as somebody else. The identity is the
// thread's, and changed back before the thread does anything else. It is false
// if it changed nothing.
func asOwner(pid int, f func()) bool {
	var st unix.Stat_t
	if os.Geteuid() != 0 || unix.Stat("/proc/"+strconv.Itoa(pid), &st) != nil || st.Uid == 0 {
		return false
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Both calls report the previous value and no error. Going back is always allowed.
	gid, _ := unix.SetfsgidRetGid(int(st.Gid))
	uid, _ := unix.SetfsuidRetUid(int(st.Uid))
	defer func() {
		_ = unix.Setfsuid(uid)
		_ = unix.Setfsgid(gid)
	}()
	f()
	return true
}
