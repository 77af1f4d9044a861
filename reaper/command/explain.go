package command

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// Explain turns the error of a failed fork or exec into an Error. The kernel gives one
// number for all steps, so the file is looked at again, afterwards.
func (f File) Explain(err error) *Error {
	err = underlying(err)
	kind, what := f.classify(err)
	return f.Fail(kind, what, err)
}

func (f File) classify(err error) (Kind, string) {
	file := inDir(f.line.Dir, f.Path)
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
