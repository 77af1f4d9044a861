// Package trim gives back memory that was only needed to start.
package trim

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Pages gives back the pages of the program's file that were only needed to start. They
// stay in the page cache, and what is used again is mapped again; but a program that
// waits for weeks then counts with what it uses, not with the code of its start.
func Pages() {
	aux, err := unix.Auxv()
	if err != nil {
		return
	}
	var at, num uintptr
	for _, a := range aux {
		switch a[0] {
		case atPhdr:
			at = a[1]
		case atPhnum:
			num = a[1]
		}
	}
	if at == 0 || num > 64 {
		return
	}
	table := unsafe.Slice((*phdr)(*(*unsafe.Pointer)(unsafe.Pointer(&at))), num)
	if !inPlace(table, uint64(at)) {
		return
	}
	for _, p := range table {
		p.trim()
	}
}

// inPlace says whether the program was loaded at the addresses that its file names: the
// table itself is then where the file's first page was mapped.
func inPlace(table []phdr, at uint64) bool {
	for _, p := range table {
		if p.kind == ptLoad && p.offset == 0 {
			return at >= p.vaddr && at < p.vaddr+p.memsz
		}
	}
	return false
}

// See getauxval(3) and elf(5).
const (
	atPhdr  = 3
	atPhnum = 5
	ptLoad  = 1
	pfWrite = 2
)

type phdr struct {
	kind, flags                                    uint32
	offset, vaddr, paddr, filesz, memsz, alignment uint64
}

// trim only touches what nobody can have written.
func (p phdr) trim() {
	const page = 4096
	if p.kind != ptLoad || p.flags&pfWrite != 0 || p.vaddr == 0 || p.vaddr%page != 0 {
		return
	}
	_, _, _ = unix.RawSyscall(unix.SYS_MADVISE, uintptr(p.vaddr), uintptr(p.memsz), unix.MADV_DONTNEED)
}
