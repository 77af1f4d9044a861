package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal and what was written to it.
type terminal struct {
	t      *trial
	master *os.File
	slave  *os.File
	mu     sync.Mutex
	text   bytes.Buffer
	seen   int // how much of text has been looked through
}

// terminal does not echo: what is read from it was written by a program.
func (t *trial) terminal() *terminal {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	t.need(err)
	t.need(unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	t.need(err)
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	t.need(err)
	modes, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	t.need(err)
	modes.Lflag &^= unix.ECHO
	t.need(unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, modes))
	y := &terminal{t: t, master: os.NewFile(uintptr(fd), "ptmx"), slave: slave}
	go y.read()
	return y
}

func (y *terminal) read() {
	buf := make([]byte, 4096)
	for {
		n, err := y.master.Read(buf)
		y.mu.Lock()
		y.text.Write(buf[:n])
		y.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// close lets a box's end be the end of the terminal.
func (y *terminal) close() {
	y.slave.Close()
	y.master.Close()
}

func (y *terminal) typed(s string) { _, _ = y.master.WriteString(s) }

// sees waits for text after what was seen last.
func (y *terminal) sees(text string) bool {
	return y.t.eventually(func() bool {
		y.mu.Lock()
		defer y.mu.Unlock()
		at := strings.Index(y.text.String()[y.seen:], text)
		if at >= 0 {
			y.seen += at + len(text)
		}
		return at >= 0
	})
}

func (y *terminal) all() string {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.text.String()
}

// foreground is the process group that the terminal is in the hands of.
func (y *terminal) foreground() int {
	n, _ := unix.IoctlGetInt(int(y.master.Fd()), unix.TIOCGPGRP)
	return n
}
