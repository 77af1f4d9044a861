package main

import (
	"os"
	"path/filepath"
)

// The commands that run under the inits. They are machine code, so that what is
// measured is the init and not the start of a runtime, and they know the time before
// they do anything else. What they write to standard output are stamps.

// stormOrphans is how many orphans stormCode makes.
const stormOrphans = 10_000

// stampCode tells when it began, and ends.
//
//	clock_gettime(CLOCK_MONOTONIC, sp); write(1, sp, 16); exit(0)
var stampCode = []byte{
	0x48, 0x83, 0xec, 0x10, // sub rsp, 16
	0xb8, 0xe4, 0, 0, 0, // mov eax, 228 (clock_gettime)
	0xbf, 1, 0, 0, 0, // mov edi, CLOCK_MONOTONIC
	0x48, 0x89, 0xe6, // mov rsi, rsp
	0x0f, 0x05, // syscall
	0xb8, 1, 0, 0, 0, // mov eax, 1 (write)
	0xbf, 1, 0, 0, 0, // mov edi, 1
	0x48, 0x89, 0xe6, // mov rsi, rsp
	0xba, stampSize, 0, 0, 0, // mov edx, 16
	0x0f, 0x05, // syscall
	0xb8, 60, 0, 0, 0, // mov eax, 60 (exit)
	0x31, 0xff, // xor edi, edi
	0x0f, 0x05, // syscall
}

// takeCode tells when it is ready, and then when each USR1 has come.
//
//	sigprocmask(SIG_BLOCK, {USR1})
//	do { clock_gettime(CLOCK_MONOTONIC, sp); write(1, sp, 16) } while (sigtimedwait({USR1}))
var takeCode = []byte{
	0x48, 0x83, 0xec, 0x20, // sub rsp, 32
	0x48, 0xc7, 0x44, 0x24, 16, 0, 2, 0, 0, // mov qword [rsp+16], 1 << (10-1)
	0xb8, 14, 0, 0, 0, // mov eax, 14 (rt_sigprocmask)
	0x31, 0xff, // xor edi, edi (SIG_BLOCK)
	0x48, 0x8d, 0x74, 0x24, 16, // lea rsi, [rsp+16]
	0x31, 0xd2, // xor edx, edx
	0x41, 0xba, 8, 0, 0, 0, // mov r10d, 8
	0x0f, 0x05, // syscall
	0xb8, 0xe4, 0, 0, 0, // again: mov eax, 228 (clock_gettime)
	0xbf, 1, 0, 0, 0, // mov edi, CLOCK_MONOTONIC
	0x48, 0x89, 0xe6, // mov rsi, rsp
	0x0f, 0x05, // syscall
	0xb8, 1, 0, 0, 0, // mov eax, 1 (write)
	0xbf, 1, 0, 0, 0, // mov edi, 1
	0x48, 0x89, 0xe6, // mov rsi, rsp
	0xba, stampSize, 0, 0, 0, // mov edx, 16
	0x0f, 0x05, // syscall
	0xb8, 128, 0, 0, 0, // mov eax, 128 (rt_sigtimedwait)
	0x48, 0x8d, 0x7c, 0x24, 16, // lea rdi, [rsp+16]
	0x31, 0xf6, // xor esi, esi
	0x31, 0xd2, // xor edx, edx
	0x41, 0xba, 8, 0, 0, 0, // mov r10d, 8
	0x0f, 0x05, // syscall
	0xeb, 0xc5, // jmp again
}

// stormCode waits for a byte, makes orphans by double forks that exit at once, tells when
// all have been made, and sleeps.
//
//	read(0, sp, 1)
//	for n = 10000; n; n-- { if (p = fork()) wait4(p, 0, 0, 0); else { fork(); exit(0) } }
//	clock_gettime(CLOCK_MONOTONIC, sp); write(1, sp, 16); for { pause() }
var stormCode = []byte{
	0x48, 0x83, 0xec, 0x10, // sub rsp, 16
	0x31, 0xc0, // xor eax, eax (read)
	0x31, 0xff, // xor edi, edi
	0x48, 0x89, 0xe6, // mov rsi, rsp
	0xba, 1, 0, 0, 0, // mov edx, 1
	0x0f, 0x05, // syscall
	0xbb, stormOrphans & 0xff, stormOrphans >> 8, 0, 0, // mov ebx, 10000
	0xb8, 57, 0, 0, 0, // again: mov eax, 57 (fork)
	0x0f, 0x05, // syscall
	0x85, 0xc0, // test eax, eax
	0x75, 0x10, // jnz parent
	0xb8, 57, 0, 0, 0, // mov eax, 57 (fork)
	0x0f, 0x05, // syscall
	0xb8, 60, 0, 0, 0, // mov eax, 60 (exit)
	0x31, 0xff, // xor edi, edi
	0x0f, 0x05, // syscall
	0x89, 0xc7, // parent: mov edi, eax
	0x31, 0xf6, // xor esi, esi
	0x31, 0xd2, // xor edx, edx
	0x45, 0x31, 0xd2, // xor r10d, r10d
	0xb8, 61, 0, 0, 0, // mov eax, 61 (wait4)
	0x0f, 0x05, // syscall
	0xff, 0xcb, // dec ebx
	0x75, 0xd1, // jnz again
	0xb8, 0xe4, 0, 0, 0, // mov eax, 228 (clock_gettime)
	0xbf, 1, 0, 0, 0, // mov edi, CLOCK_MONOTONIC
	0x48, 0x89, 0xe6, // mov rsi, rsp
	0x0f, 0x05, // syscall
	0xb8, 1, 0, 0, 0, // mov eax, 1 (write)
	0xbf, 1, 0, 0, 0, // mov edi, 1
	0x48, 0x89, 0xe6, // mov rsi, rsp
	0xba, stampSize, 0, 0, 0, // mov edx, 16
	0x0f, 0x05, // syscall
	0xb8, 34, 0, 0, 0, // sleep: mov eax, 34 (pause)
	0x0f, 0x05, // syscall
	0xeb, 0xf7, // jmp sleep
}

// program makes one of them and gives its path.
func (b *bench) program(name string, code []byte) (string, error) {
	path := filepath.Join(b.dir, name)
	return path, os.WriteFile(path, elf64(code, ""), 0o700)
}
