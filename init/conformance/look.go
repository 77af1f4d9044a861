package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// process is a line of /proc, as seen from outside the box.
type process struct {
	pid, ppid, pgrp int
	state           byte
	ticks           int // user and system time, in hundredths of a second
}

func look(pid int) (process, bool) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	at := strings.LastIndexByte(string(data), ')') // a name may have anything in it
	if err != nil || at < 0 {
		return process{}, false
	}
	f := strings.Fields(string(data[at+1:]))
	if len(f) < 13 {
		return process{}, false
	}
	n := func(i int) int { v, _ := strconv.Atoi(f[i]); return v }
	return process{pid: pid, ppid: n(1), pgrp: n(2), state: f[0][0], ticks: n(11) + n(12)}, true
}

// children of a process, oldest number first.
func children(pid int) []process {
	names, _ := filepath.Glob("/proc/[0-9]*")
	var all []process
	for _, n := range names {
		id, _ := strconv.Atoi(filepath.Base(n))
		if p, ok := look(id); ok && p.ppid == pid {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b process) int { return a.pid - b.pid })
	return all
}

// hasChild is quicker, for a process of one thread.
func hasChild(pid int) bool {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	return len(data) > 0
}

func zombies(pid int) int {
	return len(slices.DeleteFunc(children(pid), func(p process) bool { return p.state != 'Z' }))
}

// field is a line of /proc/PID/status.
func field(pid int, name string) string {
	data, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// mask is a signal set of /proc/PID/status.
func mask(pid int, name string) uint64 {
	v, _ := strconv.ParseUint(field(pid, name), 16, 64)
	return v
}

func state(pid int) byte {
	p, _ := look(pid)
	return p.state
}

// inner is a process's number in its own namespace.
func inner(pid int) string {
	f := strings.Fields(field(pid, "NSpid"))
	if len(f) == 0 {
		return ""
	}
	return f[len(f)-1]
}

// under finds a descendant by its number in the namespace.
func under(pid int, number string) (int, bool) {
	for _, c := range children(pid) {
		if inner(c.pid) == number {
			return c.pid, true
		}
		if found, ok := under(c.pid, number); ok {
			return found, true
		}
	}
	return 0, false
}

// child is the init's only child, once it has one.
func (b *box) child(init int) int {
	var all []process
	if !b.t.eventually(func() bool { all = children(init); return len(all) > 0 }) {
		b.t.fail("%s", b.why("no child"))
	}
	return all[0].pid
}

// guest is the init's number, as we see it, where it is not PID 1.
func (b *box) guest() int {
	number, ok := next(b.t, b.news, "init ", patience)
	if !ok {
		b.t.fail("the init was not started: %s", strings.TrimSpace(b.stderr()))
	}
	pid, ok := under(b.pid, number)
	if !ok {
		b.t.fail("the init is gone: %s", b.left())
	}
	return pid
}

// left is how a guest ended: as waitWithin has it.
func (b *box) leftCode() int {
	text, ok := next(b.t, b.news, "ended ", patience)
	if !ok {
		return 1000
	}
	n, _ := strconv.ParseUint(text, 10, 32)
	return codeOf(uint32(n))
}

func (b *box) left() string { return codeText(b.leftCode()) }
