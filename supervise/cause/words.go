package cause

import (
	"regexp"
	"strings"
)

// row says what a line of output tells. Of the rows that match a line the first
// counts.
type row struct {
	class Class
	says  string // before the quoted line
	re    *regexp.Regexp
}

// rows in the order of authority: what names a resource comes before what names
// only the call that failed.
var rows = []row{
	{TooManyFiles, "too many open files", regexp.MustCompile(`Too many open files|too many open files|received 0 items of ancdata`)},
	{SHMFull, "/dev/shm is too small", regexp.MustCompile(`insufficient shared memory|out of shared memory|Unexpected bus error encountered in worker|(?i:shared memory).*No space left|/dev/shm.*No space left|No space left on device.*/dev/shm|file </?torch_.*No space left`)},
	{DiskFull, "no space is left on the disk", regexp.MustCompile(`No space left on device|no space left on device|Disk quota exceeded|PytorchStreamWriter failed writing file`)},
	{CUDAOOM, "the GPU's memory is used up", regexp.MustCompile(`(?:CUDA|HIP) out of memory|\bOutOfMemoryError: (?:CUDA|HIP)|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED|RESOURCE_EXHAUSTED: Out of memory|Cuda failure '?out of memory`)},
	{NCCLTimeout, "a collective operation did not end in time", regexp.MustCompile(`[Cc]aught collective operation timeout|watchdog got stuck for \d+ seconds`)},
	{GlooTimeout, "a collective operation did not end in time", regexp.MustCompile(`Timed out waiting \d+ms for (?:recv|send) operation|failed to pass monitoredBarrier|timeout caused pair closure|gloo.*Timed out`)},
	{RendezvousFailed, "the ranks did not find each other", regexp.MustCompile(`client socket has (?:timed out|failed to connect)|Rendezvous(?:Timeout|Connection)Error|Timed out after \d+ seconds waiting for clients|waiting for clients\. \d+/\d+ clients joined`)},
	{PortInUse, "the port is already in use", regexp.MustCompile(`[Aa]ddress already in use|EADDRINUSE`)},
	{ConnectionLost, "its connection to a peer was lost", regexp.MustCompile(`[Cc]onnection closed by (?:remote )?peer|Connection reset by peer|Connection refused|Broken pipe|[Ss]ocket [Cc]losed|ncclRemoteError|remote process exit|NCCL communicator was aborted|Got completion from peer|recvValue failed|failed to recv, got 0 bytes|ConnectionAbortedError|DistStoreError|got error: `)},
	{DataLoader, "a data loader's process died", regexp.MustCompile(`DataLoader worker \(pid|BrokenProcessPool|process in the process pool was terminated abruptly`)},
	{CUDAError, "the GPU or its driver reported an error", regexp.MustCompile(`CUDA error: |Cuda failure|cudaError|CUBLAS_STATUS_|CUDNN_STATUS_|cuDNN error|Found no NVIDIA driver|no CUDA-capable device|CUDA driver|uncorrectable ECC|device-side assert`)},
	{NCCLError, "NCCL reported an error", regexp.MustCompile(`NCCL error|ncclUnhandledCudaError|ncclSystemError|ncclInternalError|ncclInvalidUsage|unhandled (?:system|cuda) error`)},
	{PidsLimit, "no more processes or threads are allowed", regexp.MustCompile(`can't start new thread|ork: (?:retry: )?Resource temporarily unavailable|Cannot fork|\[Errno 11\] Resource temporarily unavailable|what\(\): +Resource temporarily unavailable|pthread_create.*(?:failed|Resource temporarily)|Thread creation failed: Resource|failed to create new OS thread|unable to create (?:new )?native thread`)},
	{NoMemory, "an allocation was refused", regexp.MustCompile(`\bMemoryError\b|[Cc]annot allocate memory|can't allocate memory|bad_alloc|Unable to allocate .* for an array|java\.lang\.OutOfMemoryError`)},
	{MissingLibrary, "a library is missing", regexp.MustCompile(`error while loading shared libraries|cannot open shared object file|undefined symbol|symbol lookup error|version .?[A-Z]+_[\d.]+.? not found`)},
	{ImportError, "a module cannot be imported", regexp.MustCompile(`^(?:ModuleNotFoundError|ImportError)\b|: No module named |Cannot find module|Error while finding module`)},
	{ExecFailure, "a program cannot be run", regexp.MustCompile(`can't open file '.*\[Errno|command not found|^(?:[^:]+: )+(?:\d+: )?\S+: not found$|bad interpreter|Exec format error|cannot execute|^env: .*No such file or directory|^(?:[^:]+: )+line \d+: .*(?:No such file or directory|Permission denied)$`)},
}

// crashes are what runtimes print when they abort.
var crashes = []row{
	{Abort, "the heap is damaged", regexp.MustCompile(`^(?:\*\*\* )?(?:double free or corruption|free\(\): |malloc\(\): |malloc_consolidate\(\): |munmap_chunk\(\): |realloc\(\): |corrupted (?:size|double-linked)|stack smashing detected|buffer overflow detected|\*\*\* stack smashing)`)},
	{Abort, "an assertion failed", regexp.MustCompile("Assertion [`'].*' failed|Check failed: ")},
	{Abort, "Python gave up", regexp.MustCompile(`^Fatal Python error: `)},
	{Abort, "a C++ exception was not caught", regexp.MustCompile(`^terminate called |^\s*what\(\): `)},
	{Panic, "the program panicked", regexp.MustCompile(`^panic: |^fatal error: |^thread '.*' (?:\(\d+\) )?panicked at|^Exception in thread "|A fatal error has been detected by the Java`)},
}

// finding is what a text says.
type finding struct {
	class Class
	says  string
	line  string // the line that says it
	exc   *exception
}

func (f *finding) reason() string {
	switch {
	case f.says == "":
		return clip(f.line)
	case f.line == "":
		return f.says
	}
	return f.says + ": " + clip(f.line)
}

func match(list []row, line string) *finding {
	for i := range list {
		if list[i].re.MatchString(line) {
			return &finding{class: list[i].class, says: list[i].says, line: line}
		}
	}
	return nil
}

// How far from the end a line may be and still explain the end.
const (
	nearExit  = 25  // of a program that printed something and exited
	nearAbort = 120 // of one that aborted: C++ prints its frames last
)

// search looks from the end backwards: the last thing said counts.
func search(lines []string, near int, lists ...[]row) *finding {
	for i := len(lines) - 1; i >= max(0, len(lines)-near); i-- {
		for _, list := range lists {
			if f := match(list, lines[i]); f != nil {
				return f
			}
		}
	}
	return nil
}

// ofException reads an exception with the rows: its type, its message, and the
// lines that follow.
func ofException(x *exception, lines []string) *finding {
	f := match(rows, x.Type+": "+x.Message)
	if f == nil {
		for l := range strings.Lines(x.rest) {
			// NCCL's own words come below the exception's.
			if g := match(rows, strings.TrimSpace(l)); g != nil && strings.Contains(x.Type+x.Message, "Dist") {
				f = g
				break
			}
		}
	}
	switch {
	case f == nil:
		f = &finding{class: PythonException}
	case f.class == NCCLError:
		if g := match(rows, firstOf(x.rest, "ncclRemoteError", "remote process exit", "closed by remote peer", "Connection reset by peer")); g != nil {
			f.class, f.says = g.class, g.says
		}
	case f.class == DataLoader:
		if g := search(lines, nearAbort, rows[1:2]); g != nil {
			return g
		}
	}
	f.exc, f.line = x, x.String()
	return f
}

// firstOf is the first line of s that holds one of the words.
func firstOf(s string, words ...string) string {
	for l := range strings.Lines(s) {
		for _, w := range words {
			if strings.Contains(l, w) {
				return strings.TrimSpace(l)
			}
		}
	}
	return ""
}
