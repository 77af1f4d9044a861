package solo

import (
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// phase is how far the command's end has come.
type phase int

const (
	running  phase = iota
	hooking        // TERM came; the pre-stop command runs
	stopping       // TERM was passed on
	killing        // everything was killed, the command's death is awaited
	leaving        // the command is dead, what it left is given time
	clearing       // what it left was killed, its death is awaited
	over
)

// Times that are not the user's to choose.
const (
	// impatience is how much later a second TERM must come to mean it: one request
	// often arrives twice within milliseconds (timeout(1) signals us and our group).
	impatience = 100 * time.Millisecond
	// hookBound is what a pre-stop command gets where there is no Grace.
	hookBound = 10 * time.Second
	// killBound is how long a killed process may take to die before we stop waiting:
	// one in uninterruptible sleep may never.
	killBound = 5 * time.Second
)

// machine decides; it is pure: no clock, no system call. See doc.go for its rules.
type machine struct {
	o        *Options
	alone    bool // PID 1: nobody could continue us, so we never stop
	shell    bool // started by a shell with job control
	leader   bool // of our session: nobody in it could continue us
	phase    phase
	asked    time.Time // when the first TERM came
	deadline time.Time // zero: none
	stopSent bool      // a stop signal was passed on and no CONT since
	killed   bool      // by us
	stuck    bool      // something did not die of KILL
	out      []action
}

// step takes one event and says what is to be done. The slice is valid until the next.
func (m *machine) step(now time.Time, e event) []action {
	m.out = m.out[:0]
	switch e := e.(type) {
	case caught:
		m.signal(now, e)
	case stopped:
		m.stopped(e)
	case continued:
		m.say(4, "the command was continued")
	case ended:
		m.ended(now)
	case hooked:
		if m.phase == hooking {
			m.passTerm()
		}
	case empty:
		if m.phase == leaving || m.phase == clearing {
			m.finish()
		}
	case tick:
		m.tick(now)
	}
	return m.out
}

func (m *machine) do(a action) { m.out = append(m.out, a) }

func (m *machine) say(level int, format string, args ...any) {
	if level <= m.o.Verbose {
		m.do(say{level, fmt.Sprintf(format, args...)})
	}
}

func (m *machine) finish() {
	m.phase, m.deadline = over, time.Time{}
	m.do(finish{})
}

func (m *machine) signal(now time.Time, e caught) {
	switch {
	case m.phase == over, e.self:
		// What we get from ourselves: PIPE, if nobody reads our messages; HUP and CONT for a
		// terminal given up.
		return
	case m.o.Pause:
		m.pauseSignal(e.sig)
	case m.phase == leaving && e.sig == syscall.SIGTERM:
		m.clear(now)
	case m.phase >= killing:
		m.say(3, "%s came too late", name(e.sig))
	case e.kernel && (e.sig == syscall.SIGTTIN || e.sig == syscall.SIGTTOU):
		// About our own use of the terminal: the command is not in our group.
	case e.kernel && m.o.Own == OwnNothing && fromTerminal(e.sig):
		m.say(3, "%s came from the terminal: the command has it too", name(e.sig))
	case m.asksToEnd(e.sig):
		m.term(now, e)
	case e.sig == syscall.SIGCONT:
		m.cont(e)
	default:
		m.pass(e)
	}
}

// asksToEnd: TERM, and what becomes TERM on its way.
func (m *machine) asksToEnd(s syscall.Signal) bool {
	return s == syscall.SIGTERM || m.o.Rewrite[s] == syscall.SIGTERM
}

func (m *machine) pauseSignal(s syscall.Signal) {
	if s == syscall.SIGTERM || s == syscall.SIGINT {
		m.finish()
	}
}

// fromTerminal: the terminal sends these to the whole foreground group.
func fromTerminal(s syscall.Signal) bool {
	switch s {
	case syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGHUP, syscall.SIGWINCH:
		return true
	}
	return false
}

// pass sends a signal on, rewritten if that was asked for.
func (m *machine) pass(e caught) {
	sig := e.sig
	if to, ok := m.o.Rewrite[sig]; ok {
		if to == 0 {
			m.say(3, "%s is dropped", name(sig))
			return
		}
		sig = to
	} else if sig == syscall.SIGTERM && m.o.StopSignal != 0 {
		sig = m.o.StopSignal
	}
	m.stopSent = isStop(sig) || m.stopSent && sig != syscall.SIGCONT
	m.say(3, "passing on %s", name(sig))
	m.do(send{sig: sig, group: m.o.Group, queued: e.queued, value: e.value})
}

func isStop(s syscall.Signal) bool {
	switch s {
	case syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU:
		return true
	}
	return false
}

// term is a request to end. Without Grace or PreStop it is a signal like any other.
func (m *machine) term(now time.Time, e caught) {
	to, rewritten := m.o.Rewrite[e.sig]
	ladder := m.o.Grace > 0 || len(m.o.PreStop) > 0
	if !ladder || rewritten && to == 0 {
		m.pass(e)
		return
	}
	switch m.phase {
	case running:
		m.asked = now
		if m.o.Grace > 0 {
			m.deadline = now.Add(m.o.Grace)
		}
		if len(m.o.PreStop) == 0 {
			m.passTerm()
			return
		}
		m.phase = hooking
		if m.o.Grace == 0 {
			m.deadline = now.Add(hookBound)
		}
		m.do(hook{})
	case hooking, stopping:
		m.again(now, e)
	}
}

// again is a second TERM.
func (m *machine) again(now time.Time, e caught) {
	switch {
	case now.Sub(m.asked) < impatience:
		m.say(3, "SIGTERM came twice within %v", impatience)
	case m.o.Grace > 0:
		m.say(1, "a second SIGTERM: killing everything now")
		m.killEverything(now)
	case m.phase == hooking:
		m.do(killHook{})
		m.passTerm()
	default:
		m.pass(e)
	}
}

// passTerm passes the TERM on that was held back for the pre-stop command.
func (m *machine) passTerm() {
	m.phase = stopping
	if m.o.Grace == 0 {
		m.deadline = time.Time{}
	}
	m.pass(caught{sig: syscall.SIGTERM})
	m.do(send{sig: syscall.SIGCONT, group: m.o.Group}) // a stopped command could not react
}

func (m *machine) killEverything(now time.Time) {
	if m.phase == hooking {
		m.do(killHook{})
	}
	m.phase, m.killed, m.deadline = killing, true, now.Add(killBound)
	m.do(killAll{})
}

// cont: whoever continues us means the command; a shell's fg gave us its terminal.
func (m *machine) cont(e caught) {
	m.do(lend{})
	m.stopSent = false
	if _, rewritten := m.o.Rewrite[syscall.SIGCONT]; m.o.Own != OwnNothing && !rewritten {
		m.do(send{sig: syscall.SIGCONT, group: true})
		return
	}
	m.pass(e)
}

// stopped: the command stopped, so do we, and the shell that started us sees it. A
// SIGSTOP from somebody is followed only under such a shell: whoever sent it to the
// command alone will continue the command alone.
func (m *machine) stopped(e stopped) {
	m.say(3, "the command was stopped by %s", name(e.sig))
	byTerminal := isStop(e.sig) && e.sig != syscall.SIGSTOP && !m.stopSent
	switch {
	case m.phase >= killing:
	case m.phase != running:
		m.resume() // it is to end, and we are to see to it
	case e.ours && byTerminal && e.sig != syscall.SIGTSTP:
		// It wants the terminal that was given to us while it ran (bg, then fg).
		m.resume()
	case (m.alone || m.leader) && byTerminal:
		m.say(2, "the command was stopped by %s where nobody could continue it: continuing it", name(e.sig))
		m.resume()
	case m.alone, e.sig == syscall.SIGSTOP && !m.shell && !m.stopSent:
	default:
		m.do(takeBack{})
		m.do(stopSelf{})
	}
}

func (m *machine) resume() {
	m.do(lend{})
	m.do(send{sig: syscall.SIGCONT, group: m.o.Own != OwnNothing})
}

func (m *machine) ended(now time.Time) {
	if m.phase == hooking {
		m.do(killHook{})
	}
	m.do(takeBack{})
	if m.o.Farewell != 0 {
		m.do(send{sig: m.o.Farewell, group: true})
	}
	if m.phase == killing || m.o.KillOrphans && m.o.Grace == 0 {
		m.clear(now)
		return
	}
	if !m.o.KillOrphans {
		m.finish()
		return
	}
	m.phase, m.deadline = leaving, now.Add(m.o.Grace)
	if !m.asked.IsZero() {
		m.deadline = m.asked.Add(m.o.Grace) // the patience is for all together
	}
	m.do(sendRest{syscall.SIGTERM})
	m.do(sendRest{syscall.SIGCONT}) // a stopped one could not react
	m.do(watchRest{})
}

// clear kills what the command has left, and waits for that to be gone.
func (m *machine) clear(now time.Time) {
	watched := m.phase == leaving
	m.phase, m.deadline = clearing, now.Add(killBound)
	m.do(killAll{})
	if !watched {
		m.do(watchRest{})
	}
}

func (m *machine) tick(now time.Time) {
	if m.deadline.IsZero() || now.Before(m.deadline) {
		return
	}
	switch m.phase {
	case hooking:
		m.hookLate(now)
	case stopping:
		m.say(1, "the command did not end within %v of SIGTERM: killing everything", m.o.Grace)
		m.killEverything(now)
	case leaving:
		m.say(1, "the command's orphans did not end within %v of SIGTERM: killing them", m.o.Grace)
		m.clear(now)
	case killing, clearing:
		m.stuck = true
		m.say(0, "something does not die of SIGKILL: leaving it")
		m.finish()
	}
}

func (m *machine) hookLate(now time.Time) {
	m.say(1, "the pre-stop command takes too long: killing it")
	if m.o.Grace > 0 {
		m.killEverything(now)
		return
	}
	m.do(killHook{})
	m.passTerm()
}

func name(s syscall.Signal) string {
	if n := unix.SignalName(s); n != "" {
		return n
	}
	return fmt.Sprintf("SIGRTMIN+%d", int(s)-34) // as the C library counts
}
