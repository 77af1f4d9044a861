package reaper

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Kind says why a command could not be started.
type Kind int

const (
	Other         Kind = iota // Err tells
	NotFound                  // no such file, or none in PATH
	NotExecutable             // no execute permission (or a noexec mount, or no search permission above it)
	IsDirectory
	BadFormat     // neither a program of this machine nor a script with #!
	NoInterpreter // the script's #! program or the program's dynamic loader is missing
	BadDir        // the working directory cannot be entered
	NoResources   // pids limit, memory: a try later may succeed
	Denied        // user, group or session could not be set
	BadAttribute  // umask, nice, limits, affinity, OOM score could not be set
)

// ExecError is why Spawn could not start a command. No process is left of it.
type ExecError struct {
	Kind  Kind
	Argv0 string
	Path  string   // the file tried, "" if none was found
	Dir   string   // the worker's directory, "" for ours
	Tried []string // where Argv0 was looked for
	What  string   // the missing interpreter, or the attribute
	Err   error    // the errno
	// Code is what an init exits with: 127 not found, 126 found but not
	// executable, 125 could not start for another reason.
	Code int
}

func (e *ExecError) Unwrap() error { return e.Err }

// Temporary says that the same Spawn may succeed later.
func (e *ExecError) Temporary() bool {
	return e.Kind == NoResources || errors.Is(e.Err, syscall.ETXTBSY)
}

func (e *ExecError) Error() string {
	return fmt.Sprintf("cannot run %q: %s", e.Argv0, e.reason())
}

func (e *ExecError) reason() string {
	switch e.Kind {
	case NotFound:
		if len(e.Tried) > 0 {
			return "not found in PATH (" + strings.Join(e.Tried, ":") + ")"
		}
		return fmt.Sprintf("%s: no such file%s", e.Path, e.in())
	case NotExecutable:
		return fmt.Sprintf("%s: permission denied (is it executable?)", e.Path)
	case IsDirectory:
		return e.Path + ": is a directory"
	case BadFormat:
		return e.Path + ": exec format error (another machine's program, or a script without #!)"
	case NoInterpreter:
		return fmt.Sprintf("%s: its interpreter %s is missing", e.Path, e.What)
	case BadDir:
		return fmt.Sprintf("working directory %s: %v", e.Dir, e.Err)
	case NoResources:
		return fmt.Sprintf("out of processes or memory: %v", e.Err)
	case Denied:
		return fmt.Sprintf("cannot set user, group, session or terminal: %v", e.Err)
	case BadAttribute:
		return fmt.Sprintf("cannot set %s: %v", e.What, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Path, e.Err)
}

func (e *ExecError) in() string {
	if e.Dir == "" || filepath.IsAbs(e.Path) {
		return ""
	}
	return " in " + e.Dir
}

var codes = map[Kind]int{
	NotFound: 127, NoInterpreter: 127,
	NotExecutable: 126, IsDirectory: 126, BadFormat: 126, Other: 126,
	BadDir: 125, NoResources: 125, Denied: 125, BadAttribute: 125,
}

// lookup remembers where a command was looked for.
type lookup struct{ tried []string }

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// find resolves Argv[0] as execvp(3) in the child would: in the worker's PATH, relative
// names and relative PATH entries against the worker's directory.
func (l *lookup) find(s *Spec, env []string) (string, error) {
	if s.Dir != "" {
		if st, err := os.Stat(s.Dir); err != nil {
			return "", l.fail(s, BadDir, "", underlying(err))
		} else if !st.IsDir() {
			return "", l.fail(s, BadDir, "", syscall.ENOTDIR)
		}
	}
	name := s.Path
	if name == "" {
		name = s.Argv[0]
	}
	if s.Path != "" || strings.Contains(name, "/") {
		return name, nil // the kernel judges; see explain
	}
	return l.search(s, name, env)
}

func (l *lookup) search(s *Spec, name string, env []string) (string, error) {
	denied := ""
	for _, dir := range strings.Split(pathOf(env), ":") {
		if dir == "" {
			dir = "."
		}
		l.tried = append(l.tried, dir)
		file := filepath.Join(dir, name)
		if !strings.Contains(file, "/") {
			file = "./" + file
		}
		st, err := os.Stat(inDir(s.Dir, file))
		if err != nil || st.IsDir() || name == "" {
			continue
		}
		if st.Mode()&0o111 != 0 {
			return file, nil
		}
		denied = file
	}
	if denied != "" {
		return "", l.fail(s, NotExecutable, denied, syscall.EACCES)
	}
	return "", l.fail(s, NotFound, "", syscall.ENOENT)
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

func (l *lookup) fail(s *Spec, k Kind, path string, err error) *ExecError {
	e := &ExecError{Kind: k, Argv0: s.Argv[0], Path: path, Dir: s.Dir, Err: err, Code: codes[k]}
	if k == NotFound {
		e.Tried = l.tried
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

// explain turns a failed fork or exec into an ExecError. The kernel gives one number
// for all steps, so the file is looked at again, afterwards.
func (l *launch) explain(err error) error {
	var failed *shimError
	if errors.As(err, &failed) && failed.step != stepExec {
		e := l.look.fail(l.spec, failed.kind(), l.path, failed.errno)
		e.What = failed.step
		return e
	}
	if failed != nil {
		err = failed.errno
	}
	kind, what := l.classify(underlying(err))
	e := l.look.fail(l.spec, kind, l.path, underlying(err))
	e.What = what
	return e
}

func (l *launch) classify(err error) (Kind, string) {
	file := inDir(l.spec.Dir, l.path)
	st, statErr := os.Stat(file)
	switch {
	case err == syscall.EAGAIN || err == syscall.ENOMEM:
		return NoResources, ""
	case statErr == nil && st.IsDir():
		return IsDirectory, ""
	case err == syscall.ENOEXEC:
		return BadFormat, ""
	case err == syscall.EACCES:
		return NotExecutable, ""
	case err == syscall.ENOENT && statErr == nil:
		if what := interpreter(file); what != "" {
			return NoInterpreter, what
		}
		return NotFound, ""
	case err == syscall.ENOENT || err == syscall.ENOTDIR:
		return NotFound, ""
	case err == syscall.EPERM || err == syscall.ENOTTY || err == syscall.ENXIO:
		return Denied, ""
	}
	return Other, ""
}

// interpreter names what a file needs to be executed: the program after #!, or the
// dynamic loader of an ELF file (PT_INTERP), "" if neither can be read.
func interpreter(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, 256) // the kernel reads as much of a #! line
	n, _ := io.ReadFull(f, head)
	head = head[:n]
	if rest, ok := bytes.CutPrefix(head, []byte("#!")); ok {
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		// A carriage return stays in: it is then the reason.
		word, _, _ := strings.Cut(strings.TrimLeft(string(line), " \t"), " ")
		if strings.HasSuffix(word, "\r") {
			return fmt.Sprintf("%q", word)
		}
		return word
	}
	return elfInterp(f, head)
}

// elfInterp reads the PT_INTERP segment of a 64-bit little-endian ELF file, see elf(5).
func elfInterp(f io.ReaderAt, head []byte) string {
	if len(head) < 64 || !bytes.HasPrefix(head, []byte("\x7fELF\x02\x01")) {
		return ""
	}
	le := binary.LittleEndian
	off, size, num := le.Uint64(head[32:]), le.Uint16(head[54:]), le.Uint16(head[56:])
	ph := make([]byte, 56)
	for i := range uint64(num) {
		if _, err := f.ReadAt(ph, int64(off+i*uint64(size))); err != nil {
			return ""
		}
		const ptInterp = 3
		if le.Uint32(ph) != ptInterp {
			continue
		}
		name := make([]byte, min(le.Uint64(ph[32:]), 4096))
		if _, err := f.ReadAt(name, int64(le.Uint64(ph[8:]))); err != nil {
			return ""
		}
		return string(bytes.TrimRight(name, "\x00"))
	}
	return ""
}
