package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setup is what an init finds around it. The zero value is a usual container.
type setup struct {
	Depth       int // guests only: how many processes are between PID 1 and the init
	SameTTY     bool
	Mounted     bool
	NoProc      bool
	ReadOnly    bool
	UID         int
	NoNew       bool // no_new_privs
	NProc       uint64
	NoFile      [2]uint64
	Core        bool
	Queue       uint64 // RLIMIT_SIGPENDING
	Ignore      []int
	Block       bool // every signal
	Close       bool // 0, 1 and 2
	Inherit     [2]int
	Listen      bool // descriptor 3 is a listening socket
	OOM         int
	Nice        int
	Dir         string
	Earlier     int    // children that were made before the init, and not waited for
	EarlierLife int    // how long they live, in ms; 0: they are dead before it starts
	Pids        string // cgroup.procs of a group to join
}

// Descriptors of a role that starts an init.
const (
	fdExec = 3 // closed by the exec of the init
	fdNews = 4 // for what the keeper has to say
)

// box makes everything ready and becomes the init. It does not return.
func enter(args []string) int {
	// Masks, nice values and no_new_privs belong to a thread; exec keeps those of the caller.
	runtime.LockOSThread()
	var s setup
	if err := json.Unmarshal([]byte(args[0]), &s); err != nil {
		return stuck(err)
	}
	unix.CloseOnExec(fdExec)
	unix.CloseOnExec(fdNews)
	if err := s.apply(); err != nil {
		return stuck(err)
	}
	return stuck(syscall.Exec(args[1], args[1:], os.Environ()))
}

func stuck(err error) int {
	fmt.Fprintln(os.Stderr, "conformance: box:", err)
	return 124
}

func (s setup) apply() error {
	return errors.Join(s.mounts(), s.join(), s.limits(), s.attributes(), s.ancestry(), s.privileges(), s.descriptors(), s.signals())
}

func (s setup) mounts() error {
	if s.Mounted {
		return nil
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return err
	}
	if s.NoProc {
		if err := unix.Mount("none", "/proc", "tmpfs", unix.MS_RDONLY, ""); err != nil {
			return err
		}
	}
	if s.ReadOnly {
		return readOnlyRoot()
	}
	return nil
}

func readOnlyRoot() error {
	const how = unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY
	return errors.Join(unix.Mount("", "/", "", how, ""), unix.Mount("none", "/run", "tmpfs", unix.MS_RDONLY, ""))
}

func (s setup) join() error {
	if s.Pids == "" {
		return nil
	}
	return os.WriteFile(s.Pids, []byte("0"), 0)
}

func (s setup) limits() error {
	set := func(what int, soft, hard uint64) error {
		if hard == 0 {
			return nil
		}
		return syscall.Setrlimit(what, &syscall.Rlimit{Cur: soft, Max: hard})
	}
	core := uint64(0)
	if s.Core {
		core = 1 << 30
	}
	return errors.Join(set(unix.RLIMIT_NOFILE, s.NoFile[0], s.NoFile[1]), set(unix.RLIMIT_NPROC, s.NProc, s.NProc),
		set(unix.RLIMIT_SIGPENDING, s.Queue, s.Queue), syscall.Setrlimit(unix.RLIMIT_CORE, &syscall.Rlimit{Cur: core, Max: 1 << 30}))
}

func (s setup) attributes() error {
	var errs []error
	if s.OOM != 0 {
		errs = append(errs, os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(s.OOM)), 0))
	}
	if s.Nice != 0 {
		errs = append(errs, unix.Setpriority(unix.PRIO_PROCESS, 0, s.Nice))
	}
	if s.Dir != "" {
		errs = append(errs, os.Chdir(s.Dir))
	}
	return errors.Join(errs...)
}

// ancestry makes children that the init will find.
func (s setup) ancestry() error {
	if s.Earlier == 0 {
		return nil
	}
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	for range s.Earlier {
		p, err := os.StartProcess(self, []string{self, "@after", strconv.Itoa(s.EarlierLife), "9"}, &os.ProcAttr{})
		if err != nil {
			return err
		}
		if s.EarlierLife > 0 {
			continue
		}
		var info unix.Siginfo
		if err := unix.Waitid(unix.P_PID, p.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
			return err
		}
	}
	return nil
}

func (s setup) privileges() error {
	if s.UID != 0 {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(s.UID), syscall.Setuid(s.UID)); err != nil {
			return err
		}
	}
	if s.NoNew {
		return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	}
	return nil
}

func (s setup) descriptors() error {
	if s.Inherit[1] > 0 || s.Listen {
		if err := s.inherit(); err != nil {
			return err
		}
	}
	if s.Close {
		return errors.Join(unix.Close(0), unix.Close(1), unix.Close(2))
	}
	return nil
}

// inherit opens descriptors that the init was not told of, or the socket that it was.
func (s setup) inherit() error {
	for _, fd := range []int{fdExec, fdNews} {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 100); err != nil {
			return err
		}
		_ = unix.Close(fd)
	}
	if s.Listen {
		return listenAt(3)
	}
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if null, err = unix.FcntlInt(uintptr(null), unix.F_DUPFD_CLOEXEC, 100); err != nil {
		return err
	}
	for fd := s.Inherit[0]; fd <= s.Inherit[1]; fd++ {
		if err := unix.Dup3(null, fd, 0); err != nil {
			return err
		}
	}
	return nil
}

func listenAt(fd int) error {
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(unix.Bind(s, &unix.SockaddrUnix{}), unix.Listen(s, 1)); err != nil {
		return err
	}
	if s != fd {
		return unix.Dup3(s, fd, 0)
	}
	_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
	return err
}

func (s setup) signals() error {
	if err := s.dispositions(); err != nil {
		return err
	}
	if !s.Block {
		return nil
	}
	return sigmask(unix.SIG_BLOCK, slices.Collect(everySignal))
}

// dispositions takes the Go runtime's handlers away, before exec would: so a handler
// that is seen later is the init's.
func (s setup) dispositions() error {
	const ignore = 1 // SIG_IGN
	for n := range everySignal {
		var action [4]uint64 // handler, flags, restorer and mask; SIG_DFL is 0
		if slices.Contains(s.Ignore, n) {
			action[0] = ignore
		}
		if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(n), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0); errno != 0 {
			return errno
		}
	}
	return nil
}

// everySignal can be caught or ignored.
func everySignal(yield func(int) bool) {
	for n := 1; n <= 64; n++ {
		if n != int(unix.SIGKILL) && n != int(unix.SIGSTOP) && !yield(n) {
			return
		}
	}
}

// sigmask changes the mask of this thread.
func sigmask(how int, signals []int) error {
	set := maskOf(signals)
	if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, uintptr(how), uintptr(unsafe.Pointer(&set)), 0, 8, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func maskOf(signals []int) (set uint64) {
	for _, n := range signals {
		set |= 1 << (n - 1)
	}
	return set
}
