// Package disktest makes disks fail on purpose, for tests.
package disktest

import (
	"strings"
	"sync"

	"github.com/procguard/procguard/state/journal/disk"
)

// Op names a call that can be made to fail.
type Op string

// The calls.
const (
	Mkdir    Op = "mkdir"
	Create   Op = "create"
	Write    Op = "write"
	Truncate Op = "truncate"
	Datasync Op = "datasync"
	Rename   Op = "rename"
	Remove   Op = "remove"
	SyncDir  Op = "syncdir"
)

// Faulty is a file system in front of the real one. The zero value lets
// everything pass. It is safe for concurrent use.
type Faulty struct {
	disk.OS

	mu     sync.Mutex
	rules  []rule
	stall  chan struct{} // non-nil: calls wait until it is closed
	counts map[Op]int
	short  int // bytes a failing write still writes
}

type rule struct {
	op    Op
	match string
	err   error
}

// Fail makes every call of op on a path that contains match return err, until
// Heal.
func (f *Faulty) Fail(op Op, match string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, rule{op, match, err})
}

// Short makes failing writes write the first n bytes all the same, as a disk
// does that becomes full in the middle.
func (f *Faulty) Short(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.short = n
}

// Stall makes every call wait until Heal.
func (f *Faulty) Stall() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stall == nil {
		f.stall = make(chan struct{})
	}
}

// Heal ends all failures and lets waiting calls go on.
func (f *Faulty) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = nil
	if f.stall != nil {
		close(f.stall)
		f.stall = nil
	}
}

// Count is how often op was called, failures included.
func (f *Faulty) Count(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[op]
}

func (f *Faulty) check(op Op, path string) error {
	f.mu.Lock()
	if f.counts == nil {
		f.counts = map[Op]int{}
	}
	f.counts[op]++
	stall := f.stall
	f.mu.Unlock()
	if stall != nil {
		<-stall
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.rules {
		if r.op == op && strings.Contains(path, r.match) {
			return r.err
		}
	}
	return nil
}

// MkdirAll implements disk.FS.
func (f *Faulty) MkdirAll(dir string) error {
	if err := f.check(Mkdir, dir); err != nil {
		return err
	}
	return f.OS.MkdirAll(dir)
}

// Create implements disk.FS.
func (f *Faulty) Create(path string) (disk.File, error) {
	if err := f.check(Create, path); err != nil {
		return nil, err
	}
	file, err := f.OS.Create(path)
	if err != nil {
		return nil, err
	}
	return &faultyFile{File: file, fs: f, path: path}, nil
}

// Rename implements disk.FS.
func (f *Faulty) Rename(from, to string) error {
	if err := f.check(Rename, to); err != nil {
		return err
	}
	return f.OS.Rename(from, to)
}

// Remove implements disk.FS.
func (f *Faulty) Remove(path string) error {
	if err := f.check(Remove, path); err != nil {
		return err
	}
	return f.OS.Remove(path)
}

// RemoveAll implements disk.FS.
func (f *Faulty) RemoveAll(path string) error {
	if err := f.check(Remove, path); err != nil {
		return err
	}
	return f.OS.RemoveAll(path)
}

// SyncDir implements disk.FS.
func (f *Faulty) SyncDir(dir string) error {
	if err := f.check(SyncDir, dir); err != nil {
		return err
	}
	return f.OS.SyncDir(dir)
}

type faultyFile struct {
	disk.File
	fs   *Faulty
	path string
}

func (f *faultyFile) Write(p []byte) (int, error) {
	err := f.fs.check(Write, f.path)
	if err == nil {
		return f.File.Write(p)
	}
	f.fs.mu.Lock()
	short := min(f.fs.short, len(p))
	f.fs.mu.Unlock()
	n, _ := f.File.Write(p[:short])
	return n, err
}

func (f *faultyFile) Truncate(size int64) error {
	if err := f.fs.check(Truncate, f.path); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *faultyFile) Datasync() error {
	if err := f.fs.check(Datasync, f.path); err != nil {
		return err
	}
	return f.File.Datasync()
}
