// Command procguard keeps training jobs alive in containers: a correct PID 1, a
// supervisor and a recovery agent in one static binary.
//
// This package is wiring: verbs, flags, signals and exit codes.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Stamped in by the build.
var (
	version = "dev"
	commit  = ""
)

// Exit codes that programs may rely on; doc/design.md has the whole list.
const (
	codeUsage   = 2   // command line or configuration
	codeCannot  = 125 // could not start
	codeUnknown = 1   // internal error
)

func main() {
	// Before anything else: PID 1 without a handler loses signals that come early.
	// The channel has room for a storm while the configuration is read.
	signals := make(chan os.Signal, 256)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	// A handler for SIGPIPE, or the Go runtime ends us when nobody reads our
	// standard error any more. Ignoring it would be inherited by the workers.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	// What PID 1 has to do is little, also on a machine with 200 processors.
	runtime.GOMAXPROCS(min(runtime.GOMAXPROCS(0), maxProcs))
	if argv, ok := plainCommand(os.Args[1:]); ok {
		warm(4)
		os.Exit(plain(argv, signals))
	}
	os.Exit(execute(os.Args[1:], signals))
}

// maxProcs is how many threads may run Go code at once.
const maxProcs = 4

// plainCommand takes the form `procguard [--] CMD ARG…`: everything after `--`,
// or from a first word that is no flag and no verb, as containers give it.
func plainCommand(args []string) ([]string, bool) {
	if len(args) == 0 {
		return nil, false
	}
	if args[0] == "--" {
		return args[1:], true
	}
	if strings.HasPrefix(args[0], "-") || isVerb(args[0]) {
		return nil, false
	}
	return args, true
}

func isVerb(word string) bool {
	switch word {
	case "check", "status", "incidents", "version", "schema", "help", "completion", "__complete", "__completeNoDesc":
		return true
	}
	return false
}

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
