package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

const rolePlainWorker = "worker"

// makeWorker gives the command of a worker that writes the time to fifo as its
// first act and then sleeps; signals end it. Where its machine code is known it
// is a program of some 200 bytes, so that what is measured is the supervisor
// and not the start of a runtime. Elsewhere it is this program.
func makeWorker(dir, fifo string) ([]string, error) {
	code, ok := workerCode[runtime.GOARCH]
	if !ok {
		self, err := os.Executable()
		return []string{self, rolePlainWorker, fifo}, err
	}
	path := filepath.Join(dir, "worker")
	return []string{path}, os.WriteFile(path, elf64(code, fifo), 0o700)
}

// workerCode is the worker by architecture. The path of the pipe follows it.
//
//	clock_gettime(CLOCK_MONOTONIC, sp); fd = open(path, O_WRONLY)
//	write(fd, sp, 16); close(fd); for { pause() }
var workerCode = map[string][]byte{"amd64": {
	0x48, 0x83, 0xec, 0x10, // sub rsp, 16
	0xb8, 0xe4, 0, 0, 0, // mov eax, 228 (clock_gettime)
	0xbf, 1, 0, 0, 0, // mov edi, CLOCK_MONOTONIC
	0x48, 0x89, 0xe6, // mov rsi, rsp
	0x0f, 0x05, // syscall
	0xb8, 2, 0, 0, 0, // mov eax, 2 (open)
	0x48, 0x8d, 0x3d, 40, 0, 0, 0, // lea rdi, [rip+40], the path
	0xbe, 1, 0, 0, 0, // mov esi, O_WRONLY
	0x0f, 0x05, // syscall
	0x89, 0xc7, // mov edi, eax
	0xb8, 1, 0, 0, 0, // mov eax, 1 (write)
	0x48, 0x89, 0xe6, // mov rsi, rsp
	0xba, stampSize, 0, 0, 0, // mov edx, 16
	0x0f, 0x05, // syscall
	0xb8, 3, 0, 0, 0, // mov eax, 3 (close)
	0x0f, 0x05, // syscall
	0xb8, 34, 0, 0, 0, // mov eax, 34 (pause)
	0x0f, 0x05, // syscall
	0xeb, 0xf7, // jmp to pause
}}

const (
	elfHeader  = 64
	elfProgram = 56
	elfBase    = 0x400000 // where a Linux program is loaded by custom
	elfX86     = 62
)

// elf64 is a static x86-64 program: one header, one segment, code, then text as
// a C string. The format is in elf(5).
func elf64(code []byte, text string) []byte {
	le := binary.LittleEndian
	size := uint64(elfHeader + elfProgram + len(code) + len(text) + 1)
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
	b = append(append(b, code...), text...)
	return append(b, 0)
}

// plainWorker does what the machine code does.
func plainWorker(args []string) int {
	at := now()
	if len(args) != 1 {
		return 2
	}
	b := binary.NativeEndian.AppendUint64(nil, uint64(at/1e9))
	b = binary.NativeEndian.AppendUint64(b, uint64(at%1e9))
	if err := os.WriteFile(args[0], b, 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for {
		_ = unix.Pause() // returns only for signals that are handled
	}
}
