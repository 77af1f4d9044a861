package evidence

import (
	"encoding/json"

	"github.com/procguard/procguard/state/journal/incident"
	"github.com/procguard/procguard/supervise/cause"
)

// Fill puts what was found into the facts of a death. Any of it may be absent.
func Fill(d *cause.Death, g Growth, seen *incident.Process, log []cause.KernelFact) {
	d.Memory, d.Pids, d.CPUHard, d.Kernel = g.Memory, g.Pids, g.CPUHard, log
	if seen != nil {
		d.Look = &cause.Look{State: seen.State, Wchan: seen.Wchan, Syscall: seen.Syscall, FD: seen.SyscallFD,
			CPU: seen.CPU, Threads: seen.Threads, Busy: seen.Busy}
	}
}

// Describe puts a verdict and what was found into the entry of incident.json.
func Describe(w *incident.Worker, d *cause.Death, v *cause.Verdict, g Growth) {
	w.Class, w.Reason, w.Signature = string(v.Class), v.Reason, v.Signature
	w.Confidence, w.Startup, w.Accuses = string(v.Confidence), v.Startup, v.Accuses
	if v.Sender != "" {
		w.SignalSender = v.Sender
	}
	if v.Collateral {
		w.Collateral = v.Because
	}
	if w.Cgroup = g.Cgroup; w.Cgroup != nil {
		w.OOMKills = max(0, g.Memory.Own, g.Memory.Container)
	}
	if d.Error != nil && !d.Error.Time.IsZero() {
		w.ErrorTimeMS = d.Error.Time.UnixMilli()
	}
	w.Kernel = kernelLines(d)
}

// maxKernel is how many lines of the kernel's log one worker's entry holds.
const maxKernel = 20

// kernelLines are those about the worker, and those about the machine.
func kernelLines(d *cause.Death) (out []incident.Kernel) {
	for _, f := range d.Kernel {
		if len(out) < maxKernel && (f.PID == d.PID || f.Kind == cause.KernelXid || f.Kind == cause.KernelOOM) {
			out = append(out, incident.Kernel{TimeMS: f.Time.UnixMilli(), Kind: string(f.Kind), PID: f.PID, Text: f.Text})
		}
	}
	return out
}

// CgroupFile is the cgroup part as a file of the worker's folder.
func CgroupFile(c *incident.Cgroup) File {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil { // a map of floats without NaN can always be written
		return File{Name: "cgroup.json"}
	}
	return File{Name: "cgroup.json", Data: append(data, '\n')}
}

// RusageFile is what the dead process used.
func RusageFile(u *incident.Usage) File {
	data, err := json.MarshalIndent(u, "", "  ")
	if err != nil {
		return File{Name: "rusage.json"}
	}
	return File{Name: "rusage.json", Data: append(data, '\n')}
}
