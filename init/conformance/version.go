package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "an unknown kernel"
	}
	release, _, _ := strings.Cut(unix.ByteSliceToString(u.Release[:]), "-") // what follows is the builder's
	return "Linux " + release + " " + unix.ByteSliceToString(u.Machine[:])
}

// versionOf asks the package database, and otherwise the program itself.
func versionOf(path string) string {
	if full, err := filepath.EvalSymlinks(path); err == nil {
		path = full
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if owner, ok := output("dpkg-query", "-S", path); ok {
		name, _, _ := strings.Cut(owner, ":")
		if v, ok := output("dpkg-query", "-W", "-f=${Package} ${Version}", name); ok {
			return v
		}
	}
	for _, ask := range []string{"--version", "version"} {
		if v, ok := output(path, ask); ok {
			first, _, _ := strings.Cut(v, "\n")
			return first
		}
	}
	return "unknown version"
}

// output runs a program that ends soon.
func output(argv ...string) (string, bool) {
	path := argv[0]
	if !strings.Contains(path, "/") {
		path = "/usr/bin/" + path
	}
	r, w, err := os.Pipe()
	if err != nil {
		return "", false
	}
	defer r.Close()
	p, err := os.StartProcess(path, argv, &os.ProcAttr{Files: []*os.File{nil, w, nil}, Env: launch{}.environ()})
	w.Close()
	if err != nil {
		return "", false
	}
	defer time.AfterFunc(patience, func() { _ = p.Kill() }).Stop()
	text, _ := io.ReadAll(r)
	s, err := p.Wait()
	return strings.TrimSpace(string(text)), err == nil && s.Success()
}
