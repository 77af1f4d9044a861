// Command child is what the tests run in an image that has nothing else. It
// leaves orphans behind, says which signals it gets, and ends on TERM.
package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// Usage: child serve CODE. The other words are for itself.
func main() {
	if len(os.Args) < 2 {
		os.Exit(2)
	}
	switch os.Args[1] {
	case "serve":
		os.Exit(serve(os.Args[2]))
	case "middle":
		again(os.NewFile(3, "pipe"), "orphan", strconv.Itoa(os.Getpid()))
	case "orphan":
		orphan(os.Args[2])
	default:
		os.Exit(2)
	}
}

// serve says "ready" when its orphans are gone, "got N" for the signals USR1,
// 39 and TERM, and ends with code on the last.
func serve(code string) int {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGUSR1, syscall.Signal(39), syscall.SIGTERM)
	orphans(20)
	fmt.Println("ready, parent", os.Getppid())
	for s := range signals {
		n := s.(syscall.Signal)
		fmt.Println("got", int(n))
		if n == syscall.SIGTERM {
			break
		}
	}
	n, _ := strconv.Atoi(code)
	return n
}

// orphans starts grandchildren whose parents leave at once, and returns when the
// last has ended: it held the other end of a pipe.
func orphans(n int) {
	r, w, err := os.Pipe()
	must(err)
	for range n {
		must(again(w, "middle").Wait())
	}
	must(w.Close())
	_, err = io.Copy(io.Discard, r)
	must(err)
}

// orphan ends with 3 as soon as its parent is another than it was.
func orphan(parent string) {
	for strconv.Itoa(os.Getppid()) == parent {
		time.Sleep(time.Millisecond)
	}
	os.Exit(3)
}

// again starts this program with other arguments, and w as descriptor 3.
func again(w *os.File, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0] // there is no /proc
	}
	c := exec.Command(self, args...)
	c.Stdout, c.Stderr, c.ExtraFiles = os.Stdout, os.Stderr, []*os.File{w}
	must(c.Start())
	return c
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
}
