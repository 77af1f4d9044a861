package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	rtMarker = syscall.Signal(64) // read after every other one that is pending
	rtSome   = syscall.Signal(40)
)

func signalRows() []row {
	return []row{
		{name: "HUP INT QUIT USR1 USR2 TERM", required: true, run: theUsual,
			means: "Each of these, sent to the init, reaches the command."},
		{name: "every other signal", run: everyOther,
			means: "All of 1 to 64 but KILL, STOP and CHLD; the cell names those that do not reach the command."},
		{name: "real-time signals", required: true, run: realTime,
			means: "34 to 64 reach the command with their own number."},
		{name: "10,000 queued signals", required: true, limit: 20 * time.Second, run: storm,
			means: "So many real-time signals sent in one go; the cell says how many reached the command."},
		{name: "one after the other", run: oneByOne,
			means: "200 signals of changing numbers, each sent when the one before has arrived: each arrives once."},
		{name: "value of sigqueue", run: valueKept, means: "The number that sigqueue(3) sends along reaches the command."},
		{name: "TERM once the init listens", required: true, loose: true, limit: 40 * time.Second, run: earlyOnce,
			means: "200 starts, TERM at various moments from when the init blocks or catches it until the command runs: it has to reach the command."},
		{name: "TERM right after exec", loose: true, limit: 40 * time.Second, run: earliest,
			means: "The same from the moment of exec: before the init's first instruction the kernel drops it, as for any PID 1."},
		{name: "ignored by the command", required: true, run: ignored,
			means: "HUP, INT, QUIT and TERM to a command that ignores them leave both alive."},
		{name: "TERM ends both", required: true, run: termEnds,
			means: "A command without a handler dies of TERM, and the init exits with 143."},
		{name: "signals to the group", run: groupSignal, means: "Asked to (`-g`), or by default, the command's children get signals, too."},
		{name: "signals to the command alone", run: aloneSignal, means: "Asked to (`-c`), or by default, its children do not."},
	}
}

// catcher starts a command that takes every signal; it answers from then on.
func (t *trial) catcher(l launch) *box {
	b := t.catching(l)
	b.must("ready ")
	return b
}

// catching does not wait for the answer.
func (t *trial) catching(l launch) *box {
	l.cmd, l.caught = []string{filepath.Join(filepath.Dir(t.self), "catch")}, true
	return t.start(l)
}

// gets sends a signal to the init, and says whether the command got it.
func (b *box) gets(pid int, s syscall.Signal) bool {
	_ = syscall.Kill(pid, s)
	return b.caughtBy(pid, s)
}

// caught says whether a signal that was sent before has reached the command, or does now.
func (b *box) caught(s syscall.Signal) bool { return b.caughtBy(b.pid, s) }

// caughtBy sends a marker after the signal, which is read after it. Handlers may run
// on different threads, so what is late gets a moment more.
func (b *box) caughtBy(pid int, s syscall.Signal) bool {
	_ = syscall.Kill(pid, rtMarker)
	want, found := strconv.Itoa(int(s))+" ", false
	for {
		l, ok := b.line("got ")
		if !ok {
			return found
		}
		found = found || strings.HasPrefix(l, want)
		if strings.HasPrefix(l, "64 ") {
			break
		}
	}
	if !found {
		_, found = b.lineWithin("got "+want, 30*time.Millisecond)
	}
	return found
}

func (t *trial) lost(signals []syscall.Signal) []string {
	b := t.catcher(launch{})
	var names []string
	for _, s := range signals {
		_ = syscall.Kill(b.pid, s)
		b.awake(s)
		got := b.caught(s)
		if !got {
			names = append(names, signalName(s))
		}
		if !got && b.gone() {
			t.fail("%s ends the init: %s", signalName(s), b.outcome())
		}
	}
	return names
}

// awake wakes a command that the init has stopped in answer to a signal, as dumb-init does.
func (b *box) awake(s syscall.Signal) {
	if s != syscall.SIGTSTP && s != syscall.SIGTTIN && s != syscall.SIGTTOU {
		return
	}
	var child int
	if all := children(b.pid); len(all) > 0 {
		child = all[0].pid
	}
	for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); time.Sleep(tick) {
		if child != 0 && state(child) == 'T' {
			_ = syscall.Kill(child, syscall.SIGCONT)
			return
		}
	}
}

var usual = []syscall.Signal{1, 2, 3, 10, 12, 15}

func allOrNames(lost []string) verdict {
	if len(lost) == 0 {
		return yes()
	}
	return value(false, "not %s", strings.Join(lost, " "))
}

func theUsual(t *trial) verdict { return allOrNames(t.lost(usual)) }

func everyOther(t *trial) verdict {
	var rest []syscall.Signal
	for n := syscall.Signal(1); n < 34; n++ {
		if n != syscall.SIGKILL && n != syscall.SIGSTOP && n != syscall.SIGCHLD && !slices.Contains(usual, n) {
			rest = append(rest, n)
		}
	}
	return allOrNames(t.lost(rest))
}

func realTime(t *trial) verdict {
	b := t.catcher(launch{})
	var lost []string
	for s := syscall.Signal(34); s < rtMarker; s++ {
		if !b.gets(b.pid, s) {
			lost = append(lost, signalName(s))
		}
	}
	return allOrNames(lost)
}

func storm(t *trial) verdict {
	const want = 10000
	b := t.catcher(launch{setup: setup{Queue: 4 * want}})
	for n := range want {
		for {
			err := queue(b.pid, rtSome, uint64(n))
			if err == nil {
				break
			}
			if !errors.Is(err, unix.EAGAIN) || t.Err() != nil {
				t.fail("%s", b.why(err.Error()))
			}
			time.Sleep(tick)
		}
	}
	got := 0
	for b.gotMore(&got, want) {
	}
	return value(got == want, "%d", got)
}

// gotMore waits for one more, a second at most: nothing is sent any more.
func (b *box) gotMore(n *int, want int) bool {
	if *n == want {
		return false
	}
	_, ok := b.lineWithin("got 40 ", time.Second)
	if ok {
		*n++
	}
	return ok
}

func oneByOne(t *trial) verdict {
	b := t.catcher(launch{})
	signals := []syscall.Signal{15, 1, 40, 12, 2, 35, 10, 3}
	for n := range 200 {
		s := signals[n%len(signals)]
		b.signal(s)
		if got, _, _ := strings.Cut(b.must("got "), " "); got != strconv.Itoa(int(s)) {
			return no("%s for %d", got, s)
		}
	}
	return yes()
}

func valueKept(t *trial) verdict {
	b := t.catcher(launch{})
	t.need(queue(b.pid, rtSome, 4711))
	got, ok := b.line("got 40 ")
	return when(ok && got == "4711", "")
}

func ignored(t *trial) verdict {
	b := t.start(launch{cmd: t.me("@deaf")})
	b.must("ready ")
	for _, s := range []syscall.Signal{1, 2, 3, 15, 15} {
		b.signal(s)
	}
	b.signal(syscall.SIGUSR1)
	_, ok := b.line("alive")
	return when(ok, "%s", b.why("command gone"))
}

// cat starts a command that has no handlers, and waits until it runs.
func (t *trial) cat(l launch) *box {
	l.cmd = []string{"cat"}
	b := t.start(l)
	b.say("hello\n")
	b.must("hello")
	return b
}

func termEnds(t *trial) verdict {
	b := t.cat(launch{})
	b.signal(syscall.SIGTERM)
	code := b.wait()
	return when(code == 143, "%s", codeText(code))
}

func groupSignal(t *trial) verdict {
	parent, child := t.familyGets(t.flags(toGroup))
	return when(parent && child, "parent %v, child %v", parent, child)
}

func aloneSignal(t *trial) verdict {
	parent, child := t.familyGets(t.flags(toChild))
	return when(parent && !child, "parent %v, child %v", parent, child)
}

// familyGets says who gets USR1.
func (t *trial) familyGets(flags []string) (parent, child bool) {
	b := t.start(launch{flags: flags, cmd: t.me("@family")})
	b.must("ready ")
	b.must("ready ")
	b.signal(syscall.SIGUSR1)
	for wait := patience; ; wait = 300 * time.Millisecond {
		switch l, ok := b.lineWithin("got ", wait); {
		case !ok:
			return parent, child
		case l == "parent 10":
			parent = true
		case l == "child 10":
			child = true
		}
	}
}

// early is what became of a signal that came early, for many starts.
type early struct{ reached, dropped, died int }

func (e early) verdict() verdict {
	var parts []string
	if e.dropped > 0 {
		parts = append(parts, fmt.Sprintf("%d dropped", e.dropped))
	}
	if e.died > 0 {
		parts = append(parts, fmt.Sprintf("init died %d times", e.died))
	}
	if len(parts) == 0 {
		return yes()
	}
	return value(false, "%s of %d", strings.Join(parts, ", "), e.reached+e.dropped+e.died)
}

const starts = 200

func earliest(t *trial) verdict {
	return t.manyStarts(func(b *box, n int) {
		<-b.execd
		time.Sleep(time.Duration(n%20) * 50 * time.Microsecond)
	})
}

func earlyOnce(t *trial) verdict {
	return t.manyStarts(func(b *box, n int) {
		<-b.execd
		for end := time.Now().Add(patience); time.Now().Before(end) && !b.listens(); {
		}
		time.Sleep(time.Duration(n%20) * 50 * time.Microsecond)
	})
}

// listens is true from when TERM is blocked or caught. In sigwait it is neither, but
// then the init is so far that it has a child.
func (b *box) listens() bool {
	const term = uint64(1) << (syscall.SIGTERM - 1)
	return (mask(b.pid, "SigBlk")|mask(b.pid, "SigCgt"))&term != 0 || hasChild(b.pid)
}

func (t *trial) manyStarts(moment func(*box, int)) verdict {
	var e early
	for n := range starts {
		if t.Err() != nil {
			break
		}
		b := t.catching(launch{})
		moment(b, n)
		b.signal(syscall.SIGTERM)
		t.tally(b, &e)
		b.kill()
	}
	return e.verdict()
}

// tally: the command may have died of TERM before it could catch it, which is as good.
func (t *trial) tally(b *box, e *early) {
	if _, ok := b.line("ready "); !ok {
		if b.wait() == 143 {
			e.reached++
		} else {
			e.died++
		}
		return
	}
	if b.caught(syscall.SIGTERM) {
		e.reached++
	} else {
		e.dropped++
	}
}
