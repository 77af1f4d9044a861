package main

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func hardRows() []row {
	return []row{
		{name: "no /proc", required: true, run: hard(setup{NoProc: true}), means: "An empty directory at /proc: it forwards, reaps and exits with the command's code."},
		{name: "standard files closed", run: closedFiles, means: "0, 1 and 2 are closed when it starts: it exits with the command's code."},
		{name: "read-only root", required: true, run: hard(setup{ReadOnly: true}), means: "Likewise, with nothing to write to."},
		{name: "uid 1000", required: true, run: hard(setup{UID: 1000}), means: "Likewise, without root and capabilities."},
		{name: "no new privileges", required: true, run: hard(setup{UID: 1000, NoNew: true}), means: "Likewise, under no_new_privs."},
		{name: "20 processes allowed", required: true, run: hard(setup{UID: 61234, NProc: 20}), means: "Likewise, under RLIMIT_NPROC, threads included."},
		{name: "standard error is full", run: fullPipe, means: "As verbose as it can be, with nobody reading: it still reaps 300 orphans and ends."},
	}
}

// hard does a little of everything in a hard place.
func hard(s setup) func(*trial) verdict {
	return func(t *trial) verdict {
		b := t.start(launch{setup: s, cmd: t.me("@orphans", 5, 7)})
		b.allMade(5)
		if v := b.reaped(); !v.Good {
			return v
		}
		if v := b.endsWith(3); !v.Good {
			return v
		}
		b = t.cat(launch{setup: s})
		b.signal(syscall.SIGTERM)
		code := b.wait()
		return when(code == 143, "%s after TERM", codeText(code))
	}
}

func closedFiles(t *trial) verdict {
	b := t.start(launch{setup: setup{Close: true}, cmd: t.me("@exit", 42)})
	code := b.wait()
	return when(code == 42, "%s", codeText(code))
}

func fullPipe(t *trial) verdict {
	r, w := t.pipe()
	defer r.Close()
	defer w.Close()
	t.need(fill(int(w.Fd())))
	mark := t.dir + "/mark"
	b := t.start(launch{flags: t.flags(loud), stderr: w, cmd: t.me("@orphans", 300, 0, mark)})
	// An init may be verbose on standard output, and tear the command's lines to pieces.
	made := func() bool { _, err := os.Stat(mark); return err == nil }
	if !t.eventually(made) {
		return no("%s", b.why("the command hangs"))
	}
	if v := b.reaped(); !v.Good {
		return v
	}
	return b.endsWith(3)
}

// fill leaves a pipe blocking, and without room.
func fill(fd int) error {
	if err := unix.SetNonblock(fd, true); err != nil {
		return err
	}
	for {
		_, err := unix.Write(fd, make([]byte, 4096))
		if errors.Is(err, unix.EAGAIN) {
			return unix.SetNonblock(fd, false)
		}
		if err != nil {
			return err
		}
	}
}
