package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// bench is where everything is tried: a directory that every user may enter, with
// a copy of this program in it.
type bench struct {
	dir  string
	self string
}

func newBench() (*bench, error) {
	dir, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		return nil, err
	}
	b := &bench{dir: dir, self: filepath.Join(dir, "conformance")}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	// What we were started with is not for those that we start.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	return b, errors.Join(copyFile("/proc/self/exe", b.self), writeCatcher(filepath.Join(dir, "catch")))
}

func (b *bench) close() { _ = os.RemoveAll(b.dir) }

// report is what was measured.
type report struct {
	Kernel   string                        `json:"kernel"`
	Subjects []subject                     `json:"inits"`
	Cells    map[string]map[string]verdict `json:"cells"` // by row, then by init
	areas    []area
}

// measure tries one init after the other, so that none is disturbed by another's
// storms, and a few rows of it at a time: most of them wait.
func (b *bench) measure(subjects []subject, areas []area, jobs int) *report {
	r := &report{Kernel: kernel(), Subjects: subjects, Cells: map[string]map[string]verdict{}, areas: areas}
	for _, s := range subjects {
		b.column(r, s, jobs)
	}
	return r
}

func (b *bench) column(r *report, s subject, jobs int) {
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		free = make(chan struct{}, jobs)
	)
	for _, a := range r.areas {
		for _, w := range a.rows {
			free <- struct{}{}
			wg.Go(func() {
				defer func() { <-free }()
				v := b.try(s, w)
				mu.Lock()
				defer mu.Unlock()
				r.put(w.name, s.Name, v)
			})
		}
	}
	wg.Wait()
}

func (r *report) put(row, subject string, v verdict) {
	if r.Cells[row] == nil {
		r.Cells[row] = map[string]verdict{}
	}
	r.Cells[row][subject] = v
}

// missed are the required rows that an init fails, each with its cell.
func (r *report) missed() []string {
	var all []string
	for _, a := range r.areas {
		for _, w := range a.rows {
			for _, s := range r.Subjects {
				if v := r.Cells[w.name][s.Name]; w.required && !v.Good {
					all = append(all, fmt.Sprintf("%s (%s)", w.name, v.Cell))
				}
			}
		}
	}
	return all
}
