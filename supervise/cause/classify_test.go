package cause

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// at is when everything in these tests happens.
var at = time.UnixMilli(1_700_000_000_500)

const mib = 1 << 20

func lines(s string) []string { return strings.Split(strings.TrimPrefix(s, "\n"), "\n") }

// exited is a worker that was ready and exited.
func exited(code int, text string) Death {
	return Death{Worker: "w", Rank: -1, PID: 4711, Time: at, Started: at.Add(-time.Hour), Ready: true, Code: code, Text: lines(text), Memory: Memory{Known: true, Shared: true, HostKnown: true}}
}

func signalled(name, text string) Death {
	d := exited(0, text)
	d.Signal = name
	return d
}

func with(d Death, change func(*Death)) Death {
	change(&d)
	return d
}

// traceback is what Python 3.11 prints for an uncaught exception.
func trace(last string) string {
	return `
step 1041 loss 2.31
Traceback (most recent call last):
  File "/app/train.py", line 88, in <module>
    main()
  File "/app/train.py", line 61, in main
    loss = step(model, batch)
           ^^^^^^^^^^^^^^^^^^
  File "/usr/lib/python3.11/site-packages/torch/nn/modules/module.py", line 1501, in _call_impl
    return forward_call(*args, **kwargs)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
` + last
}

const watchdog = `
[rank1]:[E ProcessGroupNCCL.cpp:563] [Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=9141, OpType=_ALLGATHER_BASE, NumelIn=19008, NumelOut=152064, Timeout(ms)=600000) ran for 600020 milliseconds before timing out.
[rank1]:[E ProcessGroupNCCL.cpp:577] [Rank 1] Some NCCL operations have failed or timed out. Due to the asynchronous nature of CUDA kernels, subsequent GPU operations might run on corrupted/incomplete data.
[rank1]:[E ProcessGroupNCCL.cpp:583] [Rank 1] To avoid data inconsistency, we are taking the entire process down.
terminate called after throwing an instance of 'c10::DistBackendError'
  what():  [PG 3 Rank 1] Process group watchdog thread terminated with exception: [Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=9141, OpType=_ALLGATHER_BASE, NumelIn=19008, NumelOut=152064, Timeout(ms)=600000) ran for 600020 milliseconds before timing out.
Exception raised from checkTimeout at ../torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:609 (most recent call first):
frame #0: c10::Error::Error(c10::SourceLocation, std::string) + 0x96 (0x7f3b6d41df86 in /usr/local/lib/python3.10/dist-packages/torch/lib/libc10.so)
frame #1: <unknown function> + 0xd6df4 (0x7f3bca9d5df4 in /usr/lib/x86_64-linux-gnu/libstdc++.so.6)`

// rows: facts as the runtimes print them, and what they must be read as.
var rowsOfFacts = []struct {
	name   string
	d      Death
	class  Class
	reason string // part of it
	sig    string // the whole signature, if it matters
	sender string
}{
	{"value error", exited(1, trace("ValueError: expected 3 channels, got 1")), PythonException, "ValueError: expected 3 channels", "python_exception:ValueError:expected # channels, got #", ""},
	{"exception without message", exited(1, trace("KeyboardInterrupt")), PythonException, "KeyboardInterrupt", "", ""},
	{"exception with dots", exited(1, trace("json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)")), PythonException, "JSONDecodeError: Expecting value", "", ""},
	{"syntax error", exited(1, "  File \"/app/train.py\", line 3\n    def x(:\n          ^\nSyntaxError: invalid syntax"), PythonException, "SyntaxError: invalid syntax", "", ""},
	{"chained", exited(1, trace("KeyError: 'lr'\n\nDuring handling of the above exception, another exception occurred:\n")+trace("RuntimeError: bad configuration")), PythonException, "RuntimeError: bad configuration", "", ""},
	{"rank prefixes", exited(1, "[rank3]: Traceback (most recent call last):\n[rank3]:   File \"/app/train.py\", line 9, in <module>\n[rank3]: AssertionError: shapes differ"), PythonException, "AssertionError: shapes differ", "", ""},
	{"an ignored exception is not it", exited(4, "out of data\nException ignored in: <function Pool.__del__ at 0x7f1>\nTraceback (most recent call last):\n  File \"x.py\", line 1, in __del__\nOSError: handle is closed"), ExitCode, "code 4", "", ""},
	{"error.json", with(exited(1, "nothing"), func(d *Death) { d.Error = &ErrorFile{Message: "ZeroDivisionError: division by zero"} }), PythonException, "ZeroDivisionError", "", ""},
	{"behind a progress bar", exited(1, trace("OSError: [Errno 5] Input/output error")+"\n 10%|#   | 1/10\r 20%|##  | 2/10\r"), PythonException, "Errno 5", "", ""},
	{"torchrun relays", exited(1, trace("ValueError: bad seed")+"\n"+trace("torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n============\ntrain.py FAILED")), PythonException, "ValueError: bad seed", "", ""},

	{"module not found", exited(1, trace("ModuleNotFoundError: No module named 'flash_attn'")), ImportError, "No module named 'flash_attn'", "", ""},
	{"python -m", exited(1, "/usr/bin/python3: No module named trainer"), ImportError, "No module named trainer", "", ""},
	{"libcudart", exited(1, trace("ImportError: libcudart.so.11.0: cannot open shared object file: No such file or directory")), MissingLibrary, "libcudart.so.11.0", "", ""},
	{"ld.so", exited(127, "./trainer: error while loading shared libraries: libnccl.so.2: cannot open shared object file: No such file or directory"), MissingLibrary, "libnccl.so.2", "", ""},
	{"glibc version", exited(1, "./trainer: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by ./trainer)"), MissingLibrary, "GLIBC_2.34", "", ""},
	{"bash not found", exited(127, "/app/run.sh: line 3: torchrunn: command not found"), ExecFailure, "torchrunn: command not found", "", ""},
	{"dash not found", exited(127, "sh: 1: torchrunn: not found"), ExecFailure, "torchrunn: not found", "", ""},
	{"env", exited(127, "env: 'python9': No such file or directory"), ExecFailure, "python9", "", ""},
	{"126 without words", exited(126, ""), ExecFailure, "cannot be executed", "exec_failure:126", ""},
	{"script missing", exited(2, "python3: can't open file '/app/train.py': [Errno 2] No such file or directory"), ExecFailure, "train.py", "", ""},
	{"exec", Death{Worker: "w", Time: at, ExecError: "exec: /no/such: not found"}, ExecFailure, "could not be started", "", ""},
	{"exec without pids", Death{Worker: "w", Time: at, ExecError: "exec /app/x: resource temporarily unavailable", Pids: Pids{Known: true, Limit: 100}}, PidsLimit, "pids.max is 100", "", ""},
	{"argparse", exited(2, "usage: train.py [-h] [--lr LR]\ntrain.py: error: unrecognized arguments: --learning-rate"), UsageError, "--learning-rate", "", ""},

	{"port, python", exited(1, trace("OSError: [Errno 98] Address already in use")), PortInUse, "port is already in use", "port_in_use:OSError", ""},
	{"port, TCPStore 2.x", exited(1, trace("torch.distributed.DistNetworkError: The server socket has failed to listen on any local network address. useIpv6: 0, code: -98, name: EADDRINUSE, message: address already in use")), PortInUse, "EADDRINUSE", "", ""},
	{"port, TCPStore 1.13", exited(1, trace("RuntimeError: The server socket has failed to listen on any local network address. The server socket has failed to bind to [::]:29500 (errno: 98 - Address already in use).")), PortInUse, "29500", "port_in_use:RuntimeError", ""},
	{"port, go", exited(1, "2026/01/01 00:00:00 listen tcp :8080: bind: address already in use"), PortInUse, ":8080", "", ""},
	{"disk full", exited(1, trace("OSError: [Errno 28] No space left on device: '/ckpt/step-100.pt'")), DiskFull, "no space is left", "disk_full:OSError", ""},
	{"disk full, torch", exited(1, trace("RuntimeError: [enforce fail at inline_container.cc:471] . PytorchStreamWriter failed writing file data/17: file write failed")), DiskFull, "PytorchStreamWriter", "", ""},
	{"shm full, torch", exited(1, trace("RuntimeError: unable to write to file </torch_2342_1805_0>: No space left on device (28)")), SHMFull, "/dev/shm", "", ""},
	{"shm full, NCCL", exited(1, "n0:33:99 [0] misc/shmutils.cc:72 NCCL WARN Error: failed to extend /dev/shm/nccl-XkZ9aQ to 33030532 bytes, error: No space left on device (28)"), SHMFull, "/dev/shm", "", ""},
	{"shm full, loader", exited(1, "ERROR: Unexpected bus error encountered in worker. This might be caused by insufficient shared memory (shm).\n"+trace("RuntimeError: DataLoader worker (pid 1234) is killed by signal: Bus error. It is possible that dataloader's workers are out of shared memory. Please try to raise your shared memory limit.")), SHMFull, "shm", "", ""},
	{"descriptors", exited(1, trace("OSError: [Errno 24] Too many open files: '/data/shard-17'")), TooManyFiles, "too many open files", "too_many_files:OSError", ""},
	{"descriptors, loader", exited(1, trace("RuntimeError: received 0 items of ancdata")), TooManyFiles, "ancdata", "", ""},
	{"threads", with(exited(1, trace("RuntimeError: can't start new thread")), func(d *Death) { d.Pids = Pids{Known: true, Refused: 3, Limit: 64} }), PidsLimit, "pids.max is 64", "pids_limit:RuntimeError", ""},
	{"bash fork", exited(254, "/app/run.sh: fork: retry: Resource temporarily unavailable\n/app/run.sh: fork: Resource temporarily unavailable"), PidsLimit, "no more processes", "", ""},
	{"openblas", exited(1, "OpenBLAS blas_thread_init: pthread_create failed for thread 5 of 64: Resource temporarily unavailable"), PidsLimit, "no more processes", "", ""},
	{"memory error", exited(1, trace("numpy.core._exceptions._ArrayMemoryError: Unable to allocate 74.5 GiB for an array with shape (100000, 100000) and data type float64")), NoMemory, "74.5 GiB", "", ""},
	{"torch cpu allocator", exited(1, trace("RuntimeError: [enforce fail at alloc_cpu.cpp:83] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 400000000000 bytes. Error code 12 (Cannot allocate memory)")), NoMemory, "DefaultCPUAllocator", "", ""},

	{"cuda oom 1.13", exited(1, trace("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 23.70 GiB total capacity; 21.95 GiB already allocated; 1.13 GiB free; 22.01 GiB reserved in total by PyTorch)")), CUDAOOM, "GPU's memory", "cuda_oom:OutOfMemoryError", ""},
	{"cuda oom 2.x", exited(1, "[rank0]: Traceback (most recent call last):\n[rank0]:   File \"/app/train.py\", line 9, in <module>\n[rank0]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 512.00 MiB. GPU 0 has a total capacity of 79.15 GiB of which 12.00 MiB is free."), CUDAOOM, "Tried to allocate", "cuda_oom:OutOfMemoryError", ""},
	{"cuda assert", exited(1, trace("RuntimeError: CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.")), CUDAError, "device-side assert", "", ""},
	{"no driver", exited(1, trace("RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed a driver")), CUDAError, "no NVIDIA driver", "", ""},
	{"nccl watchdog", signalled("SIGABRT", watchdog), NCCLTimeout, "collective operation", "nccl_timeout:SIGABRT", SenderSelf},
	{"nccl remote, 2.x", exited(1, trace("torch.distributed.DistBackendError: NCCL error in: ../torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:1970, remote process exited or there was a network error, NCCL version 2.18.1\nncclRemoteError: A call failed possibly due to a network error or a remote process exiting prematurely.\nLast error:\nsocketProgress: Connection closed by remote peer node-1<43210>")), ConnectionLost, "connection to a peer", "connection_lost:DistBackendError", ""},
	{"nccl remote, 1.13", exited(1, trace("RuntimeError: NCCL communicator was aborted on rank 1.  Original reason for failure was: [Rank 1] NCCL watchdog thread terminated")), ConnectionLost, "aborted on rank 1", "", ""},
	{"nccl system", exited(1, trace("torch.distributed.DistBackendError: NCCL error in: ../torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:1275, unhandled system error (run with NCCL_DEBUG=INFO for details), NCCL version 2.19.3\nncclSystemError: System call (e.g. socket, malloc) or external library call failed or device error.\nLast error:\nCall to ibv_create_cq failed")), NCCLError, "NCCL reported", "", ""},
	{"gloo peer", exited(1, trace("RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.233.87.118]:43139")), ConnectionLost, "connection to a peer", "connection_lost:RuntimeError", ""},
	{"gloo reset", exited(1, trace("RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:589] Read error [192.168.70.92]:25266: Connection reset by peer")), ConnectionLost, "connection to a peer", "connection_lost:RuntimeError", ""},
	{"gloo timeout", exited(1, trace("RuntimeError: [../third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1800000ms for recv operation to complete")), GlooTimeout, "did not end in time", "gloo_timeout:RuntimeError", ""},
	{"rendezvous", exited(1, trace("torch.distributed.DistNetworkError: The client socket has timed out after 600000ms while trying to connect to (master-0, 29500).")), RendezvousFailed, "did not find each other", "", ""},
	{"loader died", exited(1, trace("RuntimeError: DataLoader worker (pid(s) 4242, 4243) exited unexpectedly")), DataLoader, "data loader", "dataloader_worker:RuntimeError", ""},
	{"loader killed for memory", with(exited(1, trace("RuntimeError: DataLoader worker (pid 4242) is killed by signal: Killed. ")), func(d *Death) { d.Memory.Container = 1 }), OOMContainer, "a process of it", "", SenderOOM},

	{"segfault", signalled("SIGSEGV", "step 7"), Segfault, "SIGSEGV", "segfault:SIGSEGV", SenderKernel},
	{"segfault with faulthandler", signalled("SIGSEGV", "Fatal Python error: Segmentation fault\n\nCurrent thread 0x00007f1c8b5a4740 (most recent call first):\n  File \"/app/loader.py\", line 12 in decode\n  File \"/app/train.py\", line 3 in <module>"), Segfault, "line 12 in decode", "segfault:SIGSEGV:at File \"loader.py\", line # in decode", SenderKernel},
	{"stack overflow", with(signalled("SIGSEGV", ""), func(d *Death) { d.Kernel = []KernelFact{{Kind: KernelFault, PID: 4711, Stack: true}} }), StackOverflow, "stack was full", "", SenderKernel},
	{"abort silent", signalled("SIGABRT", ""), Abort, "did not say why", "abort:SIGABRT", SenderSelf},
	{"assertion", signalled("SIGABRT", "trainer: src/queue.c:88: pop: Assertion `q->len > 0' failed."), Abort, "assertion failed", "", SenderSelf},
	{"heap", signalled("SIGABRT", "free(): invalid pointer"), Abort, "heap is damaged", "abort:SIGABRT:free(): invalid pointer", SenderSelf},
	{"stack smashing", signalled("SIGABRT", "*** stack smashing detected ***: terminated"), Abort, "heap is damaged", "", SenderSelf},
	{"bad_alloc", signalled("SIGABRT", "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc"), NoMemory, "bad_alloc", "no_memory:SIGABRT", SenderSelf},
	{"go panic", exited(2, "panic: runtime error: index out of range [5] with length 3\n\ngoroutine 1 [running]:\nmain.main()\n\t/src/main.go:9 +0x1d\nexit status 2"), Panic, "index out of range", "", ""},
	{"rust panic", exited(101, "thread 'main' panicked at src/main.rs:4:5:\ncalled `Option::unwrap()` on a `None` value\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace"), Panic, "panicked", "", ""},
	{"bus error", signalled("SIGBUS", ""), BusError, "SIGBUS", "", SenderKernel},
	{"seccomp", signalled("SIGSYS", ""), BadSyscall, "sandbox", "", SenderKernel},
	{"sigpipe", signalled("SIGPIPE", ""), BrokenPipe, "nobody reads", "", SenderKernel},

	{"oom own", with(signalled("SIGKILL", ""), func(d *Death) {
		d.Memory = Memory{Known: true, Own: 1, OwnLimit: true, Container: 1, Limit: 512 * mib, Peak: 512 * mib}
	}), OOM, "worker's cgroup had no memory left (limit 512 MiB, peak 512 MiB)", "oom", SenderOOM},
	{"oom container", with(signalled("SIGKILL", ""), func(d *Death) { d.Memory.Container = 1 }), OOMContainer, "the container had no memory left", "oom_container", SenderOOM},
	{"oom container, own cgroup", with(signalled("SIGKILL", ""), func(d *Death) { d.Memory = Memory{Known: true, Own: 1, Container: 1} }), OOMContainer, "the container", "", SenderOOM},
	{"oom machine", with(signalled("SIGKILL", ""), func(d *Death) { d.Memory = Memory{Known: true, Own: 1} }), OOMHost, "the machine", "", SenderOOM},
	{"oom by the kernel's log", with(signalled("SIGKILL", ""), func(d *Death) {
		d.Memory = Memory{}
		d.Kernel = []KernelFact{{Kind: KernelOOM, PID: 4711, Memcg: true}}
	}), OOMContainer, "OOM killer ended it", "", SenderOOM},
	{"another's oom", with(signalled("SIGKILL", ""), func(d *Death) { d.Memory.Host = 1 }), KilledOutside, "not the OOM killer", "", "unknown (outside: kill, docker kill; the kernel's OOM killer is ruled out"},
	{"killed outside", signalled("SIGKILL", ""), KilledOutside, "somebody outside", "killed_outside:SIGKILL", "unknown (outside"},
	{"killed, counters unknown", with(signalled("SIGKILL", ""), func(d *Death) { d.Memory = Memory{} }), KilledOutside, "cannot be read", "", "unknown (outside, or the OOM killer"},
	{"killed, only the machine's counter", with(signalled("SIGKILL", ""), func(d *Death) { d.Memory = Memory{HostKnown: true} }), KilledOutside, "not the OOM killer", "", "unknown (outside"},
	{"hard cpu limit", with(signalled("SIGKILL", ""), func(d *Death) { d.CPUHard, d.CPUTime = time.Minute, time.Minute }), CPULimit, "hard rlimit cpu", "", SenderKernel},
	{"our kill", with(signalled("SIGKILL", ""), func(d *Death) { d.Sent, d.SentAt = "SIGKILL", at }), StoppedByUs, "ProcGuard stopped it", "", SenderUs},
	{"our kill beside another's oom", with(signalled("SIGKILL", ""), func(d *Death) { d.Sent, d.Memory.Container = "SIGKILL", 1 }), StoppedByUs, "ProcGuard", "", SenderUs},
	{"oom while it was asked to stop", with(signalled("SIGKILL", ""), func(d *Death) { d.Sent, d.Memory.Container = "SIGTERM", 1 }), OOMContainer, "OOM killer", "", SenderOOM},
	{"our term", with(signalled("SIGTERM", ""), func(d *Death) { d.Sent = "SIGTERM" }), StoppedByUs, "SIGTERM", "", SenderUs},
	{"our term, python", with(exited(1, trace("torch.distributed.elastic.multiprocessing.api.SignalException: Process 33 got signal: 15")), func(d *Death) { d.Sent = "SIGTERM" }), StoppedByUs, "code 1", "", SenderUs},
	{"our term, 143", with(exited(143, ""), func(d *Death) { d.Sent = "SIGTERM" }), StoppedByUs, "143", "", SenderUs},
	{"term outside", signalled("SIGTERM", ""), KilledOutside, "ProcGuard did not send", "killed_outside:SIGTERM", "unknown"},
	{"hangup", signalled("SIGHUP", ""), Hangup, "terminal", "", "unknown"},
	{"exit 0", exited(0, "done"), ExitEarly, "not done", "exit_early", ""},
	{"exit 0 before ready", with(exited(0, ""), func(d *Death) { d.Ready = false }), ExitEarly, "before it was ready", "", ""},
	{"exit 3", exited(3, "giving up after 5 epochs"), ExitCode, "giving up", "exit_code:3:giving up after # epochs", ""},
	{"shell reports", exited(139, "/app/run.sh: line 4:  4242 Segmentation fault      (core dumped) python3 train.py"), ChildCrash, "SIGSEGV", "child_crash:139:SIGSEGV", ""},
	{"shell reports oom", with(exited(137, "/app/run.sh: line 4:  4242 Killed                  python3 train.py"), func(d *Death) { d.Memory.Container = 1 }), OOMContainer, "a process of it", "", SenderOOM},
	{"lost", Death{Worker: "w", Time: at, Lost: true}, LostStatus, "nobody watched", "lost", ""},
	{"hang busy among others", with(exited(0, ""), func(d *Death) {
		d.Hang, d.Look = "no heartbeat for 62 s", &Look{State: "R", CPU: 31, Wchan: "0", Busy: "python3"}
	}), HangBusy, "CPU 31 %", "", ""},
	{"hang busy", with(exited(0, ""), func(d *Death) { d.Hang, d.Look = "no heartbeat for 62 s", &Look{State: "R", CPU: 99, Busy: "python3"} }), HangBusy, "CPU 99 %", "", ""},
	{"hang busy beside the main thread", with(exited(0, ""), func(d *Death) {
		d.Hang, d.Look = "no heartbeat", &Look{State: "S", CPU: 101, Busy: "pt_nccl", Wchan: "futex_do_wait"}
	}), HangBusy, "in thread pt_nccl, while the main thread waits (wchan futex_do_wait)", "", ""},
	{"hang disk", with(exited(0, ""), func(d *Death) { d.Hang, d.Look = "no heartbeat", &Look{State: "D", Wchan: "folio_wait_bit"} }), HangDisk, "folio_wait_bit", "", ""},
	{"hang with an old oom", with(exited(0, ""), func(d *Death) {
		d.Hang, d.Look, d.Memory.Container = "no heartbeat", &Look{State: "S", Wchan: "futex_wait_queue"}, 1
	}), HangLock, "OOM killer ended a process of it", "hang_lock:futex_wait_queue", ""},
	{"never ready", with(exited(0, ""), func(d *Death) { d.Hang, d.Ready = "no readiness within 600s", false }), HangStartup, "no readiness", "", ""},
}

func TestClassify(t *testing.T) {
	if len(rowsOfFacts) < 40 {
		t.Fatalf("only %d rows", len(rowsOfFacts))
	}
	for _, r := range rowsOfFacts {
		v := Classify(r.d)
		if v.Class != r.class || !strings.Contains(v.Reason, r.reason) || !strings.HasPrefix(v.Sender, r.sender) || (v.Sender == "") != (r.sender == "") {
			t.Errorf("%s: %s, %q, sender %q; want %s, %q, %q", r.name, v.Class, v.Reason, v.Sender, r.class, r.reason, r.sender)
		}
		if r.sig != "" && v.Signature != r.sig {
			t.Errorf("%s: signature %q, want %q", r.name, v.Signature, r.sig)
		}
		if v.Signature == "" || !strings.HasPrefix(v.Signature, string(v.Class)) || v.Confidence == "" || v.Worker != "w" || v.Startup == r.d.Ready {
			t.Errorf("%s: %+v", r.name, v)
		}
		if strings.HasSuffix(v.Reason, ".") && !strings.HasSuffix(v.Reason, "...") && r.d.Text == nil {
			t.Errorf("%s: the reason ends with a full stop: %q", r.name, v.Reason)
		}
	}
}

// TestSignatureIsStable: the same failure at other numbers, addresses, times and
// places has the same signature; another has another.
func TestSignatureIsStable(t *testing.T) {
	same := [][]string{
		{"ValueError: shard /data/a1/part-0003 has 17 rows", "ValueError: shard /scratch/b/part-9999 has 1 rows"},
		{"failed at 0x7ffd3a2b in rank 3", "failed at 0xdeadbeef in rank 12"},
		{"2026-11-24 02:08:09,123 lost 10.0.0.1:29500", "2027-01-01 12:00:00,001 lost 10.1.22.3:1"},
		{"cannot open /tmp/tmpab12cd/x.tmp", "cannot open /tmp/tmpzz/x.tmp"},
		{"cannot open /tmp/tmpabcdef", "cannot open /var/tmp/tmp_xyz"},
		{"job 550e8400-e29b-41d4-a716-446655440000", "job 123e4567-e89b-12d3-a456-426614174000"},
		{"Ranks 4, 5, 6 failed", "Ranks 1 failed"},
		{"[rank0]: boom", "[rank17]: boom"},
		{"peer [::ffff:10.0.0.2]:1234 gone", "peer [fe80:0:1::1]:99 gone"},
	}
	seen := map[string]string{}
	for _, pair := range same {
		a, b := Normalize(pair[0]), Normalize(pair[1])
		if a != b {
			t.Errorf("%q and %q differ: %q, %q", pair[0], pair[1], a, b)
		}
		seen[a] = pair[0]
	}
	if len(seen) != len(same) {
		t.Errorf("different failures look the same: %q", seen)
	}
	if s := Signature("x", strings.Repeat("long words ", 100)); len(s) > maxSignature {
		t.Errorf("%d bytes", len(s))
	}
}

func TestParseErrorFile(t *testing.T) {
	data := `{"message": {"message": "RuntimeError: boom", "extraInfo": {"py_callstack": "Traceback (most recent call last):\n", "timestamp": "1700000000"}}}`
	f, ok := ParseErrorFile([]byte(data))
	if !ok || f.Message != "RuntimeError: boom" || f.Time.Unix() != 1700000000 || f.Resolution != time.Second || f.Stack == "" {
		t.Errorf("%v %+v", ok, f)
	}
	f, ok = ParseErrorFile([]byte(`{"message": "plain words", "timestamp": 1700000000.25}`))
	if !ok || f.Message != "plain words" || f.Time.UnixMilli() != 1700000000250 || f.Resolution != time.Millisecond {
		t.Errorf("%v %+v", ok, f)
	}
	for _, bad := range []string{"", "{", "[]", `{"message": 5}`, `{"other": "x"}`} {
		if f, ok := ParseErrorFile([]byte(bad)); ok {
			t.Errorf("%q: %+v", bad, f)
		}
	}
}

// FuzzClassify: no text makes it fail, and no reason or signature grows without
// bound.
func FuzzClassify(f *testing.F) {
	for _, r := range rowsOfFacts {
		f.Add(strings.Join(r.d.Text, "\n"), r.d.Code, r.d.Signal, r.d.Sent)
	}
	f.Fuzz(func(t *testing.T, text string, code int, signal, sent string) {
		d := exited(code, text)
		d.Signal, d.Sent = signal, sent
		v := Classify(d)
		if v.Class == "" || v.Reason == "" || v.Signature == "" || len(v.Reason) > 1000+len(signal)+len(sent) || len(v.Signature) > maxSignature {
			t.Errorf("%+v", v)
		}
		if g := Decide([]Death{d, d}); g.Culprit != 0 || !slices.Equal(g.Verdicts[0].Accuses, v.Accuses) {
			t.Errorf("%+v", g)
		}
	})
}
