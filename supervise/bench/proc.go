package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is what a process used in a while, and its memory at the end.
type usage struct {
	footprint
	cpu   time.Duration
	wakes int // voluntary context switches: as often it went to sleep
	over  time.Duration
}

func (u usage) cpuPerMinute() float64 {
	return u.cpu.Seconds() * 1000 * 60 / u.over.Seconds()
}

func (u usage) wakesPerSecond() float64 { return float64(u.wakes) / u.over.Seconds() }

// watch looks at a process for a while.
func watch(pid int, d time.Duration) (u usage, err error) {
	before, err := threads(pid)
	if err != nil {
		return u, err
	}
	from := time.Now()
	time.Sleep(d)
	after, err := threads(pid)
	u.over = time.Since(from)
	if err != nil {
		return u, err
	}
	for tid, t := range after {
		u.cpu += t.cpu - before[tid].cpu
		u.wakes += t.wakes - before[tid].wakes
	}
	u.footprint, err = memoryOf(pid)
	return u, err
}

// thread counts since its start.
type thread struct {
	cpu   time.Duration
	wakes int
}

// threads reads all threads of a process. CPU time is that of the scheduler, in
// nanoseconds (/proc/PID/task/TID/schedstat); stat has hundredths of a second.
func threads(pid int) (map[int]thread, error) {
	ents, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil, err
	}
	all := map[int]thread{}
	for _, e := range ents {
		t, err := readThread(filepath.Join("/proc", strconv.Itoa(pid), "task", e.Name()))
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended
		}
		if err != nil {
			return nil, err
		}
		tid, _ := strconv.Atoi(e.Name())
		all[tid] = t
	}
	return all, nil
}

func readThread(dir string) (t thread, err error) {
	data, err := os.ReadFile(filepath.Join(dir, "schedstat"))
	if err != nil {
		return t, err
	}
	first, _, _ := strings.Cut(string(data), " ")
	ns, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return t, err
	}
	t.cpu = time.Duration(ns)
	t.wakes, err = field(filepath.Join(dir, "status"), "voluntary_ctxt_switches:")
	return t, err
}

// footprint is memory in MiB: resident, with shared pages divided by their users, and what no file
// is behind.
type footprint struct{ rss, pss, anonymous float64 }

func memoryOf(pid int) (m footprint, err error) {
	path := fmt.Sprintf("/proc/%d/smaps_rollup", pid)
	for name, to := range map[string]*float64{"Rss:": &m.rss, "Pss:": &m.pss, "Anonymous:": &m.anonymous} {
		kib, err := field(path, name)
		if err != nil {
			return footprint{}, err
		}
		*to = float64(kib) / 1024
	}
	return m, nil
}

// field is the first number of a line that begins with name.
func field(path, name string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(data) {
		if f := strings.Fields(string(line)); len(f) > 1 && f[0] == name {
			return strconv.Atoi(f[1])
		}
	}
	return 0, fmt.Errorf("%s: no %s", path, name)
}

// childrenOf lists the living children of all threads of a process.
func childrenOf(pid int) ([]int, error) {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil || len(lists) == 0 {
		return nil, fmt.Errorf("the children of process %d cannot be listed", pid)
	}
	var pids []int
	for _, path := range lists {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has ended
		}
		for _, f := range strings.Fields(string(data)) {
			if child, err := strconv.Atoi(f); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids, nil
}
