package supervise

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/DeRuina/timberjack"

	"github.com/procguard/procguard/supervise/config"
)

// both writes to a file and, whatever becomes of that, to the second writer.
type both struct{ file, other io.Writer }

func (b *both) Write(p []byte) (int, error) {
	_, _ = b.file.Write(p) // a full disk must not silence standard error
	return b.other.Write(p)
}

// lossy passes lines on to a writer that may block, without ever blocking
// itself: PID 1 must go on when nobody reads its log. What does not fit into the
// queue is counted, and the count is written when there is room again.
type lossy struct {
	mu    sync.Mutex
	over  bool
	lost  int
	lines chan []byte
	done  chan struct{}
}

// lossyQueue is how many lines may wait: a burst of 1,000 workers' messages.
const lossyQueue = 4096

// lossyClose is how long the last lines have at the end.
const lossyClose = time.Second

func newLossy(w io.Writer) *lossy {
	l := &lossy{lines: make(chan []byte, lossyQueue), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for line := range l.lines {
			_, _ = w.Write(line)
		}
	}()
	return l
}

// Write never fails and never waits. What comes after close is dropped.
func (l *lossy) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return len(p), nil
	}
	line := bytes.Clone(p)
	if l.lost > 0 {
		line = append(fmt.Appendf(nil, "procguard: %d lines of this log are missing: nobody read it\n", l.lost), line...)
	}
	select {
	case l.lines <- line:
		l.lost = 0
	default:
		l.lost++
	}
	return len(p), nil
}

func (l *lossy) close() {
	l.mu.Lock()
	if !l.over {
		l.over = true
		close(l.lines)
	}
	l.mu.Unlock()
	select {
	case <-l.done:
	case <-time.After(lossyClose):
	}
}

// openLogFile opens logging.file, rotated at 100 MiB with three old files kept.
func openLogFile(path string) (io.WriteCloser, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	_ = f.Close()
	return &timberjack.Logger{Filename: path, MaxSize: 100, MaxBackups: 3}, nil
}

var levels = map[string]slog.Level{
	"DEBUG": slog.LevelDebug, "INFO": slog.LevelInfo, "WARNING": slog.LevelWarn, "ERROR": slog.LevelError,
}

func newLogHandler(out io.Writer, c config.Logging) slog.Handler {
	opt := &slog.HandlerOptions{Level: levels[c.Level]}
	if c.Format == "json" {
		return slog.NewJSONHandler(out, opt)
	}
	return &textHandler{out: out, level: levels[c.Level], mu: &sync.Mutex{}}
}

// textHandler writes lines for people: time with milliseconds, level if it is
// not INFO, message, then key=value.
type textHandler struct {
	out   io.Writer
	level slog.Level
	attrs []slog.Attr
	mu    *sync.Mutex
}

func (h *textHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h *textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.attrs = append(append([]slog.Attr{}, h.attrs...), attrs...)
	return &c
}

// WithGroup ignores groups: nothing here uses them.
func (h *textHandler) WithGroup(string) slog.Handler { return h }

func (h *textHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString("procguard ")
	b.WriteString(r.Time.Format("15:04:05.000 "))
	if r.Level != slog.LevelInfo {
		b.WriteString(r.Level.String() + " ")
	}
	b.WriteString(r.Message)
	add := func(a slog.Attr) bool {
		b.WriteString(" " + a.Key + "=" + quoted(a.Value.String()))
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	b.WriteByte('\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.out, b.String())
	return err
}

func quoted(s string) string {
	if s == "" || strings.ContainsAny(s, " \t\n\"=") {
		return strconv.Quote(s)
	}
	return s
}

// stateName is a directory name for the state of a configuration file: its own
// name, for people, and a hash of its path, to tell two of the same name apart.
func stateName(file string) string {
	abs, err := filepath.Abs(file)
	if err != nil {
		abs = file
	}
	sum := sha256.Sum256([]byte(abs))
	name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	return name + "-" + hex.EncodeToString(sum[:4])
}
