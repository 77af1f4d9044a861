package probe

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// progress is the step that a worker has reached.
type progress struct {
	known bool
	step  int64
	at    time.Time // when it last grew

	// Of ProgressFile. It is read by a goroutine of its own, since it may lie on a file
	// system that does not answer; what there is from before is not progress.
	reading bool
	based   bool
	mark    fileMark
}

// Progress tells of a step that came another way. It causes no OnProgress.
func (p *Prober) Progress(worker string, gen uint64, step int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.find(worker, gen); w != nil {
		w.advance(step, time.Now())
	}
}

// progressed has a step told that has grown.
func (p *Prober) progressed(w *watch, step int64, now time.Time) {
	if w.advance(step, now) {
		w.news.step = &step
		p.publish(w, now)
	}
}

// advance tells whether the step has grown. A smaller one is where growth is counted
// from again: a trainer went back to a checkpoint.
func (w *watch) advance(step int64, now time.Time) bool {
	g := &w.progress
	grew := !g.known || step > g.step
	g.known, g.step = true, step
	if grew {
		g.at, w.sign = now, now
	}
	return grew
}

func (p *Prober) trackProgress(w *watch) {
	if w.s.ProgressFile != "" {
		p.tracked++
		p.readProgress(w)
	}
}

// pollProgress looks at progress files each interval. It does without inotify, which
// does not see what another machine writes to a shared file system, and checkpoints lie
// on such.
func (p *Prober) pollProgress() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tracked == 0 {
		return
	}
	for _, w := range p.watches {
		if w.s.ProgressFile != "" {
			p.readProgress(w)
		}
	}
}

// readProgress reads the file if it has changed. Close does not wait for this: the file
// system may never answer.
func (p *Prober) readProgress(w *watch) {
	if w.progress.reading {
		return
	}
	w.progress.reading = true
	go func(last fileMark) {
		mark := markOf(w.s.ProgressFile)
		var step int64
		err := errNoStep
		if mark != last && mark != (fileMark{}) {
			step, err = readStep(w.s.ProgressFile)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		w.progress.reading = false
		if !w.gone && !p.closed {
			p.sawStep(w, mark, step, err)
		}
	}(w.progress.mark)
}

func (p *Prober) sawStep(w *watch, mark fileMark, step int64, err error) {
	g, first := &w.progress, !w.progress.based
	g.based = true
	if err != nil {
		return // no file, no change, or no number in it, as in "release"
	}
	g.mark = mark
	if first {
		if !g.known {
			g.known, g.step = true, step
		}
		return
	}
	p.progressed(w, step, time.Now())
}

// maxStepFile is how much of the file is read.
const maxStepFile = 4096

var errNoStep = fmt.Errorf("no number in it")

// readStep reads the first integer in a plain file. A FIFO is not waited for.
func readStep(path string) (int64, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return 0, errNoStep
	}
	b, err := io.ReadAll(io.LimitReader(f, maxStepFile))
	if err != nil {
		return 0, err
	}
	return firstNumber(b)
}

func firstNumber(b []byte) (int64, error) {
	start := 0
	for start < len(b) && !digit(b[start]) {
		start++
	}
	end := start
	for end < len(b) && digit(b[end]) {
		end++
	}
	if start == end {
		return 0, errNoStep
	}
	return strconv.ParseInt(string(b[start:end]), 10, 64)
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
