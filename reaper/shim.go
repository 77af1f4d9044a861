package reaper

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/cgroup"
	"github.com/procguard/procguard/reaper/command"
	"github.com/procguard/procguard/reaper/proc"
)

// The exec shim is this program, executed again, between fork and exec of a worker: it
// sets what syscall.ForkExec cannot, and executes the worker. Its argv is shimName, the
// number of a descriptor, then the worker's own argv; its environment is the
// worker's. The descriptor is a sealed memfd with the attributes; the next
// one is a pipe that carries an error back and that a successful exec closes.
const (
	shimName  = "procguard-exec"
	shimMagic = "procguard exec shim 1\n"
	shimSeals = unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL
)

// order is what the shim carries out. Names are bytes: JSON would mangle a
// file name that is not UTF-8.
type order struct {
	Path, Dir   []byte
	Cgroup      []byte // directory to enter, if clone3 is not to be had
	Credential  *syscall.Credential
	Umask, Nice *int
	Rlimits     []Rlimit
	CPUs        []int
	OOMScoreAdj *int
}

// init takes over in a shim process. By accident it cannot: besides the name there
// must be a sealed memory file with the magic line at the given descriptor.
func init() {
	if len(os.Args) < 3 || os.Args[0] != shimName {
		return
	}
	fd, err := strconv.Atoi(os.Args[1])
	if err != nil || fd < 3 {
		return
	}
	o, ok := readOrder(fd)
	if !ok {
		return
	}
	runtime.LockOSThread() // nice, affinity, mask are the thread's that calls exec
	unix.CloseOnExec(fd)
	unix.CloseOnExec(fd + 1)
	step, err := o.run(os.Args[2:])
	msg := fmt.Appendf(nil, "%d %s", errnoOf(err), step)
	_, _ = unix.Write(fd+1, msg)
	os.Exit(126)
}

func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return syscall.EINVAL
}

func readOrder(fd int) (o order, ok bool) {
	if seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0); err != nil || seals != shimSeals {
		return o, false
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Size < int64(len(shimMagic)) {
		return o, false
	}
	b := make([]byte, st.Size)
	if n, err := unix.Pread(fd, b, 0); err != nil || n != len(b) || string(b[:len(shimMagic)]) != shimMagic {
		return o, false
	}
	return o, json.Unmarshal(b[len(shimMagic):], &o) == nil
}

// Steps, as they appear in ExecError.What.
const (
	stepCgroup   = "cgroup"
	stepOOM      = "oom_score_adj"
	stepNice     = "nice"
	stepAffinity = "cpu affinity"
	stepRlimit   = "resource limit"
	stepUser     = "user"
	stepDir      = "directory"
	stepExec     = "exec"
)

// run applies everything and executes; it returns only on failure, with the step. What
// needs privilege comes before the user is changed, the directory is entered as
// that user, and signals come last: until then ours are the runtime's.
func (o *order) run(argv []string) (string, error) {
	steps := []struct {
		name string
		do   func() error
	}{
		{stepCgroup, o.enterCgroup}, {stepOOM, o.setOOM}, {stepNice, o.setNice}, {stepAffinity, o.setAffinity},
		{stepRlimit, o.setRlimits}, {stepUser, o.setUser}, {stepDir, o.setDir},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			return s.name, err
		}
	}
	env := os.Environ()
	resetSignals()
	var none unix.Sigset_t
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &none, nil)
	return stepExec, syscall.Exec(string(o.Path), argv, env)
}

func (o *order) enterCgroup() error {
	if len(o.Cgroup) == 0 {
		return nil
	}
	return cgroup.Enter(string(o.Cgroup))
}

func (o *order) setOOM() error {
	if o.OOMScoreAdj == nil {
		return nil
	}
	fd, err := unix.Open("/proc/self/oom_score_adj", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, strconv.AppendInt(nil, int64(*o.OOMScoreAdj), 10))
	return err
}

func (o *order) setNice() error {
	if o.Nice == nil {
		return nil
	}
	return unix.Setpriority(unix.PRIO_PROCESS, 0, *o.Nice)
}

func (o *order) setAffinity() error {
	if len(o.CPUs) == 0 {
		return nil
	}
	var set unix.CPUSet
	for _, cpu := range o.CPUs {
		if cpu < 0 || cpu >= len(set)*int(8*unsafe.Sizeof(set[0])) {
			return syscall.EINVAL
		}
		set.Set(cpu)
	}
	return unix.SchedSetaffinity(0, &set)
}

// setRlimits uses syscall.Setrlimit, which tells the runtime to forget the original
// RLIMIT_NOFILE that syscall.Exec would else restore over ours.
func (o *order) setRlimits() error {
	for _, l := range o.Rlimits {
		if err := syscall.Setrlimit(l.Resource, &syscall.Rlimit{Cur: l.Cur, Max: l.Max}); err != nil {
			return err
		}
	}
	return nil
}

// setUser changes this thread only, by raw system calls: exec makes it the only one.
func (o *order) setUser() error {
	if o.Umask != nil {
		unix.Umask(*o.Umask)
	}
	c := o.Credential
	if c == nil {
		return nil
	}
	if !c.NoSetGroups {
		var p unsafe.Pointer
		if len(c.Groups) > 0 {
			p = unsafe.Pointer(&c.Groups[0])
		}
		if _, _, e := syscall.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(c.Groups)), uintptr(p), 0); e != 0 {
			return e
		}
	}
	if _, _, e := syscall.RawSyscall(unix.SYS_SETGID, uintptr(c.Gid), 0, 0); e != 0 {
		return e
	}
	if _, _, e := syscall.RawSyscall(unix.SYS_SETUID, uintptr(c.Uid), 0, 0); e != 0 {
		return e
	}
	return nil
}

func (o *order) setDir() error {
	if len(o.Dir) == 0 {
		return nil
	}
	return unix.Chdir(string(o.Dir))
}

// resetSignals gives every signal that an exec would leave ignored its default.
func resetSignals() {
	for _, s := range unhandled {
		if ignores(s) {
			var dfl sigaction
			syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&dfl)), 0, 8, 0, 0)
		}
	}
}

// shimCall is the parent's side.
type shimCall struct {
	exe   string
	argv  []string
	attr  syscall.ProcAttr
	order int // memfd
	pipe  [2]int
}

// shimError is a failure inside the shim.
type shimError struct {
	step  string
	errno syscall.Errno
}

func (e *shimError) Error() string { return e.step + ": " + e.errno.Error() }

func (e *shimError) kind() command.Kind {
	switch e.step {
	case stepUser:
		return command.Denied
	case stepDir:
		return command.BadDir
	}
	return command.BadAttribute
}

func newShimCall(exe string, l *launch) (*shimCall, error) {
	s := l.spec
	var dir []byte
	if s.Cgroup != nil && !cgroup.CanClone() {
		dir = []byte(s.Cgroup.Dir())
	}
	b, err := json.Marshal(order{
		Cgroup: dir,
		Path:   []byte(l.file.Path), Dir: []byte(s.Dir), Credential: s.Credential, Umask: s.Umask,
		Nice: s.Nice, Rlimits: s.Rlimits, CPUs: s.CPUs, OOMScoreAdj: s.OOMScoreAdj,
	})
	if err != nil {
		return nil, err
	}
	fd, err := sealed(append([]byte(shimMagic), b...))
	if err != nil {
		return nil, fmt.Errorf("reaper: exec shim: %w", err)
	}
	c := &shimCall{exe: exe, order: fd, attr: l.attr, pipe: [2]int{-1, -1}}
	if err := unix.Pipe2(c.pipe[:], unix.O_CLOEXEC); err != nil {
		c.close()
		return nil, fmt.Errorf("reaper: exec shim: %w", err)
	}
	n := len(l.attr.Files)
	c.argv = append([]string{shimName, strconv.Itoa(n)}, s.Argv...)
	c.attr.Files = append(l.attr.Files[:n:n], uintptr(fd), uintptr(c.pipe[1]))
	sys := *l.attr.Sys
	sys.Credential = nil // the shim's last step but two
	c.attr.Sys, c.attr.Dir = &sys, ""
	return c, nil
}

// sealed makes a read-only memory file.
func sealed(b []byte) (int, error) {
	fd, err := unix.MemfdCreate(shimName, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, err
	}
	if _, err = unix.Write(fd, b); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, shimSeals)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// fork returns when the worker runs or nothing is left of it: as syscall.ForkExec it
// reaps a child that failed, while the flight keeps the waiter off it.
func (c *shimCall) fork() (int, error) {
	pid, err := syscall.ForkExec(c.exe, c.argv, &c.attr)
	switch err {
	case syscall.EAGAIN, syscall.ENOMEM, syscall.E2BIG: // not about the attributes
		return 0, err
	}
	if err != nil {
		return 0, &shimError{step: "attributes through " + c.exe, errno: errnoOf(err)}
	}
	_ = unix.Close(c.pipe[1]) // ours: else the pipe never ends
	c.pipe[1] = -1
	msg := make([]byte, 256)
	n, err := unix.Read(c.pipe[0], msg)
	for err == unix.EINTR {
		n, err = unix.Read(c.pipe[0], msg)
	}
	if n <= 0 {
		return pid, nil
	}
	_, _ = proc.Reap(pid, nil)
	return 0, parseShimError(string(msg[:n]))
}

func parseShimError(msg string) error {
	var num int
	e := &shimError{}
	if _, err := fmt.Sscanf(msg, "%d", &num); err != nil {
		return fmt.Errorf("reaper: exec shim said %q", msg)
	}
	e.errno = syscall.Errno(num)
	e.step = msg[len(strconv.Itoa(num))+1:]
	return e
}

func (c *shimCall) close() {
	for _, fd := range []int{c.order, c.pipe[0], c.pipe[1]} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}
