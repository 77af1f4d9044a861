package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
)

// The catcher is a command that takes every signal, 1 to 64 but KILL and STOP, in
// the kernel's order and merges none. It is not a Go program: a Go runtime has
// threads that cannot be kept from taking some of the signals themselves. So it is
// a few instructions of machine code, which write what they read from a signalfd.
//
//	sigprocmask(SIG_BLOCK, all); fd = signalfd(-1, all); clear the buffer
//	do { write(1, buffer, 128) } while (read(fd, buffer, 128) == 128); exit(1)
//
// The first, empty record says that it is ready.
var catcherCode = []byte{
	0x48, 0x81, 0xec, 0, 1, 0, 0, // sub rsp, 256
	0x48, 0xc7, 0x04, 0x24, 0xff, 0xff, 0xff, 0xff, // mov qword [rsp], -1
	0xb8, 14, 0, 0, 0, // mov eax, 14 (rt_sigprocmask)
	0x31, 0xff, // xor edi, edi (SIG_BLOCK)
	0x48, 0x89, 0xe6, // mov rsi, rsp
	0x31, 0xd2, // xor edx, edx
	0x41, 0xba, 8, 0, 0, 0, // mov r10d, 8
	0x0f, 0x05, // syscall
	0xb8, 0x21, 1, 0, 0, // mov eax, 289 (signalfd4)
	0x83, 0xcf, 0xff, // or edi, -1
	0x48, 0x89, 0xe6, // mov rsi, rsp
	0xba, 8, 0, 0, 0, // mov edx, 8
	0x45, 0x31, 0xd2, // xor r10d, r10d
	0x0f, 0x05, // syscall
	0x89, 0xc3, // mov ebx, eax
	0x48, 0xc7, 0x04, 0x24, 0, 0, 0, 0, // mov qword [rsp], 0
	0xb8, 1, 0, 0, 0, // again: mov eax, 1 (write)
	0xbf, 1, 0, 0, 0, // mov edi, 1
	0x48, 0x89, 0xe6, // mov rsi, rsp
	0xba, recordSize, 0, 0, 0, // mov edx, 128
	0x0f, 0x05, // syscall
	0x31, 0xc0, // xor eax, eax (read)
	0x89, 0xdf, // mov edi, ebx
	0x48, 0x89, 0xe6, // mov rsi, rsp
	0xba, recordSize, 0, 0, 0, // mov edx, 128
	0x0f, 0x05, // syscall
	0x3d, recordSize, 0, 0, 0, // cmp eax, 128
	0x74, 0xd7, // je again
	0xb8, 60, 0, 0, 0, // mov eax, 60 (exit)
	0xbf, 1, 0, 0, 0, // mov edi, 1
	0x0f, 0x05, // syscall
}

const (
	recordSize = 128 // of a signalfd_siginfo
	elfHeader  = 64
	elfProgram = 56
	elfBase    = 0x400000 // where a Linux program is loaded by custom
	elfX86     = 62
)

// writeCatcher makes the catcher at path.
func writeCatcher(path string) error {
	if runtime.GOARCH != "amd64" {
		return errors.New("runs on amd64 alone: the command that takes the signals is machine code")
	}
	return os.WriteFile(path, elf(catcherCode), 0o755)
}

// elf is a static x86-64 program: one header, one segment, code. The format is in elf(5).
func elf(code []byte) []byte {
	le := binary.LittleEndian
	size := uint64(elfHeader + elfProgram + len(code))
	b := []byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0} // 64 bit, little endian, version 1
	b = le.AppendUint16(b, 2)                                            // ET_EXEC
	b = le.AppendUint16(b, elfX86)
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, elfBase+elfHeader+elfProgram) // entry
	b = le.AppendUint64(b, elfHeader)                    // program headers
	b = le.AppendUint64(b, 0)                            // no sections
	b = le.AppendUint32(b, 0)
	for _, v := range []uint16{elfHeader, elfProgram, 1, 0, 0, 0} {
		b = le.AppendUint16(b, v)
	}
	b = le.AppendUint32(b, 1) // PT_LOAD
	b = le.AppendUint32(b, 5) // read, execute
	for _, v := range []uint64{0, elfBase, elfBase, size, size, 0x1000} {
		b = le.AppendUint64(b, v)
	}
	return append(b, code...)
}

// records turns what the catcher writes into lines: "ready", then "got SIGNAL VALUE".
func records(f *os.File, to chan<- string) {
	defer close(to)
	defer f.Close()
	in, r := bufio.NewReader(f), make([]byte, recordSize)
	for {
		if _, err := io.ReadFull(in, r); err != nil {
			return
		}
		if n := binary.LittleEndian.Uint32(r); n == 0 {
			to <- "ready "
		} else {
			to <- fmt.Sprintf("got %d %d", n, binary.LittleEndian.Uint64(r[48:]))
		}
	}
}
