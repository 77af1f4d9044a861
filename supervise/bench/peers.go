package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// peers are supervisors that take a directory with a program named run. They may
// pause for a second where that has lived for less, so it is left alone longer.
var peers = []string{"runsv", "s6-supervise"}

const peerPause = 1100 * time.Millisecond

// comparePeers measures the restart of one worker under each peer that is here.
func (b *bench) comparePeers(t *table) error {
	found := false
	for _, name := range peers {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		found = true
		var p pair
		if err := b.peer(path, &p); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		t.times("kill -9 to first instruction of the next, "+name, &p, "-")
	}
	if !found {
		return fmt.Errorf("none of %s is installed", strings.Join(peers, ", "))
	}
	return nil
}

func (b *bench) peer(path string, p *pair) error {
	dir, err := os.MkdirTemp(b.dir, "peer-")
	if err != nil {
		return err
	}
	run := "#!/bin/sh\nexec " + strings.Join(b.worker, " ") + "\n" // no blanks in a path that we have made
	if err := os.WriteFile(filepath.Join(dir, "run"), []byte(run), 0o700); err != nil {
		return err
	}
	cmd := exec.Command(path, dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return err
	}
	if _, err = b.stamps.await(1, nil); err == nil {
		err = b.peerDeaths(cmd.Process.Pid, p)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM) // both end their service and then themselves
	_ = cmd.Wait()                          // the code is the service's end, which is a signal
	return err
}

func (b *bench) peerDeaths(pid int, p *pair) error {
	bare, err := b.bareGroup(1)
	if err != nil {
		return err
	}
	defer func() { _ = bare.end() }()
	for range b.rounds(30) {
		time.Sleep(peerPause)
		_, r, err := bare.restart(syscall.SIGKILL)
		if err != nil {
			return err
		}
		p.floor.add(r)
		pids, err := childrenOf(pid)
		if err != nil || len(pids) != 1 {
			return errors.Join(err, fmt.Errorf("%d children instead of one", len(pids)))
		}
		from := now()
		if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
			return err
		}
		at, err := b.stamps.await(1, nil)
		if err != nil {
			return err
		}
		p.got.add(at - from)
	}
	return nil
}
