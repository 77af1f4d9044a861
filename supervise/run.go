package supervise

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/procguard/procguard/reaper"
	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/state/journal"
	"github.com/procguard/procguard/supervise/config"
	"github.com/procguard/procguard/supervise/fleet"
	"github.com/procguard/procguard/supervise/logs"
)

// cannotStart is the exit code when nothing was started because ProcGuard's own
// needs could not be met, as docker and others have it.
const cannotStart = 125

// run sets everything up, turns the loop and takes everything down.
func (g *Guard) run(ctx context.Context) (Outcome, error) {
	l := &loop{g: g, live: map[string]*instance{}, fallen: map[string]*instance{}, hung: map[string]uint64{}, former: map[string]former{}, tidying: map[*tidy]bool{}, ports: ports{}}
	l.use(g.Config())
	closeLog, err := l.openLog()
	if err != nil {
		return Outcome{Code: 2, Why: err.Error()}, err
	}
	defer closeLog()
	// PID 1's duty first: from here on the dead are reaped.
	r, err := reaper.Start(reaper.Options{OnExit: g.in.exit, OnGone: g.in.gone})
	if err != nil {
		return Outcome{Code: cannotStart, Why: err.Error()}, err
	}
	defer r.Close()
	l.kernel = r
	snap, err := l.openState()
	if err != nil {
		return Outcome{Code: cannotStart, Why: err.Error()}, err
	}
	defer func() { l.closeState() }()
	if err := l.openOutput(); err != nil {
		return Outcome{Code: 1, Why: err.Error()}, err
	}
	defer l.closeOutput()
	l.reckonFiles()
	l.openGroups()
	l.openInquest(r)
	defer l.inquest.close()
	if err := l.openWatch(r); err != nil {
		return Outcome{Code: 1, Why: err.Error()}, err
	}
	defer l.watch.Close()
	if l.fleet, err = fleet.New(spec(l.cfg), snap); err != nil {
		return Outcome{Code: 1, Why: err.Error()}, err
	}
	l.openDoors()
	defer l.closeDoors()
	survivors := l.survivors(r, snap)
	l.step(fleet.Boot{Volume: l.volume, Survivors: survivors})
	l.run = l.fleet.Status().Run
	close(g.ready)
	l.turn(ctx)
	return *l.outcome, nil
}

// openState opens the volume. Without one that can be written, supervision goes
// on in memory; it is said once, and status says so as long as it lasts.
func (l *loop) openState() (*state.Snapshot, error) {
	opt := journal.Options{SyncTimeout: l.cfg.State.SyncTimeout, Log: l.journalLog, Now: time.Now}
	dir := l.cfg.State.Dir
	j, snap, err := openJournal(dir, opt)
	var ro *journal.NotWritableError
	if errors.As(err, &ro) && !l.cfg.State.DirSet {
		if own, e := userStateDir(l.cfg.File); e == nil {
			l.log.Warn("state goes to another directory", "dir", own, "why", err.Error())
			dir = own
			j, snap, err = openJournal(own, opt)
		}
	}
	if errors.As(err, &ro) {
		snap = ro.Snapshot
		if snap == nil {
			snap = state.New()
		}
		dir, j, err = "", journal.OpenMemory(snap, err.Error(), opt), nil
	}
	if err != nil {
		return nil, err
	}
	if abs, err := filepath.Abs(dir); err == nil && dir != "" {
		dir = abs // status names it to people who are elsewhere
	}
	l.disk, l.dir = j, dir
	if l.g.opt.Fresh {
		snap.Finished = &state.Finish{Code: 0, Why: "started fresh"}
	}
	if l.volume = snap.Volume; l.volume == "" {
		l.volume = newVolume()
	}
	return snap, l.openScratch()
}

func (l *loop) openScratch() (err error) {
	if l.scratch, err = makeScratch(l.dir, l.volume); err != nil {
		l.log.Warn("no directory for task and heartbeat files", "error", err)
		l.scratch = ""
	}
	l.story = newStory(l)
	return nil
}

func (l *loop) closeState() {
	l.story.close()
	if l.scratch != "" {
		_ = os.RemoveAll(l.scratch)
	}
	var final *state.Snapshot
	if l.fleet != nil {
		final = l.fleet.Snapshot()
	}
	if err := l.disk.Close(final); err != nil {
		l.log.Error("the state could not be written to the end", "error", err)
	}
}

// userStateDir is the directory for a file's state where the default one cannot
// be written, as on a laptop: one per configuration file, so that two files do
// not share workers.
func userStateDir(file string) (string, error) {
	base := os.Getenv("XDG_STATE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, "procguard", stateName(file)), nil
}

func newVolume() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b)
}

func (l *loop) journalLog(level journal.Level, msg string) {
	switch level {
	case journal.Error:
		l.log.Error(msg)
	case journal.Warn:
		l.log.Warn(msg)
	default:
		l.log.Info(msg)
	}
}

func (l *loop) openOutput() (err error) {
	opt := logs.Options{Stdout: l.g.opt.Stdout, Stderr: l.g.opt.Stderr, Notice: func(text string) { l.log.Warn(text) }}
	l.out, err = logs.New(opt)
	return err
}

func (l *loop) closeOutput() {
	for _, w := range l.live {
		if w.lines != nil {
			w.lines.Finish()
		}
	}
	if err := l.out.Close(2 * time.Second); err != nil {
		l.log.Warn("some output of the workers was not written", "error", err)
	}
}

// openLog makes ProcGuard's own log.
func (l *loop) openLog() (closeLog func(), err error) {
	if l.g.opt.Log != nil {
		l.log = l.g.opt.Log
		return func() {}, nil
	}
	out, file := l.g.opt.Stderr, io.Closer(nil)
	if path := l.cfg.Logging.File; path != "" {
		f, err := openLogFile(path)
		if err != nil {
			fmt.Fprintf(out, "procguard: cannot open logging.file: %v\nhint: the log goes to standard error alone\n", err)
		} else {
			out, file = &both{f, out}, f
		}
	}
	queue := newLossy(out)
	l.log = slog.New(newLogHandler(queue, l.cfg.Logging))
	return func() {
		queue.close()
		if file != nil {
			_ = file.Close()
		}
	}, nil
}

// StateDirs are the places where a configuration's state may be, in the order
// in which they are tried.
func StateDirs(c *config.Config) []string {
	dirs := []string{c.State.Dir}
	if own, err := userStateDir(c.File); err == nil && !c.State.DirSet {
		dirs = append(dirs, own)
	}
	return dirs
}
