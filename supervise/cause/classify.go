package cause

import (
	"fmt"
	"strings"
)

// Classify names what ended one worker, looking at nothing else.
func Classify(d Death) Verdict {
	v := classify(&d)
	v.Worker = d.Worker
	v.Startup = !d.Ready
	return v
}

func classify(d *Death) Verdict {
	switch {
	case d.ExecError != "":
		return byExec(d)
	case d.Hang != "":
		return byHang(d)
	case d.Lost:
		return Verdict{Class: LostStatus, Reason: "it ended while nobody watched, and its status is lost", Confidence: Certain, Signature: Signature(string(LostStatus))}
	case d.Signal != "":
		return bySignal(d)
	}
	return byExit(d)
}

// byExec: it never ran.
func byExec(d *Death) Verdict {
	v := Verdict{Class: ExecFailure, Confidence: Certain, Reason: "it could not be started: " + clip(d.ExecError)}
	switch {
	case strings.Contains(d.ExecError, "resource temporarily unavailable"):
		v.Class, v.Reason = PidsLimit, "it could not be started: no more processes are allowed"+d.Pids.limit()
	case strings.Contains(d.ExecError, "cannot allocate memory"):
		v.Class = NoMemory
	}
	v.Signature = Signature(string(v.Class), d.ExecError)
	return v
}

func (p *Pids) limit() string {
	if p.Limit <= 0 {
		return ""
	}
	return fmt.Sprintf(" (pids.max is %d)", p.Limit)
}

// byExit classes a death with an exit code.
func byExit(d *Death) Verdict {
	if d.Code == 0 {
		return byZero(d)
	}
	lines := clean(d.Text)
	f := words(d, lines)
	if d.Sent != "" && (f == nil || f.exc != nil && isStop(f.exc) || childSignal(d.Code) == d.Sent) {
		v := ours(d)
		v.Reason += fmt.Sprintf(", and it exited with code %d", d.Code)
		return v
	}
	if v, ok := childOOM(d, f, lines); ok {
		return v
	}
	if f == nil {
		return byCode(d, lines)
	}
	v := Verdict{Class: f.class, Reason: f.reason(), Confidence: Likely, Accuses: accused(lines)}
	if f.exc == nil && (d.Code == 1 || d.Code == 2) {
		v.Confidence = Guess // a line that explains it, not one that claims to
	}
	name := ""
	if f.exc != nil {
		name = f.exc.short()
		if f.class == PythonException {
			v.Reason = "uncaught Python exception " + f.exc.String()
		}
	}
	if f.class == PidsLimit && d.Pids.Refused > 0 {
		v.Confidence = Certain
		v.Reason += d.Pids.limit()
	}
	v.Signature = Signature(string(f.class), name, essence(f.bare()))
	return v
}

// bare is the finding without the exception's name, which is in the signature
// already.
func (f *finding) bare() *finding {
	g := *f
	if f.exc != nil {
		g.line = f.exc.Message
	}
	return &g
}

// isStop knows the exceptions by which Python programs end for a signal.
func isStop(x *exception) bool {
	return x.short() == "KeyboardInterrupt" || x.short() == "SignalException" || x.short() == "SystemExit"
}

func byZero(d *Death) Verdict {
	if d.Sent != "" {
		return ours(d)
	}
	v := Verdict{Class: ExitEarly, Confidence: Certain, Reason: "it exited with code 0 although its work was not done", Signature: Signature(string(ExitEarly))}
	if !d.Ready {
		v.Reason = "it exited with code 0 before it was ready"
	}
	return v
}

// words finds what the worker said about its end: an error.json first, then the
// last traceback, then any telling line.
func words(d *Death, lines []string) *finding {
	if d.Error != nil {
		if x := splitException(d.Error.Message); x != nil {
			return ofException(x, lines)
		}
	}
	x := lastException(lines)
	if x != nil && (d.Code == 1 || childSignal(d.Code) != "" || strings.HasPrefix(lines[len(lines)-1], x.Type)) {
		return ofException(x, lines)
	}
	if f := search(lines, nearExit, rows, crashes); f != nil {
		return f
	}
	if d.Code == 2 {
		return usage(lines)
	}
	return nil
}

// usage: most programs exit with 2 for a command line that they do not understand.
func usage(lines []string) *finding {
	for i := len(lines) - 1; i >= max(0, len(lines)-4); i-- {
		l := lines[i]
		if strings.Contains(l, ": error: ") || strings.Contains(l, "unrecognized ") || strings.Contains(l, "invalid option") || strings.Contains(l, "flag provided but not defined") {
			return &finding{class: UsageError, says: "it does not understand its arguments", line: l}
		}
	}
	return nil
}

// childOOM: it exited by itself, but a process of it was killed for memory.
func childOOM(d *Death, f *finding, lines []string) (Verdict, bool) {
	class := d.Memory.class()
	killed := d.Code == 128+9 || f != nil && f.class == DataLoader || saysKilled(lines)
	if class == "" || !killed {
		return Verdict{}, false
	}
	return Verdict{Class: class, Confidence: Likely, Sender: SenderOOM, Signature: Signature(string(class), "child"),
		Reason: strings.Replace(d.Memory.reason(class), "ended it", "ended a process of it", 1)}, true
}

func saysKilled(lines []string) bool {
	for _, l := range lines[max(0, len(lines)-5):] {
		if l == "Killed" || strings.HasSuffix(l, " Killed") || strings.Contains(l, " Killed  ") || strings.Contains(l, "signal: Killed") {
			return true
		}
	}
	return false
}

// byCode: no more than a number.
func byCode(d *Death, lines []string) Verdict {
	v := Verdict{Class: ExitCode, Confidence: Certain, Reason: fmt.Sprintf("it exited with code %d", d.Code)}
	last := ""
	if len(lines) > 0 {
		last = lines[len(lines)-1]
		v.Reason += "; its last words: " + clip(last)
	}
	if s := childSignal(d.Code); s != "" {
		v.Class, v.Confidence = ChildCrash, Likely
		v.Reason = fmt.Sprintf("a process of it was ended by %s (exit code %d, as shells report it)", s, d.Code)
		last = s
	}
	if d.Code == 126 || d.Code == 127 {
		v.Class, v.Confidence = ExecFailure, Likely
		v.Reason = map[int]string{126: "a program cannot be executed", 127: "a program was not found"}[d.Code] + fmt.Sprintf(" (exit code %d)", d.Code)
	}
	v.Signature = Signature(fmt.Sprintf("%s:%d", v.Class, d.Code), last)
	return v
}
