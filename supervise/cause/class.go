package cause

// Class is what ended a worker, for programs. New classes may be added.
type Class string

// The classes. Those of a crash:
const (
	Segfault      Class = "segfault"
	StackOverflow Class = "stack_overflow"
	BusError      Class = "bus_error"
	SHMFull       Class = "shm_full" // /dev/shm is too small
	Abort         Class = "abort"
	IllegalInstr  Class = "illegal_instruction"
	Arithmetic    Class = "arithmetic_error"
	BadSyscall    Class = "seccomp" // SIGSYS: a system call that the sandbox forbids
	Panic         Class = "panic"   // Go, Rust, Java: their own kind of crash
)

// Resources that ran out:
const (
	OOM          Class = "oom"           // the worker's own cgroup reached its limit
	OOMContainer Class = "oom_container" // the container's did
	OOMHost      Class = "oom_host"      // the machine had no memory left
	NoMemory     Class = "no_memory"     // an allocation was refused; nobody was killed
	PidsLimit    Class = "pids_limit"
	TooManyFiles Class = "too_many_files"
	DiskFull     Class = "disk_full"
	CPULimit     Class = "cpu_limit"       // RLIMIT_CPU
	FileLimit    Class = "file_size_limit" // RLIMIT_FSIZE
)

// Who ended it:
const (
	KilledOutside Class = "killed_outside"
	StoppedByUs   Class = "stopped_by_us"
	Hangup        Class = "hangup"
	BrokenPipe    Class = "broken_pipe"
)

// Programs that could not run:
const (
	ExecFailure    Class = "exec_failure"
	MissingLibrary Class = "missing_library"
	ImportError    Class = "import_error"
	UsageError     Class = "usage_error"
)

// Errors of programs:
const (
	PythonException  Class = "python_exception"
	PortInUse        Class = "port_in_use"
	CUDAError        Class = "cuda_error"
	CUDAOOM          Class = "cuda_oom"
	NCCLError        Class = "nccl_error"
	NCCLTimeout      Class = "nccl_timeout"
	GlooTimeout      Class = "gloo_timeout"
	RendezvousFailed Class = "rendezvous_failed"
	ConnectionLost   Class = "connection_lost"
	DataLoader       Class = "dataloader_worker" // a child that loads data died
	ChildCrash       Class = "child_crash"       // a shell reports how its child ended
	ExitCode         Class = "exit_code"         // no more than the code is known
	ExitEarly        Class = "exit_early"        // code 0, but it was not done
	LostStatus       Class = "lost"
)

// Hangs, by what it was found in:
const (
	HangStopped Class = "hang_stopped" // by SIGSTOP or a debugger
	HangDisk    Class = "hang_disk"    // in the kernel, uninterruptible
	HangBusy    Class = "hang_busy"    // it computes
	HangLock    Class = "hang_lock"    // it waits for a lock: futex
	HangRead    Class = "hang_read"    // it waits for input from a pipe, socket, terminal
	HangSleep   Class = "hang_sleep"
	HangStartup Class = "hang_startup" // it never became ready
	HangOther   Class = "hang"
)

// Confidence says how much a verdict rests on facts.
type Confidence string

// The degrees of confidence.
const (
	Certain Confidence = "certain" // the kernel or ProcGuard itself says so
	Likely  Confidence = "likely"  // the program says so, or two facts fit together
	Guess   Confidence = "guess"   // nothing speaks against it
)

// Verdict is what ended one worker.
type Verdict struct {
	Worker     string
	Class      Class
	Reason     string // one sentence without a full stop
	Signature  string // the same for the same failure of any worker; see Signature
	Confidence Confidence
	// Sender says who sent the signal that ended it, "" if none did.
	Sender string
	// Startup says that it never was ready.
	Startup bool
	// Collateral says that it ended because of another or of us; Because says how.
	Collateral bool
	Because    string
	// Accuses are ranks that its last words name as the ones that are missing.
	Accuses []int
}

// Senders of signals.
const (
	SenderUs     = "procguard"
	SenderKernel = "kernel"
	SenderOOM    = "kernel (OOM killer)"
	SenderSelf   = "itself"
)
