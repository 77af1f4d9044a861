package staged

import (
	"github.com/procguard/procguard/supervise/cause"
)

// exits end by themselves, with a code.
func exits() []Case {
	return []Case{
		{Name: "exit-traceback", Argv: python("def step(n):\n    raise ValueError(f'bad batch {n}')\nstep(7)"), Needs: []Need{Python},
			Class: cause.PythonException, Words: []string{"ValueError: bad batch 7"}},
		{Name: "exit-zero-early", Argv: sh("exit 0"), Class: cause.ExitEarly, Words: []string{"code 0"}},
		{Name: "exit-code", Argv: python("import sys; sys.exit(3)"), Needs: []Need{Python}, Class: cause.ExitCode, Words: []string{"code 3"}},
		{Name: "exit-silent-children", Argv: sh("sleep 300 & exit 5"), Children: true, Class: cause.ExitCode, Words: []string{"code 5"}},
		{Name: "exit-thread", Argv: python("import threading\ndef run():\n    raise KeyError('shard')\nt = threading.Thread(target=run)\nt.start()\nt.join()\nraise SystemExit(1)"),
			Needs: []Need{Python}, Class: cause.PythonException, Words: []string{"KeyError: 'shard'"}},
		{Name: "exit-usage", Argv: python("import argparse; argparse.ArgumentParser('train').parse_args(['--lr', '1'])"), Needs: []Need{Python},
			Class: cause.UsageError, Words: []string{"unrecognized arguments: --lr"}},
		{Name: "exit-child-crash", Argv: sh("sh -c 'kill -SEGV $$'; exit $?"), Class: cause.ChildCrash, Words: []string{"SIGSEGV", "139"}},
		{Name: "connection-lost", Argv: python("import socket\ns = socket.socket(); s.bind(('127.0.0.1', 0)); p = s.getsockname()[1]; s.close()\nsocket.create_connection(('127.0.0.1', p))"),
			Needs: []Need{Python}, Class: cause.ConnectionLost, Words: []string{"ConnectionRefusedError"}},
	}
}

// programs cannot run, or not far.
func programs() []Case {
	return []Case{
		{Name: "exec-missing", Argv: []string{"{dir}/no-such-program"}, Class: cause.ExecFailure, Words: []string{"could not be started"}},
		{Name: "exec-interpreter", Argv: []string{"{dir}/train"}, Files: map[string]string{"train": "#!/no/such/python3\nprint(1)\n"},
			Class: cause.ExecFailure, Words: []string{"could not be started"}},
		{Name: "exec-format", Argv: []string{"{dir}/train"}, Files: map[string]string{"train": "\x7fELF, but not really\n"}, Class: cause.ExecFailure, Words: []string{"could not be started"}},
		{Name: "command-not-found", Argv: sh("no-such-trainer --epochs 3"), Class: cause.ExecFailure, Words: []string{"no-such-trainer"}},
		{Name: "script-missing", Argv: []string{"python3", "{dir}/train.py"}, Needs: []Need{Python}, Class: cause.ExecFailure, Words: []string{"can't open file"}},
		{Name: "library-missing", Argv: sh("sed 's/libc[.]so[.]6/libq.so.6/g' /bin/true >t && chmod +x t && exec ./t"), Needs: []Need{Linked},
			Class: cause.MissingLibrary, Words: []string{"libq.so.6"}},
		{Name: "import-error", Argv: python("import no_such_module_at_all"), Needs: []Need{Python}, Class: cause.ImportError, Words: []string{"no_such_module_at_all"}},
		{Name: "library-import", Argv: python("import ctypes; ctypes.CDLL('libcudart.so.99')"), Needs: []Need{Python}, Class: cause.MissingLibrary, Words: []string{"libcudart.so.99"}},
	}
}

// waiting prints that it is ready and sleeps in its own process.
const waiting = "echo ready; exec sleep 300"

// signals come from somebody else, or from us.
func signals() []Case {
	return []Case{
		{Name: "killed-outside", Argv: sh(waiting), Act: Kill, Class: cause.KilledOutside, Words: []string{"SIGKILL"}, Sender: "unknown"},
		{Name: "terminated-outside", Argv: sh(waiting), Act: Term, Class: cause.KilledOutside, Words: []string{"SIGTERM"}, Sender: "unknown"},
		{Name: "hangup", Argv: sh(waiting), Act: Hup, Class: cause.Hangup, Words: []string{"SIGHUP"}, Sender: "unknown"},
		{Name: "stopped-by-us", Argv: sh(waiting), Act: Stop, Class: cause.StoppedByUs, Words: []string{"ProcGuard"}, Sender: cause.SenderUs},
		{Name: "killed-by-us", Argv: sh("trap '' TERM; echo ready; while :; do sleep 1; done"), Act: End, Children: true,
			Class: cause.StoppedByUs, Words: []string{"SIGKILL"}, Sender: cause.SenderUs},
		{Name: "stopped-by-us-traceback", Argv: python("import signal, time\ndef bye(*a):\n    raise SystemExit(143)\nsignal.signal(signal.SIGTERM, bye)\nprint('ready')\ntime.sleep(300)"),
			Needs: []Need{Python}, Act: Stop, Class: cause.StoppedByUs, Words: []string{"ProcGuard", "143"}, Sender: cause.SenderUs},
	}
}

// code is a Python program that runs machine code.
func code(hex string) []string {
	return python("import ctypes, mmap\nm = mmap.mmap(-1, 4096, prot=7)\nm.write(bytes.fromhex('" + hex + "'))\n" +
		"ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()")
}

// faults are what a program does to itself.
func faults() []Case {
	return []Case{
		{Name: "segfault", Argv: python("import ctypes; ctypes.string_at(0)"), Needs: []Need{Python}, Class: cause.Segfault, Words: []string{"SIGSEGV"}, Sender: cause.SenderKernel},
		{Name: "segfault-place", Argv: []string{"python3", "-X", "faulthandler", "{dir}/train.py"}, Files: map[string]string{"train.py": "import ctypes\ndef load():\n    ctypes.string_at(0)\nload()\n"},
			Needs: []Need{Python}, Class: cause.Segfault, Words: []string{"SIGSEGV", "string_at"}, Sender: cause.SenderKernel},
		{Name: "core-dump", Argv: sh("ulimit -c unlimited; exec python3 -c 'import ctypes; ctypes.string_at(0)'"), Needs: []Need{Python, Core},
			Class: cause.Segfault, Words: []string{"SIGSEGV"}, Sender: cause.SenderKernel},
		{Name: "abort", Argv: python("import os; os.abort()"), Needs: []Need{Python}, Class: cause.Abort, Words: []string{"SIGABRT"}, Sender: cause.SenderSelf},
		{Name: "abort-heap", Argv: python("import ctypes\nlibc = ctypes.CDLL(None)\nlibc.malloc.restype = ctypes.c_void_p\np = libc.malloc(2000)\nlibc.free.argtypes = [ctypes.c_void_p]\nlibc.free(p)\nlibc.free(p)"),
			Needs: []Need{Python}, Class: cause.Abort, Words: []string{"heap", "SIGABRT"}, Sender: cause.SenderSelf},
		{Name: "bus-error", Argv: python("import mmap\nf = open('data', 'w+b')\nf.truncate(8192)\nm = mmap.mmap(f.fileno(), 8192)\nf.truncate(0)\nprint(m[5000])"),
			Needs: []Need{Python}, Class: cause.BusError, Words: []string{"SIGBUS"}, Sender: cause.SenderKernel},
		{Name: "stack-overflow", Argv: python("import sys, threading, ctypes\ncb = ctypes.CFUNCTYPE(None)\nsys.setrecursionlimit(10**9)\n@cb\ndef f(): f()\nf()"),
			Needs: []Need{Python}, Class: cause.StackOverflow, Dark: cause.Segfault, Words: []string{"SIGSEGV"}, Sender: cause.SenderKernel},
		{Name: "illegal-instruction", Argv: code("0f0b"), Needs: []Need{Python, AMD64}, Class: cause.IllegalInstr, Words: []string{"SIGILL"}, Sender: cause.SenderKernel},
		{Name: "divide-by-zero", Argv: code("31c9b80100000099f7f9c3"), Needs: []Need{Python, AMD64}, Class: cause.Arithmetic, Words: []string{"SIGFPE"}, Sender: cause.SenderKernel},
		{Name: "broken-pipe", Argv: python("import os, signal\nsignal.signal(signal.SIGPIPE, signal.SIG_DFL)\nr, w = os.pipe()\nos.close(r)\nos.write(w, b'x')"),
			Needs: []Need{Python}, Class: cause.BrokenPipe, Words: []string{"SIGPIPE"}, Sender: cause.SenderKernel},
		{Name: "cpu-limit", Argv: python("import resource\nresource.setrlimit(resource.RLIMIT_CPU, (1, 5))\nwhile True: pass"),
			Needs: []Need{Python}, Class: cause.CPULimit, Words: []string{"processor time"}, Sender: cause.SenderKernel},
		{Name: "file-size-limit", Argv: python("import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_DFL)\nresource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\nopen('f', 'wb').write(b'x' * 5000)"),
			Needs: []Need{Python}, Class: cause.FileLimit, Words: []string{"SIGXFSZ"}, Sender: cause.SenderKernel},
	}
}

// resources run out.
func resources() []Case {
	return []Case{
		{Name: "port-in-use", Argv: python("import socket\na = socket.socket(); a.bind(('127.0.0.1', 0)); a.listen()\nb = socket.socket(); b.bind(a.getsockname())"),
			Needs: []Need{Python}, Class: cause.PortInUse, Words: []string{"Address already in use"}},
		{Name: "disk-full", Argv: sh("mkdir small && mount -t tmpfs -o size=64k none small && trap 'umount small' EXIT; python3 -c \"open('small/ckpt.pt', 'wb').write(b'x' * 200000)\" || exit 1"),
			Needs: []Need{Mount, Python}, Class: cause.DiskFull, Words: []string{"No space left on device"}},
		{Name: "disk-full-device", Argv: sh("cat /etc/passwd >/dev/full"), Class: cause.DiskFull, Words: []string{"No space left on device"}},
		{Name: "too-many-files", Argv: python("import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))\nkeep = [open('/dev/null') for _ in range(99)]"),
			Needs: []Need{Python}, Class: cause.TooManyFiles, Words: []string{"Too many open files"}},
		{Name: "no-memory", Argv: python("import resource\nresource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))\nx = bytearray(1 << 30)"),
			Needs: []Need{Python}, Class: cause.NoMemory, Words: []string{"MemoryError"}},
		{Name: "pids-limit", Argv: python("import threading, time\nprint('ready')\nfor _ in range(200):\n    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"),
			Needs: []Need{Root, Python, Pids}, Limit: 20, Class: cause.PidsLimit, Words: []string{"can't start new thread", "pids.max is 20"}},
		{Name: "pids-limit-shell", Argv: sh("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 20 & done; wait"),
			Needs: []Need{Root, Pids}, Limit: 6, Children: true, Class: cause.PidsLimit, Words: []string{"ork", "pids.max is 6"}},
	}
}

// hangs live, and do nothing that helps.
func hangs() []Case {
	return []Case{
		{Name: "hang-futex", Argv: python("import threading\nprint('ready')\na = threading.Lock()\na.acquire()\na.acquire()"), Needs: []Need{Python}, Act: Hang,
			Class: cause.HangLock, Words: []string{"lock"}},
		{Name: "hang-read", Argv: python("import os\nr, w = os.pipe()\nprint('ready')\nos.read(r, 1)"), Needs: []Need{Python}, Act: Hang, Class: cause.HangRead, Words: []string{"input", "pipe:"}},
		{Name: "hang-busy", Argv: python("print('ready')\nwhile True: pass"), Needs: []Need{Python}, Act: Hang, Class: cause.HangBusy, Words: []string{"CPU"}},
		{Name: "hang-sleep", Argv: python("import time\nprint('ready')\ntime.sleep(300)"), Needs: []Need{Python}, Act: Hang, Class: cause.HangSleep, Words: []string{"sleeps"}},
		{Name: "hang-stopped", Argv: sh(waiting), Act: Freeze, Class: cause.HangStopped, Words: []string{"SIGSTOP"}},
	}
}

// eats takes memory until it is killed: a line without an end.
const eats = "tail /dev/zero"

// memory ends what takes too much.
func memory() []Case {
	return []Case{
		{Name: "oom-own", Argv: sh("exec " + eats), Needs: []Need{Root, Memory}, Limit: 48 << 20, Class: cause.OOM, Words: []string{"OOM killer", "48 MiB"}, Sender: cause.SenderOOM},
		{Name: "oom-container", Argv: sh("exec " + eats), Needs: []Need{Root, Container}, Limit: 48 << 20, Class: cause.OOMContainer, Words: []string{"the container"}, Sender: cause.SenderOOM},
		{Name: "oom-child", Argv: sh(eats + "; exit $?"), Needs: []Need{Root, Memory}, Limit: 48 << 20,
			Class: cause.OOM, Words: []string{"a process of it"}, Sender: cause.SenderOOM},
	}
}
