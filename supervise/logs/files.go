package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"syscall"
	"time"
)

// maxOpenFiles are kept open at a time; opening another one again for a write
// is cheap, running out of descriptors is not.
const maxOpenFiles = 256

// target is a stream's file as the writer sees it.
type target struct {
	logFile
	spec    StreamSpec
	pruned  bool
	lastUse uint64
	loss    loss // read, but not in the file: to be marked before the next write
	reason  string
}

// lostCount may be read by anyone while the writer counts.
type lostCount struct {
	lines, bytes atomic.Uint64
	failing      atomic.Int64 // files whose last write failed
}

func (c *lostCount) add(lines, bytes uint64) {
	c.lines.Add(lines)
	c.bytes.Add(bytes)
}

// fileWriter writes all files, in one goroutine: a disk that hangs stops
// this goroutine and nothing else.
type fileWriter struct {
	q      *queue
	opts   Options
	notice func(string)
	done   chan struct{}

	uses    uint64
	open    map[*target]struct{}
	failing map[*target]struct{}
	lost    lostCount
}

func newFileWriter(o Options, notice func(string)) *fileWriter {
	w := &fileWriter{
		q: newQueue(o.FileQueue), opts: o, notice: notice, done: make(chan struct{}),
		open: map[*target]struct{}{}, failing: map[*target]struct{}{},
	}
	go w.run()
	return w
}

func (w *fileWriter) newTarget(spec StreamSpec, stream Stream) *target {
	defaultTo(&spec.RotateBytes, w.opts.RotateBytes)
	defaultTo(&spec.RotateKeep, w.opts.RotateKeep)
	return &target{spec: spec, logFile: logFile{
		path: Path(spec.Dir, spec.Attempt, spec.Worker, stream),
		max:  spec.RotateBytes, keep: spec.RotateKeep,
	}}
}

func (t *target) format(usual Format) Format {
	if t.spec.JSON {
		return JSON
	}
	return usual
}

func (w *fileWriter) run() {
	defer close(w.done)
	for {
		b, ok := w.q.take()
		if !ok {
			break
		}
		w.batch(b)
	}
	for t := range w.open {
		t.close()
	}
}

func (w *fileWriter) batch(b batch) {
	data := b.data
	for _, r := range b.recs {
		w.write(r.src.file, data[:r.n], r.src)
		data = data[r.n:]
		if r.done {
			w.end(r.src.file)
		}
	}
	for _, l := range b.losses {
		t := l.src.file
		t.lose(l, "log queue full")
		w.write(t, nil, l.src)
	}
}

// write puts the mark of an earlier gap first. It never retries: the next
// output does, so a disk that heals is used at once and nothing wakes for
// one that does not.
func (w *fileWriter) write(t *target, b []byte, src *source) {
	if len(b) == 0 && t.loss.bytes == 0 {
		return
	}
	w.use(t)
	err := w.mark(t)
	n := 0
	if err == nil && len(b) > 0 {
		n, err = t.logFile.write(b)
	}
	if rest := b[n:]; len(rest) > 0 {
		l := loss{src, uint64(bytes.Count(rest, newline)), uint64(len(rest))}
		w.lost.add(l.lines, l.bytes)
		t.lose(l, reasonOf(err))
	}
	w.judge(t, err)
}

var newline = []byte("\n")

func (t *target) lose(l loss, reason string) {
	l.lines += t.loss.lines
	l.bytes += t.loss.bytes
	t.loss, t.reason = l, reason
}

// mark writes where output is missing, on a line of its own.
func (w *fileWriter) mark(t *target) error {
	if t.loss.bytes == 0 {
		return nil
	}
	var b []byte
	if t.midLine {
		b = append(b, '\n')
	}
	b = appendMark(b, t.format(w.opts.FileFormat), t.loss, t.reason, time.Now())
	if _, err := t.logFile.write(b); err != nil {
		return err
	}
	t.loss = loss{}
	return nil
}

// judge speaks when the first file fails and when the last one is well again.
func (w *fileWriter) judge(t *target, err error) {
	before := len(w.failing)
	if err != nil {
		w.failing[t] = struct{}{}
		t.close() // a new open may find the disk mounted again
		delete(w.open, t)
	} else {
		delete(w.failing, t)
	}
	w.lost.failing.Store(int64(len(w.failing)))
	switch now := len(w.failing); {
	case before == 0 && now > 0:
		w.notice(fmt.Sprintf("cannot write log %s: %s; output to files is dropped until it can be written", t.path, reasonOf(err)))
	case before > 0 && now == 0:
		w.notice(fmt.Sprintf("logs are written again; %s were dropped so far", byteCount(w.lost.bytes.Load())))
	}
}

// use counts the file as open and closes the one longest unused if they get too many.
func (w *fileWriter) use(t *target) {
	if !t.pruned {
		t.pruned = true
		pruneAttempts(t.spec.Dir, t.spec.Worker, t.spec.Attempt, w.opts.KeepAttempts)
	}
	w.uses++
	t.lastUse = w.uses
	if _, ok := w.open[t]; ok {
		return
	}
	if len(w.open) >= maxOpenFiles {
		oldest := t
		for o := range w.open {
			if o.lastUse < oldest.lastUse {
				oldest = o
			}
		}
		oldest.close()
		delete(w.open, oldest)
	}
	w.open[t] = struct{}{}
}

// end of a stream. A gap that could not be marked stays counted in Stats only.
func (w *fileWriter) end(t *target) {
	t.close()
	delete(w.open, t)
	if _, ok := w.failing[t]; ok {
		delete(w.failing, t)
		w.lost.failing.Store(int64(len(w.failing)))
	}
}

// stop is as console's: false if the time was not enough.
func (w *fileWriter) stop(deadline <-chan time.Time) bool {
	w.q.close()
	select {
	case <-w.done:
		return true
	case <-deadline:
		return false
	}
}

// reasonOf leaves the path out: the mark stands in that file.
func reasonOf(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}
