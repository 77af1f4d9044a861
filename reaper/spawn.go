package reaper

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/cgroup"
	"github.com/procguard/procguard/reaper/command"
	"github.com/procguard/procguard/reaper/proc"
)

// Own says what a process gets of its own.
type Own int

const (
	OwnSession Own = iota // setsid: a session and a process group; the default
	OwnGroup              // setpgid: a group in our session (job control)
	OwnNothing            // stays in our group: nothing is killed by group
)

// Rlimit is one resource limit; Resource is an RLIMIT_ constant.
type Rlimit struct {
	Resource int
	Cur, Max uint64 // ^uint64(0) is unlimited
}

// Spec says what to run. Only Argv is required.
type Spec struct {
	ID  string // handed back in Exit and Gone
	Gen uint64

	// Instance is the value of the marker variable; no two processes that run or have
	// leftovers may share it. Empty: no marker, escapees cannot be attributed.
	Instance string

	Argv []string
	Path string   // the file to execute; "": Argv[0] looked up in the worker's own PATH
	Env  []string // nil: ours. Of several entries for a key the last one counts
	Dir  string   // working directory; "": ours

	Stdin, Stdout, Stderr *os.File   // nil: /dev/null
	Extra                 []*os.File // descriptors 3, 4, ...; a nil one is closed

	Own        Own
	Ctty       *int     // child descriptor to make the controlling terminal; needs OwnSession
	Foreground *os.File // our terminal, whose foreground group it becomes; needs OwnGroup
	Keep       bool     // on its death kill nothing; Exit.Gone is then always true

	// Cgroup is what the process is created in, and all that it starts: they die with it.
	// It is the caller's to make, and to remove when the process is gone.
	Cgroup *cgroup.Group

	// Credential is applied after everything that needs privilege.
	Credential *syscall.Credential

	// These are applied by the exec shim, which costs some 2 ms.
	Umask       *int
	Nice        *int // absolute, -20 to 19
	Rlimits     []Rlimit
	CPUs        []int // affinity; empty: inherited
	OOMScoreAdj *int  // -1000 to 1000
}

// wantsShim says whether an attribute cannot be had from syscall.ForkExec.
func (s *Spec) wantsShim() bool {
	return s.Cgroup != nil && !cgroup.CanClone() || s.Umask != nil || s.Nice != nil || len(s.Rlimits) > 0 || len(s.CPUs) > 0 || s.OOMScoreAdj != nil
}

// ExecError is why Spawn could not start a command.
type ExecError = command.Error

// Spawn forks and executes. It returns when the exec has succeeded or failed. Errors:
// *ExecError if the command could not be started, ErrClosed, or an error about the Spec.
// Spawn may be called from several goroutines at once, and from callbacks (which then
// wait for the exec).
func (r *Reaper) Spawn(s Spec) (Proc, error) { return r.spawn(s, nil) }

func (r *Reaper) spawn(s Spec, to *runner) (Proc, error) {
	c := &child{id: s.ID, gen: s.Gen, instance: s.Instance, keep: s.Keep, cgroup: s.Cgroup, pidfd: -1, to: to}
	if err := r.reserve(c); err != nil {
		return Proc{}, err
	}
	err := r.start(c, s)
	r.poke() // it may have been waited for, also if it failed
	if err != nil {
		r.cancel(c)
		return Proc{}, err
	}
	return c.Proc, nil
}

// reserve takes the instance before the fork: an orphan with that marker that
// shows up before the registration must already have an owner.
func (r *Reaper) reserve(c *child) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	if c.instance == "" {
		return nil
	}
	if strings.ContainsAny(c.instance, "\x00\n") {
		return fmt.Errorf("reaper: instance %q: must not hold NUL or newline", c.instance)
	}
	if old := r.instances[c.instance]; old != nil {
		return fmt.Errorf("reaper: instance %q is still taken by pid %d", c.instance, old.PID)
	}
	r.instances[c.instance] = c
	return nil
}

func (r *Reaper) cancel(c *child) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.SpawnFailed++
	if r.instances[c.instance] == c {
		delete(r.instances, c.instance)
	}
}

func (r *Reaper) start(c *child, s Spec) error {
	l, err := r.launch(&s)
	if err != nil {
		return err
	}
	defer l.close()
	r.fly(func(tid int) { err = r.launchOn(tid, c, l) })
	runtime.KeepAlive(s)
	return err
}

func (r *Reaper) launchOn(tid int, c *child, l *launch) error {
	pid, err := l.fork()
	if err != nil {
		return l.explain(err)
	}
	c.PID, c.Start, c.tid = pid, time.Now(), tid
	// The child cannot be reaped before it is registered, so this is its own stat.
	if st, err := proc.ReadStat(pid); err == nil && r.proc {
		c.StartTicks = st.Start
	}
	r.register(tid, c, l.spec.Own)
	return nil
}

// register ends the flight in the same hold of mu: the waiter sees the child either
// in flight or among the living.
func (r *Reaper) register(tid int, c *child, own Own) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.flights, tid)
	r.seq++
	c.seq = r.seq
	r.live[c.PID], r.all[c.seq] = c, c
	delete(r.orphans, c.PID)
	delete(r.unread, c.PID)
	r.stats.Spawned++
	if own == OwnNothing {
		return
	}
	c.group, c.session = c.PID, own == OwnSession
	if old := r.groups[c.group]; old != nil {
		old.group = 0 // its number could only be reused because its group has ended
	}
	r.groups[c.group] = c
}

// launch is a Spec made ready for the fork.
type launch struct {
	spec *Spec
	file command.File
	attr syscall.ProcAttr
	shim *shimCall
}

func (r *Reaper) launch(s *Spec) (*launch, error) {
	if len(s.Argv) == 0 {
		return nil, errors.New("reaper: no command")
	}
	l := &launch{spec: s}
	l.attr.Env = r.environ(s)
	var err error
	if l.file, err = command.Find(command.Line{Argv0: s.Argv[0], Path: s.Path, Dir: s.Dir, Env: l.attr.Env}); err != nil {
		return nil, err
	}
	if l.attr.Files, err = r.files(s); err != nil {
		return nil, err
	}
	l.attr.Dir = s.Dir
	l.attr.Sys = sysAttr(s)
	if s.wantsShim() || ignoresAny() {
		if l.shim, err = newShimCall(r.exe, l); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func sysAttr(s *Spec) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{
		Setsid:     s.Own == OwnSession,
		Setpgid:    s.Own == OwnGroup,
		Credential: s.Credential,
	}
	if s.Cgroup != nil && cgroup.CanClone() {
		a.UseCgroupFD, a.CgroupFD = true, s.Cgroup.FD()
	}
	if s.Ctty != nil {
		a.Setctty, a.Ctty = true, *s.Ctty
	}
	if s.Foreground != nil {
		a.Foreground, a.Ctty = true, int(s.Foreground.Fd())
	}
	return a
}

// environ marks the child. Our own marker, if we are somebody's worker, goes on in
// the OUTER variable, so that our supervisor still knows our workers for its own.
func (r *Reaper) environ(s *Spec) []string {
	env := s.Env
	if env == nil {
		env = os.Environ()
	}
	mark, outer := r.opt.Marker, r.opt.Marker+outerSuffix
	out := make([]string, 0, len(env)+2)
	at := make(map[string]int, len(env))
	for _, e := range env {
		key, _, _ := strings.Cut(e, "=")
		if key == mark || key == outer {
			continue
		}
		if i, dup := at[key]; dup {
			out[i] = e
			continue
		}
		at[key] = len(out)
		out = append(out, e)
	}
	if s.Instance != "" {
		out = append(out, mark+"="+s.Instance)
	}
	if r.outer != "" {
		out = append(out, outer+"="+r.outer)
	}
	return out
}

func (r *Reaper) files(s *Spec) ([]uintptr, error) {
	var fds []uintptr
	for _, f := range []*os.File{s.Stdin, s.Stdout, s.Stderr} {
		if f == nil {
			f = r.null
		}
		if f == nil {
			return nil, fmt.Errorf("reaper: a standard stream is not given and %s cannot be opened", os.DevNull)
		}
		fds = append(fds, f.Fd())
	}
	for _, f := range s.Extra {
		fd := ^uintptr(0) // closed in the child
		if f != nil {
			fd = f.Fd()
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

// fork runs syscall.ForkExec. Its child gets the signal mask of the calling thread,
// and that is what we were started with, so it is lifted for the time of the fork.
func (l *launch) fork() (int, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var none, old unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &none, &old); err == nil && old != none {
		defer func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil) }()
	}
	if l.shim != nil {
		return l.shim.fork()
	}
	return syscall.ForkExec(l.file.Path, l.spec.Argv, &l.attr)
}

// explain turns a failed fork or exec into an ExecError.
func (l *launch) explain(err error) error {
	var failed *shimError
	if errors.As(err, &failed) {
		if failed.step != stepExec {
			return l.file.Fail(failed.kind(), failed.step, failed.errno)
		}
		err = failed.errno
	}
	return l.file.Explain(err)
}

func (l *launch) close() {
	if l.shim != nil {
		l.shim.close()
	}
}
