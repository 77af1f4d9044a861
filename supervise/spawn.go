package supervise

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper"
	"github.com/procguard/procguard/reaper/account"
	"github.com/procguard/procguard/supervise/config"
	"github.com/procguard/procguard/supervise/fleet"
	"github.com/procguard/procguard/supervise/logs"
	"github.com/procguard/procguard/supervise/probe"
)

// launch is a spawn on its way.
type launch struct {
	a    fleet.Spawn
	w    *instance
	spec reaper.Spec
	err  error
	done bool
}

// together is how many spawns are on their way at once: enough to keep the
// processors busy, few enough that their pipes do not use up the descriptors.
const together = 16

// spawn makes processes for workers and answers the machine, in order. The
// kernel's part, fork and exec, takes most of the time and overlaps.
func (l *loop) spawn(list []fleet.Spawn) {
	for chunk := range slices.Chunk(list, together) {
		starts := make([]*launch, len(chunk))
		for i, a := range chunk {
			starts[i] = l.prepare(a)
		}
		starts, late := l.sortOut(starts)
		for _, t := range late {
			t.begin(l)
		}
		l.answers = append(l.answers, l.launch(starts)...)
	}
}

// launch makes processes, and returns the answers of those that have come in time.
func (l *loop) launch(starts []*launch) (answers fleet.Batch) {
	l.fork(starts)
	for _, s := range starts {
		if s.done {
			answers = append(answers, l.started(s))
		} else {
			l.hung[s.a.Worker] = s.a.Gen
		}
	}
	return answers
}

// prepare makes everything that a process needs before it exists.
func (l *loop) prepare(a fleet.Spawn) *launch {
	cfg := l.byID[a.Worker]
	if cfg == nil {
		return &launch{a: a, err: fmt.Errorf("worker %s is not configured", a.Worker)}
	}
	s := &launch{a: a, w: &instance{gen: a.Gen, cfg: cfg, rank: -1, marker: l.marker(a.Worker, a.Gen), bare: l.frugal}}
	if a.Rank != nil {
		s.w.rank = a.Rank.Rank
	}
	if s.spec, s.err = l.spec(a, s.w); s.err != nil {
		return s
	}
	if s.w.lines, s.err = l.out.Open(l.stream(cfg, a.Gen, a.Restarts)); s.err == nil {
		s.spec.Stdout, s.spec.Stderr = s.w.lines.Stdout, s.w.lines.Stderr
	}
	return s
}

// execPatience is how long the loop waits for a fork and exec, which take a
// millisecond. A program or directory on a file system that does not answer can
// take for ever; signals and the other workers must not wait for it.
const execPatience = time.Second

// fork makes the processes. An exit may be reported before this returns, but
// only to the inbox, which the loop reads when the instances are known. What has
// not come back in time is not done, and answered by late.
func (l *loop) fork(starts []*launch) {
	queue, back := make(chan *launch, len(starts)), make(chan *launch, len(starts))
	for _, s := range starts {
		queue <- s
	}
	close(queue)
	work := func() {
		for s := range queue {
			s.fork(l)
			back <- s
		}
	}
	for range min(runtime.GOMAXPROCS(0), len(starts)) {
		go work()
	}
	timer := time.NewTimer(execPatience)
	defer timer.Stop()
	for left := len(starts); left > 0; left-- {
		select {
		case s := <-back:
			s.done = true
		case <-timer.C:
			go work() // in place of those that hang
			go func() {
				for range left {
					s := <-back
					l.g.in.call(func(l *loop) { l.late(s) })
				}
			}()
			return
		}
	}
}

// fork runs beside the loop, of which it uses what never changes.
func (s *launch) fork(l *loop) {
	if s.err == nil {
		s.spec.Cgroup = l.group(s.w)
		s.w.proc, s.err = l.kernel.Spawn(s.spec)
	}
	if s.w != nil && s.w.lines != nil {
		s.w.lines.CloseChildEnds()
	}
}

// late answers a spawn that took too long to be waited for, and deals with what
// was heard of its process meanwhile.
func (l *loop) late(s *launch) {
	delete(l.hung, s.a.Worker)
	l.step(l.started(s))
	early := l.early
	l.early = nil
	l.hearOut(early)
	for _, e := range early {
		if b := l.translate(e); len(b) > 0 {
			l.step(b)
		}
	}
}

// started makes the instance known, or clears away what it would have needed.
func (l *loop) started(s *launch) fleet.Event {
	if s.err != nil {
		if s.w != nil {
			if s.w.lines != nil {
				s.w.lines.Finish()
			}
			l.disband(s.w)
		}
		return fleet.SpawnFailed{Worker: s.a.Worker, Gen: s.a.Gen, Detail: s.err.Error()}
	}
	w := s.w
	w.start = w.proc.Start
	l.live[s.a.Worker] = w
	l.inquest.begin(w)
	l.writePIDFile(w)
	l.watch.Watch(l.subject(s.a.Worker, w, false))
	return fleet.Started{Worker: s.a.Worker, Gen: s.a.Gen, PID: w.proc.PID, Ticks: w.proc.StartTicks}
}

// adopt takes over a process that an earlier ProcGuard left. Without its output
// it would block when the pipe is full, so one whose pipes cannot be opened is
// reported as it is: watched, and what it says is lost.
func (l *loop) adopt(a fleet.Adopt) {
	cfg := l.byID[a.Worker]
	// Its NOTIFY_SOCKET is where the next one's would be: we listen there again.
	w := &instance{gen: a.Gen, cfg: cfg, rank: -1, marker: l.marker(a.Worker, a.Gen), notify: l.scratch != ""}
	s := reaper.Survivor{PID: a.PID, StartTicks: a.Ticks, Instance: l.marker(a.Worker, a.Gen), Leader: true}
	if l.groups != nil {
		s.Cgroup = l.regroup(w, a.PID)
	}
	var err error
	w.proc, err = l.kernel.Adopt(s, a.Worker, a.Gen)
	l.live[a.Worker] = w
	if err != nil {
		// It died between the scan and now, and what it has left behind is nobody's
		// child of ours: without this it would run beside the next instance.
		if !errors.Is(err, os.ErrProcessDone) {
			l.log.Warn("a worker of an earlier procguard cannot be watched, so it is ended", "worker", a.Worker, "pid", a.PID, "error", err)
			_ = s.End(syscall.SIGKILL)
		}
		l.sweep(s.Instance)
		l.g.in.exit(reaper.Exit{ID: a.Worker, Gen: a.Gen, PID: a.PID, Unknown: true, Gone: true})
		return
	}
	w.start = w.proc.Start
	l.inquest.begin(w)
	if cfg.PIDFile != "" {
		w.files = append(w.files, cfg.PIDFile)
	}
	restarts := 0
	if s, ok := l.fleet.Worker(a.Worker); ok {
		restarts = s.RestartCount
		if s.ReadyTime > 0 { // it was, under the ProcGuard before us
			w.ready = time.UnixMilli(int64(s.ReadyTime * 1000))
		}
	}
	if w.lines, err = l.out.Adopt(a.PID, l.stream(cfg, a.Gen, restarts)); err != nil {
		w.lines = nil
		l.log.Warn("the output of an adopted worker cannot be read", "worker", a.Worker, "pid", a.PID, "error", err)
	}
	l.watch.Watch(l.subject(a.Worker, w, true))
}

// sweep kills whatever carries a marker, until a search finds nothing more.
func (l *loop) sweep(marker string) {
	for end := time.Now().Add(strayEnd); time.Now().Before(end); time.Sleep(time.Millisecond) {
		left := 0
		found, err := l.kernel.Survivors(marker)
		for _, s := range found {
			if s.Instance == marker { // the prefix of another's may be the same
				left++
				_ = s.End(syscall.SIGKILL) // it may be gone by now
			}
		}
		if err != nil || left == 0 {
			return
		}
	}
	l.log.Error("what an earlier procguard left cannot be ended", "instance", marker)
}

// marker names an instance for ever: no two processes have had the same one.
func (l *loop) marker(worker string, gen uint64) string {
	return l.prefix() + strconv.FormatUint(gen, 10) + ":" + worker
}

func (l *loop) prefix() string { return l.volume + ":" }

// parseMarker is the reverse of marker.
func (l *loop) parseMarker(s string) (worker string, gen uint64, ok bool) {
	rest, ok := strings.CutPrefix(s, l.prefix())
	if !ok {
		return "", 0, false
	}
	num, worker, ok := strings.Cut(rest, ":")
	gen, err := strconv.ParseUint(num, 10, 64)
	return worker, gen, ok && err == nil
}

func (l *loop) stream(cfg *config.Worker, gen uint64, attempt int) logs.StreamSpec {
	s := logs.StreamSpec{Worker: cfg.ID, Attempt: attempt, OnLine: l.onLine(cfg, gen), Quiet: !cfg.Logs.Console,
		JSON: cfg.Logs.Format == "json", RotateBytes: cfg.Logs.MaxSize, RotateKeep: cfg.Logs.MaxFiles}
	if s.RotateKeep == 0 {
		s.RotateKeep = -1 // max_files: 0 keeps none
	}
	if cfg.Logs.Files {
		s.Dir = l.logDir(cfg)
	}
	return s
}

func (l *loop) logDir(cfg *config.Worker) string {
	if cfg.Logs.Dir != "" {
		return cfg.Logs.Dir
	}
	if l.dir == "" {
		return ""
	}
	return filepath.Join(l.dir, "logs")
}

// onLine looks for what lines mean: that a worker is ready, alive, failed, or how far it is.
// What is found before its instance is known counts too, but for ready only: heartbeats and
// steps come again.
func (l *loop) onLine(cfg *config.Worker, gen uint64) func(logs.Stream, []byte) bool {
	p := probe.NewPatterns(probe.PatternSpec{Ready: cfg.Ready.Log, Alive: cfg.LogPattern.Alive, Fail: cfg.LogPattern.Fail, Progress: cfg.LogPattern.Progress})
	if p == nil {
		return nil
	}
	onlyReady := cfg.LogPattern.Alive == nil && cfg.LogPattern.Fail == nil && cfg.LogPattern.Progress == nil
	id, in, watch := cfg.ID, l.g.in, l.watch
	var mu sync.Mutex // the streams are read by two goroutines
	return func(_ logs.Stream, line []byte) bool {
		mu.Lock()
		defer mu.Unlock()
		f := p.Match(line, time.Now())
		if f.Ready {
			in.fact(fleet.Ready{Worker: id, Gen: gen})
		}
		if f.Any() {
			watch.Heard(id, gen, f)
		}
		return !(f.Ready && onlyReady)
	}
}

// spec is what the kernel needs to know. It makes the files that the worker's
// environment names.
func (l *loop) spec(a fleet.Spawn, w *instance) (reaper.Spec, error) {
	cfg := w.cfg
	s := reaper.Spec{ID: a.Worker, Gen: a.Gen, Instance: l.marker(a.Worker, a.Gen), Argv: cfg.Command,
		Dir: cfg.WorkingDir, Umask: cfg.Umask, Nice: cfg.Nice, CPUs: cfg.CPUAffinity}
	for _, name := range slices.Sorted(keys(cfg.Rlimits)) {
		r := cfg.Rlimits[name]
		s.Rlimits = append(s.Rlimits, reaper.Rlimit{Resource: rlimits[name], Cur: r.Soft, Max: r.Hard})
	}
	owner, err := account.Lookup(cfg.User)
	if err != nil {
		return s, err
	}
	if w.owner = owner; owner != nil {
		s.Credential = owner.Credential
	}
	if err := l.writeTasks(a.Worker, owner); err != nil {
		l.log.Warn("the task file cannot be written; the tasks are in PROCGUARD_TASKS", "worker", a.Worker, "error", err)
	}
	s.Env, err = l.environment(a, w, owner)
	return s, err
}

// drop forgets an instance of which nothing is left.
func (l *loop) drop(id string, w *instance) {
	delete(l.live, id)
	l.remember(id, w)
	l.disband(w)
	w.base.close()
	l.remove(w)
}

func (l *loop) remove(w *instance) {
	for _, f := range w.files {
		_ = unix.Unlink(f) // somebody else may have removed it
	}
}

// writePIDFile writes pid_file as people expect it: the number and a newline.
func (l *loop) writePIDFile(w *instance) {
	if w.cfg.PIDFile == "" {
		return
	}
	if err := replaceFile(w.cfg.PIDFile, []byte(strconv.Itoa(w.proc.PID)+"\n")); err != nil {
		l.log.Warn("pid_file cannot be written", "worker", w.cfg.ID, "error", err)
		return
	}
	w.files = append(w.files, w.cfg.PIDFile)
}

// replaceFile changes a file in one step, so that a reader sees the old or the
// new content.
func replaceFile(path string, data []byte) error {
	tmp := path + ".tmp"
	_ = os.Remove(tmp)
	// O_EXCL: in a directory that is open to all, a link may lie in wait there.
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
