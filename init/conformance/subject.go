package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// subject is an init under test: a copy of it, in a directory that every user may
// enter, under the name that it was called by.
type subject struct {
	Name    string `json:"name"` // the column's
	Path    string `json:"path"` // where it was found
	Version string `json:"version"`
	copy    string
	kind    kind
}

// kind is whose flags an init takes.
type kind string

const (
	procguard kind = "procguard"
	tini      kind = "tini"
	dumbInit  kind = "dumb-init"
	catatonit kind = "catatonit"
	other     kind = "other"
)

var peers = []kind{tini, dumbInit, catatonit}

func kindOf(path string) kind {
	base := filepath.Base(path)
	switch {
	case strings.HasPrefix(base, "tini"), base == "docker-init":
		return tini
	case base == "dumb-init":
		return dumbInit
	case base == "catatonit":
		return catatonit
	case strings.HasPrefix(base, "procguard"):
		return procguard
	}
	return other
}

// subjects are the one that was named, or ProcGuard under all its names and every
// peer that is installed.
func (b *bench) subjects(named string) ([]subject, error) {
	if named != "" {
		s, err := b.admit(filepath.Base(named), named, filepath.Base(named))
		return []subject{s}, err
	}
	own := os.Getenv("PROCGUARD")
	if own == "" {
		own = "./procguard"
	}
	all, err := b.own(own)
	if err != nil {
		return nil, err
	}
	for _, p := range peers {
		path := "/usr/bin/" + string(p)
		if _, err := os.Stat(path); err != nil {
			fmt.Fprintf(os.Stderr, "conformance: %s is not installed: no column for it\n", p)
			continue
		}
		s, err := b.admit(string(p), path, string(p))
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return ordered(all), nil
}

// own is ProcGuard, and ProcGuard by the peers' names.
func (b *bench) own(path string) ([]subject, error) {
	var all []subject
	for _, k := range append([]kind{procguard}, peers...) {
		name := "procguard as " + string(k)
		if k == procguard {
			name = string(k)
		}
		s, err := b.admit(name, path, string(k))
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// ordered puts ProcGuard first, then the peers, then ProcGuard in their places.
func ordered(all []subject) []subject {
	var first, peers, drop []subject
	for _, s := range all {
		switch {
		case s.Name == string(procguard):
			first = append(first, s)
		case strings.HasPrefix(s.Name, "procguard as "):
			drop = append(drop, s)
		default:
			peers = append(peers, s)
		}
	}
	return append(append(first, peers...), drop...)
}

// admit copies an init to where uid 1000 can execute it. base is the name that it
// will be called by: a symbolic link if the file's own is another.
func (b *bench) admit(name, path, base string) (subject, error) {
	dir, err := os.MkdirTemp(b.dir, "init-")
	if err != nil {
		return subject{}, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return subject{}, err
	}
	at := filepath.Join(dir, filepath.Base(path))
	if err := copyFile(path, at); err != nil {
		return subject{}, err
	}
	called := filepath.Join(dir, base)
	if called != at {
		if err := os.Symlink(filepath.Base(path), called); err != nil {
			return subject{}, err
		}
	}
	return subject{Name: name, Path: path, Version: versionOf(path), copy: called, kind: kindOf(called)}, nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}
