package slate

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"
)

// process is what /proc/PID/stat tells.
type process struct {
	pid   int
	comm  string
	state byte
	ticks uint64
}

// readProcess fails if there is no such process. Its name may hold anything, so what
// follows is split behind the last parenthesis.
func readProcess(pid int) (process, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	f := strings.Fields(string(b[end+1:]))
	if open < 0 || end < open || len(f) < 20 {
		return process{}, fmt.Errorf("slate: malformed stat of %d", pid)
	}
	p := process{pid: pid, comm: string(b[open+1 : end]), state: f[0][0]}
	p.ticks, err = strconv.ParseUint(f[19], 10, 64)
	return p, err
}

// ended says whether it is a zombie. One whose main thread has ended is called so too,
// but has other threads.
func (p process) ended() bool {
	if p.state != 'Z' && p.state != 'X' {
		return false
	}
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.pid))
	return len(tasks) < 2
}

// String is for people: "pid 12 (python3 train.py), state D". It goes into logs and
// incidents: arguments behind the program's name may hold secrets.
func (p process) String() string {
	what := p.comm
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.pid)); err == nil && len(b) > 0 {
		what = program(strings.Split(string(bytes.Trim(b, "\x00")), "\x00"))
	}
	if len(what) > 200 {
		what = what[:200] + "…"
	}
	return fmt.Sprintf("pid %d (%s), state %c", p.pid, what, p.state)
}

// program is what runs: the first argument, and the script or module that it runs.
func program(args []string) string {
	switch {
	case len(args) > 1 && scripts[path.Ext(args[1])]:
		return args[0] + " " + args[1]
	case len(args) > 2 && args[1] == "-m":
		return args[0] + " -m " + args[2]
	}
	return args[0]
}

var scripts = map[string]bool{".py": true, ".sh": true, ".pl": true, ".rb": true, ".js": true}

// alive is the living process that p is, if it is.
func (p Process) alive() (process, bool) {
	now, err := readProcess(p.PID)
	if err != nil || now.ended() || p.Ticks != 0 && p.Ticks != now.ticks {
		return process{}, false
	}
	return now, true
}

func cleanDead(ctx context.Context, dead []Process, r *Report) {
	began := time.Now()
	var left []process
	ok := until(ctx, func() bool {
		left = nil
		for _, p := range dead {
			if now, alive := p.alive(); alive {
				left = append(left, now)
			}
		}
		return len(left) == 0
	})
	for _, p := range left {
		r.unclean("still alive: %v", p)
	}
	if waited := time.Since(began); ok && waited > pause {
		r.cleaned("all processes have ended, after %d ms", waited.Milliseconds())
	}
}

// processes lists all that we can see.
func processes() (all []process) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			if p, err := readProcess(pid); err == nil {
				all = append(all, p)
			}
		}
	}
	return all
}
