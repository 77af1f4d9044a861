package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func reapRows() []row {
	return []row{
		{name: "1 orphan", required: true, run: reaps(1), means: "Reaped."},
		{name: "1,000 orphans", required: true, run: reaps(1000), means: "Made by double forks: no zombie is left a second after."},
		{name: "10,000 orphans", required: true, limit: 40 * time.Second, run: reaps(10000), means: "Likewise."},
		{name: "CPU for 10,000 orphans", loose: true, limit: 40 * time.Second, run: reapCost,
			means: "Processor time of the init for these, in ms, by the kernel's own accounts."},
		{name: "children from before", required: true, run: fromBefore(200),
			means: "Children that PID 1 had made before it executed the init, and that die later with code 9, are reaped, and none is taken for the command."},
		{name: "zombies from before", run: fromBefore(0), means: "The same for those that were dead when the init started: reaped though no other child dies."},
		{name: "orphans' codes", required: true, run: othersCodes, means: "200 orphans exit with 7, then the command with 3: the init exits with 3."},
		{name: "numbers come round again", required: true, run: wrapped,
			means: "The same while the namespace's counter of process numbers is set back 300 times, to those that were used when the init started."},
		{name: "fork bomb", required: true, run: forkBomb, means: "Under a pids limit of 40: the init lives, and no zombie is left."},
		{name: "output held open", required: true, run: heldOpen, means: "The init ends with its command, though another process has its standard output open."},
	}
}

func reaps(n int) func(*trial) verdict {
	return func(t *trial) verdict {
		b := t.start(launch{cmd: t.me("@orphans", n, 0)})
		b.allMade(n)
		return b.reaped()
	}
}

func (b *box) allMade(n int) {
	l, ok := b.lineWithin("made ", time.Minute)
	if !ok {
		b.t.fail("%s", b.why("the command hangs"))
	}
	if l != strconv.Itoa(n) {
		b.t.fail("only %s were made", l)
	}
}

// reaped gives it a second.
func (b *box) reaped() verdict {
	var left int
	for end := time.Now().Add(time.Second); ; time.Sleep(10 * time.Millisecond) {
		if left = zombies(b.pid); left == 0 || time.Now().After(end) {
			break
		}
	}
	select {
	case <-b.done:
		return no("%s", b.outcome())
	default:
		return when(left == 0, "%d left", left)
	}
}

func reapCost(t *trial) verdict {
	const n = 10000
	b := t.start(launch{cmd: t.me("@orphans", n, 0)})
	b.allMade(n)
	if v := b.reaped(); !v.Good {
		return v
	}
	p, _ := look(b.pid)
	return value(true, "%d ms", p.ticks*10)
}

// endsWith lets the command end, and expects the init to have its code.
func (b *box) endsWith(want int) verdict {
	b.in.Close()
	code := b.wait()
	return when(code == want, "%s", codeText(code))
}

func fromBefore(ms int) func(*trial) verdict {
	return func(t *trial) verdict {
		b := t.start(launch{cmd: t.me("@ask", 3), setup: setup{Earlier: 10, EarlierLife: ms}})
		b.must("ready ")
		time.Sleep(time.Duration(ms) * time.Millisecond)
		if v := b.reaped(); !v.Good {
			return v
		}
		return b.endsWith(3)
	}
}

func othersCodes(t *trial) verdict {
	b := t.start(launch{cmd: t.me("@orphans", 200, 7)})
	b.allMade(200)
	return b.endsWith(3)
}

func wrapped(t *trial) verdict {
	b := t.start(launch{cmd: t.me("@around", 300), setup: setup{Earlier: 4}})
	b.allMade(300)
	if v := b.reaped(); !v.Good {
		return v
	}
	return b.endsWith(3)
}

// pidsGroup makes a control group with a limit; v2 and v1 are both common.
func (t *trial) pidsGroup(limit int) (procs string, ok bool) {
	for _, root := range []string{"/sys/fs/cgroup/pids", "/sys/fs/cgroup"} {
		dir := filepath.Join(root, filepath.Base(filepath.Dir(t.dir))+"-"+filepath.Base(t.dir))
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.cleanup = append(t.cleanup, func() { _ = os.Remove(dir) })
		if os.WriteFile(dir+"/pids.max", []byte(strconv.Itoa(limit)), 0) == nil {
			return dir + "/cgroup.procs", true
		}
	}
	return "", false
}

func forkBomb(t *trial) verdict {
	procs, ok := t.pidsGroup(40)
	if !ok {
		return value(true, "n/a")
	}
	b := t.start(launch{cmd: t.me("@bomb", 1500), setup: setup{Pids: procs}})
	made := strings.Fields(b.must("made "))
	if made[1] == "0" {
		t.fail("the limit was not met")
	}
	if v := b.reaped(); !v.Good {
		return v
	}
	return b.endsWith(3)
}

func heldOpen(t *trial) verdict {
	b := t.start(launch{cmd: t.me("@hold", 4)})
	code := b.wait()
	return when(code == 4, "%s", codeText(code))
}
