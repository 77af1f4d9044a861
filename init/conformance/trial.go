package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"
)

const (
	// patience is how long something that should happen may take, before the cell says that it does not.
	patience = 3 * time.Second
	// rowLimit ends a row that hangs.
	rowLimit = 10 * time.Second
	// tick is how often something is looked at that cannot be waited for.
	tick = 2 * time.Millisecond
)

// trial is one row for one init.
type trial struct {
	context.Context
	init    subject
	self    string
	dir     string // its own; every user may write there
	mu      sync.Mutex
	boxes   []*box
	cleanup []func()
}

// try runs a row and cleans up after it. A row that fails in the middle panics with
// its verdict, which ends here.
func (b *bench) try(s subject, w row) verdict {
	limit := w.limit
	if limit == 0 {
		limit = rowLimit
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	t := &trial{Context: ctx, init: s, self: b.self}
	defer t.close()
	var err error
	if t.dir, err = os.MkdirTemp(b.dir, "row-"); err != nil {
		return no("%v", err)
	}
	if err := os.Chmod(t.dir, 0o777); err != nil {
		return no("%v", err)
	}
	done := make(chan verdict, 1)
	go func() {
		var v verdict
		defer func() { done <- settled(recover(), v) }()
		v = w.run(t)
	}()
	select {
	case got := <-done:
		return got
	case <-ctx.Done():
		return no("hangs")
	}
}

func settled(stopped any, v verdict) verdict {
	switch s := stopped.(type) {
	case nil:
		return v
	case verdict:
		return s
	default:
		return no("bug in the suite: %v", s)
	}
}

func (t *trial) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range t.boxes {
		b.kill()
	}
	for _, f := range t.cleanup {
		f()
	}
	_ = os.RemoveAll(t.dir)
}

// fail ends the row.
func (t *trial) fail(format string, args ...any) { panic(no(format, args...)) }

// need ends the row where the suite itself is stuck.
func (t *trial) need(err error) {
	if err != nil {
		t.fail("%v", err)
	}
}

// eventually polls until cond holds, or patience or the row's time is over.
func (t *trial) eventually(cond func() bool) bool {
	for end := time.Now().Add(patience); time.Now().Before(end) && t.Err() == nil; time.Sleep(tick) {
		if cond() {
			return true
		}
	}
	return cond()
}

func (t *trial) file(name, text string, mode os.FileMode) string {
	path := t.dir + "/" + name
	t.need(os.WriteFile(path, []byte(text), mode))
	t.need(os.Chmod(path, mode))
	return path
}

// me is the command line of one of this program's roles.
func (t *trial) me(role string, args ...any) []string {
	argv := []string{t.self, role}
	for _, a := range args {
		argv = append(argv, fmt.Sprint(a))
	}
	return argv
}
