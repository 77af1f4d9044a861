package cause

import (
	"strconv"
	"strings"
)

// fault is a signal that the kernel sends for what the program does.
type fault struct {
	class Class
	says  string
}

var faults = map[string]fault{
	"SIGSEGV": {Segfault, "it touched memory that is not its own (SIGSEGV)"},
	"SIGBUS":  {BusError, "it touched a mapped file beyond its end, or /dev/shm is full (SIGBUS)"},
	"SIGILL":  {IllegalInstr, "it ran an instruction that this processor does not have (SIGILL)"},
	"SIGFPE":  {Arithmetic, "it divided by zero (SIGFPE)"},
	"SIGTRAP": {Abort, "it ran into a breakpoint or an abort of its runtime (SIGTRAP)"},
	"SIGSYS":  {BadSyscall, "it made a system call that its sandbox forbids (SIGSYS)"},
	"SIGXCPU": {CPULimit, "it used up the processor time that it may have (SIGXCPU, rlimit cpu)"},
	"SIGXFSZ": {FileLimit, "it wrote a file larger than it may (SIGXFSZ, rlimit fsize)"},
	"SIGPIPE": {BrokenPipe, "it wrote to a pipe or connection that nobody reads (SIGPIPE)"},
}

// numbers of the signals that shells report as 128+n, the same on all platforms
// that we build for.
var numbers = map[int]string{1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
	9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM", 24: "SIGXCPU", 25: "SIGXFSZ", 31: "SIGSYS"}

// childSignal is the signal that a shell's exit code stands for, "" if none.
func childSignal(code int) string {
	if code <= 128 {
		return ""
	}
	return numbers[code-128]
}

// bySignal classes a death by a signal.
func bySignal(d *Death) Verdict {
	switch {
	case d.Signal == "SIGKILL":
		return byKill(d)
	case d.Sent == d.Signal:
		return ours(d)
	case d.Signal == "SIGABRT":
		return byAbort(d)
	}
	if f, ok := faults[d.Signal]; ok {
		return byFault(d, f)
	}
	v := Verdict{Class: KilledOutside, Confidence: Likely, Sender: "unknown (outside, or the program itself)",
		Reason: d.Signal + " ended it, and ProcGuard did not send that"}
	switch d.Signal {
	case "SIGHUP":
		v.Class = Hangup
		v.Reason = "SIGHUP ended it: its terminal was closed, or somebody asked it to read its settings again and it has no handler"
	case "SIGTERM", "SIGINT":
		v.Sender = "unknown (outside: kill, docker kill, or the program itself)"
	}
	v.Signature = Signature(string(v.Class) + ":" + d.Signal)
	return v
}

func byFault(d *Death, f fault) Verdict {
	v := Verdict{Class: f.class, Reason: f.says, Confidence: Likely, Sender: SenderKernel}
	lines := clean(d.Text)
	if k := d.kernel(KernelFault); k != nil {
		v.Confidence = Certain
		if d.Signal == "SIGSEGV" && k.Stack {
			v.Class, v.Reason = StackOverflow, "its stack was full (SIGSEGV beside the stack pointer)"
		}
	}
	if d.Core {
		v.Confidence = Certain // somebody who sends SIGSEGV by hand is rare
	}
	if d.Signal == "SIGBUS" {
		if g := search(lines, nearAbort, rows[1:2]); g != nil {
			v.Class, v.Reason = g.class, g.reason()
		}
	}
	place := pythonPlace(lines)
	if place != "" {
		v.Reason += ", " + place
	}
	v.Signature = Signature(string(v.Class)+":"+d.Signal, place)
	return v
}

// pythonPlace is where faulthandler saw the program last: "at file, line, in function".
func pythonPlace(lines []string) string {
	for i, l := range lines {
		if !strings.HasPrefix(l, "Fatal Python error: ") {
			continue
		}
		for _, f := range lines[i:] {
			if f = strings.TrimSpace(f); strings.HasPrefix(f, `File "`) {
				return "at " + clip(f)
			}
		}
	}
	return ""
}

func byAbort(d *Death) Verdict {
	v := Verdict{Class: Abort, Confidence: Likely, Sender: SenderSelf, Reason: "it called abort (SIGABRT) and did not say why"}
	lines := clean(d.Text)
	f := search(lines, nearAbort, rows)
	if f == nil {
		f = search(lines, nearAbort, crashes)
	}
	if f == nil {
		v.Signature = Signature(string(Abort) + ":" + d.Signal)
		return v
	}
	v.Class, v.Reason = f.class, f.reason()+" (SIGABRT)"
	v.Accuses = accused(lines)
	v.Signature = Signature(string(f.class)+":"+d.Signal, essence(f))
	return v
}

// essence is the part of a finding that goes into the signature. Of failures
// whose words name peers and sizes, the class says enough.
func essence(f *finding) string {
	switch f.class {
	case NCCLTimeout, GlooTimeout, ConnectionLost, CUDAOOM, NoMemory, PidsLimit, TooManyFiles, DiskFull, SHMFull, DataLoader, RendezvousFailed, PortInUse:
		return ""
	}
	return f.line
}

// byKill: SIGKILL leaves no words, so that who sent it must be found out.
func byKill(d *Death) Verdict {
	if v, ok := byOOM(d); ok {
		return v
	}
	v := Verdict{Class: KilledOutside, Confidence: Likely}
	switch {
	case d.Sent == "SIGKILL":
		return ours(d)
	case d.CPUHard > 0 && d.CPUTime >= d.CPUHard:
		v.Class, v.Sender, v.Confidence = CPULimit, SenderKernel, Certain
		v.Reason = "it used up the processor time that it may have (SIGKILL, hard rlimit cpu)"
	case d.Memory.Known || d.Memory.HostKnown && d.Memory.Host == 0:
		v.Sender = "unknown (outside: kill, docker kill; the kernel's OOM killer is ruled out because oom_kill did not change)"
		v.Reason = "somebody outside sent it SIGKILL; it was not the OOM killer, whose counter did not change"
	default:
		v.Confidence, v.Sender = Guess, "unknown (outside, or the OOM killer: its counters cannot be read)"
		v.Reason = "SIGKILL from outside or by the OOM killer, whose counters cannot be read here"
	}
	v.Signature = Signature(string(v.Class) + ":" + d.Signal)
	return v
}

// byOOM: the kernel's log names the victim; the counters only say that there was
// one, which is not enough where we have sent SIGKILL ourselves.
func byOOM(d *Death) (Verdict, bool) {
	m := &d.Memory
	k := d.kernel(KernelOOM)
	class := m.class()
	if k != nil && class == "" {
		class = OOMHost
		if k.Memcg {
			class = OOMContainer
		}
	}
	if class == "" || k == nil && d.Sent == "SIGKILL" {
		return Verdict{}, false
	}
	v := Verdict{Class: class, Reason: m.reason(class), Confidence: Likely, Sender: SenderOOM, Signature: Signature(string(class))}
	if k != nil || class == OOM {
		v.Confidence = Certain
	}
	if class == OOMHost && k == nil {
		v.Confidence = Guess
	}
	return v, true
}

// class is what kind of OOM kill the counters tell of, "" for none.
func (m *Memory) class() Class {
	switch {
	case m.Known && m.Own > 0 && m.OwnLimit:
		return OOM
	case m.Known && (m.Own > 0 || m.Shared) && m.Container > 0:
		return OOMContainer
	case m.Known && m.Own > 0:
		return OOMHost
	case !m.Known && m.HostKnown && m.Host > 0:
		return OOMHost
	}
	return ""
}

func (m *Memory) reason(c Class) string {
	whose := map[Class]string{OOM: "the worker's cgroup", OOMContainer: "the container", OOMHost: "the machine"}[c]
	s := "the OOM killer ended it: " + whose + " had no memory left"
	if m.Limit > 0 && c != OOMHost {
		s += " (limit " + size(m.Limit)
		if m.Peak > 0 {
			s += ", peak " + size(m.Peak)
		}
		s += ")"
	}
	return s
}

func size(n int64) string {
	const mib = 1 << 20
	if n >= 10<<30 {
		return strconv.FormatInt(n>>30, 10) + " GiB"
	}
	return strconv.FormatInt((n+mib/2)/mib, 10) + " MiB"
}

// ours: a stop that we asked for.
func ours(d *Death) Verdict {
	return Verdict{Class: StoppedByUs, Reason: "ProcGuard stopped it with " + d.Sent, Confidence: Certain, Sender: SenderUs,
		Signature: Signature(string(StoppedByUs) + ":" + d.Sent), Collateral: true, Because: "stopped by ProcGuard"}
}

func (d *Death) kernel(k KernelKind) *KernelFact {
	for i := range d.Kernel {
		if f := &d.Kernel[i]; f.Kind == k && f.PID == d.PID && d.PID != 0 {
			return f
		}
	}
	return nil
}
