package command

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Line is a command as it was asked for.
type Line struct {
	Argv0 string
	Path  string   // the file to execute; "": Argv0 looked up in Env's PATH
	Dir   string   // the command's working directory; "": ours
	Env   []string // the command's environment
}

// File is the file that a command line stands for.
type File struct {
	Path  string // as the child may name it, in its working directory
	line  Line
	tried []string
}

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Find resolves Argv0 as execvp(3) in the child would: in the command's PATH, relative
// names and relative PATH entries against the command's directory. Its error is
// an *Error. The File is of use to Explain also when there is one.
func Find(l Line) (File, error) {
	f := File{line: l}
	if l.Dir != "" {
		if st, err := os.Stat(l.Dir); err != nil {
			return f, f.Fail(BadDir, "", underlying(err))
		} else if !st.IsDir() {
			return f, f.Fail(BadDir, "", syscall.ENOTDIR)
		}
	}
	name := l.Path
	if name == "" {
		name = l.Argv0
	}
	if l.Path != "" || strings.Contains(name, "/") {
		f.Path = name
		return f, nil // the kernel judges; see Explain
	}
	return f, f.search(name)
}

func (f *File) search(name string) error {
	denied := ""
	for _, dir := range strings.Split(pathOf(f.line.Env), ":") {
		if dir == "" {
			dir = "."
		}
		f.tried = append(f.tried, dir)
		file := filepath.Join(dir, name)
		if !strings.Contains(file, "/") {
			file = "./" + file
		}
		st, err := os.Stat(inDir(f.line.Dir, file))
		if err != nil || st.IsDir() || name == "" {
			continue
		}
		if st.Mode()&0o111 != 0 {
			f.Path = file
			return nil
		}
		denied = file
	}
	if denied != "" {
		f.Path = denied
		return f.Fail(NotExecutable, "", syscall.EACCES)
	}
	return f.Fail(NotFound, "", syscall.ENOENT)
}

func pathOf(env []string) string {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			return v
		}
	}
	return defaultPath
}

// inDir is how we name a file that the child would name relative to dir.
func inDir(dir, file string) string {
	if dir == "" || filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(dir, file)
}

// Fail makes the Error for a step that is known to have failed; what names the
// interpreter or the attribute.
func (f File) Fail(k Kind, what string, err error) *Error {
	e := &Error{Kind: k, Argv0: f.line.Argv0, Path: f.Path, Dir: f.line.Dir, What: what, Err: err, Code: k.code()}
	if k == NotFound {
		e.Tried = f.tried
	}
	return e
}

func underlying(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
