// Command procguard keeps training jobs alive in containers: a correct PID 1, a
// supervisor and a recovery agent in one static binary.
//
// This package is wiring: verbs, flags, signals and exit codes. A plain init, which needs
// none of it, is taken care of by package first before main is called.
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/procguard/procguard/init/early"
	_ "github.com/procguard/procguard/init/first"
	"github.com/procguard/procguard/reaper/catch"
)

// Stamped in by the build, as plain.Version is.
var commit = ""

// Exit codes that programs may rely on; doc/design.md has the whole list.
const (
	codeUsage   = 2   // command line or configuration
	codeCannot  = 125 // could not start
	codeUnknown = 1   // internal error
)

func main() {
	// Before anything else. What came earlier waits for this.
	// The channel has room for a storm while the configuration is read.
	signals := make(chan os.Signal, 256)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	// A handler for SIGPIPE, or the Go runtime ends us when nobody reads our
	// standard error any more. Ignoring it would be inherited by the workers.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	release()
	// What PID 1 has to do is little, also on a machine with 200 processors.
	runtime.GOMAXPROCS(min(runtime.GOMAXPROCS(0), maxProcs))
	os.Exit(execute(os.Args[1:], signals))
}

// release gives signals back to the Go runtime, and sends ourselves again what package
// early has caught. This thread lets all of them in, which is enough for the kernel.
func release() {
	early.Release()
	catch.SetMask(0)
	r, w := catch.Files()
	if r == 0 {
		return
	}
	defer syscall.Close(r)
	defer syscall.Close(w)
	_ = syscall.SetNonblock(r, true)
	var b [64 * catch.Size]byte
	for {
		n, _ := syscall.Read(r, b[:])
		if n <= 0 {
			return
		}
		for at := 0; at+int(catch.Size) <= n; at += int(catch.Size) {
			_ = syscall.Kill(os.Getpid(), syscall.Signal(binary.NativeEndian.Uint32(b[at:])))
		}
	}
}

// maxProcs is how many threads may run Go code at once.
const maxProcs = 4

// briefly runs f, which prints, and waits for it a second at most: where nobody
// reads standard error, PID 1 must still hear signals, and leave.
func briefly(f func()) {
	done := make(chan struct{})
	go func() {
		f()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Second):
	}
}

// fail prints an error the way all of them look: what, why, and what to do.
func fail(what string, err error, hint string) {
	fmt.Fprintf(os.Stderr, "procguard: %s: %v\n", what, err)
	if hint != "" {
		fmt.Fprintf(os.Stderr, "hint: %s\n", hint)
	}
}
