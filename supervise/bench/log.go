package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
)

// saying is a line of ProcGuard's log that a measure waits for.
type saying struct {
	at        time.Time // when ProcGuard wrote it, by its own clock: ours is the same
	recovered bool      // else: a failure was detected
}

// journal reads ProcGuard's log as it is written. What it does not look for it
// keeps the last lines of, for the case that something goes wrong.
type journal struct {
	says chan saying
	done chan struct{}

	mu   sync.Mutex
	tail []string
}

const tailLines = 10

func readLog(r io.ReadCloser) *journal {
	j := &journal{says: make(chan saying, 1<<14), done: make(chan struct{})}
	go func() {
		defer close(j.done)
		defer r.Close()
		in := bufio.NewReader(r)
		for {
			line, err := in.ReadBytes('\n')
			if len(line) > 0 {
				j.take(line)
			}
			if err != nil {
				return
			}
		}
	}()
	return j
}

func (j *journal) take(line []byte) {
	if s, ok := parse(line); ok {
		j.says <- s
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.tail = append(j.tail, string(bytes.TrimSpace(line))); len(j.tail) > tailLines {
		j.tail = j.tail[1:]
	}
}

// The two messages of a recovery that are measured, of which the first is
// written when the failure is on record.
var (
	detectedLine  = regexp.MustCompile(`^\[incident \d+\] group \S+: \S+ failed: `)
	recoveredLine = regexp.MustCompile(`^\[incident \d+\] group \S+: recovered$`)
)

// parse reads a line of `logging: {format: json}`, which has nanoseconds.
func parse(line []byte) (s saying, ok bool) {
	var l struct {
		Time time.Time `json:"time"`
		Msg  string    `json:"msg"`
	}
	if json.Unmarshal(line, &l) != nil {
		return s, false
	}
	s.at, s.recovered = l.Time, recoveredLine.MatchString(l.Msg)
	return s, s.recovered || detectedLine.MatchString(l.Msg)
}

// await waits for the next recovery to be over and says when it was detected.
func (j *journal) await() (detected time.Time, err error) {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		select {
		case s := <-j.says:
			if s.recovered && !detected.IsZero() {
				return detected, nil
			}
			if !s.recovered && detected.IsZero() {
				detected = s.at
			}
		case <-j.done:
			if len(j.says) == 0 { // select has no order
				return detected, io.ErrUnexpectedEOF
			}
		case <-limit.C:
			return detected, errSilence
		}
	}
}

// last is the end of the log. If ProcGuard has ended, what it said last may still
// be in the pipe; a worker that it left may hold the pipe open.
func (j *journal) last() string {
	select {
	case <-j.done:
	case <-time.After(100 * time.Millisecond):
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.tail, "\n  ")
}
