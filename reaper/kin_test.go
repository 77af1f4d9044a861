package reaper

import (
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// The record of a worker follows its tree: the dead are taken off, and what was seen stays
// known when the link that showed it has gone.
func TestSurveyKeepsWhatItSaw(t *testing.T) {
	g := newRig(t)
	f := g.file("f")
	s := g.sh("w", `
		sleep 1000 & echo $! >>$F
		sh -c 'setsid env -i /bin/sleep 1000 & echo $! >>$F; read x <$F.go' &
		echo $! >>$F; wait; exec sleep 1000`)
	s.Env = append(os.Environ(), "F="+f)
	if err := syscall.Mkfifo(f+".go", 0o600); err != nil {
		t.Fatal(err)
	}
	p := g.spawn(s)
	g.read(f, 3)
	g.eventually("three descendants", func() bool { return g.r.Survey(p) == 3 })
	sleeper, _ := strconv.Atoi(g.read(f, 3)[0])
	_ = syscall.Kill(sleeper, syscall.SIGKILL)
	fifo, err := os.OpenFile(f+".go", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fifo.Close() // the middle one ends, and with it the link
	g.eventually("one descendant", func() bool { return g.r.Survey(p) == 1 })
	_ = syscall.Kill(p.PID, syscall.SIGKILL)
	if e := g.exit(p); e.Leftovers != 1 {
		t.Errorf("%d leftovers", e.Leftovers)
	}
	g.gone(p)
	if n := len(g.r.kin); n != 0 {
		t.Errorf("%d left on record", n)
	}
	if n := g.r.Survey(p); n != 0 {
		t.Errorf("survey of the dead: %d", n)
	}
}

// Without CONFIG_PROC_CHILDREN the tree is found in the list of all processes.
func TestSurveyWithoutChildrenFile(t *testing.T) {
	g := newRig(t)
	g.r.mu.Lock()
	kids := g.r.kids
	g.r.kids = -1
	g.r.mu.Unlock()
	p := g.spawn(g.sh("w", "sleep 1000 & sh -c 'sleep 1000; :' & wait"))
	g.eventually("three descendants", func() bool { return g.r.Survey(p) == 3 })
	_ = g.r.Kill(p)
	g.gone(p)
	g.r.mu.Lock()
	g.r.kids = kids
	g.r.mu.Unlock()
}

// A pid on record that somebody else has by now is nobody's kin.
func TestKinsmanIsNotWhoeverHasThePid(t *testing.T) {
	r := newReaper(Options{})
	c := &child{}
	r.addKin(c, map[int]uint64{os.Getpid(): 1})
	if r.kinsman(os.Getpid()) != nil {
		t.Error("convicted by the number alone")
	}
}

// An exec that takes long keeps the question open for a while, not for ever.
func TestExecPatience(t *testing.T) {
	r := newReaper(Options{})
	c := &child{}
	r.pending[c] = true
	if !r.isUndecided(7) || !r.isUnsettled() {
		t.Error("decided at once")
	}
	r.unread[7] = time.Now().Add(-execPatience - time.Second/2)
	if r.isUndecided(7) || r.isUnsettled() {
		t.Error("never decided")
	}
	if _, stranger := r.orphans[7]; !stranger {
		t.Error("asked again")
	}
	r.unread[8] = time.Now()
	delete(r.pending, c)
	if r.isUnsettled() {
		t.Error("waits for nobody")
	}
}
