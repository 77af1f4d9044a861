package plain

import (
	"bytes"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/command"
)

// asScript gives the command line that execvp(3) falls back to when the kernel does
// not know a file's format: sh runs it. Other inits use execvp, and so images have
// entry points without #!. It is found out before the start, for there is only one;
// a file with a NUL in its first line is left to the kernel, which may have learned
// to run it (binfmt_misc).
func asScript(argv, env []string) []string {
	file, err := command.Find(command.Line{Argv0: argv[0], Env: env})
	if err != nil || !isBareScript(file.Path) {
		return argv
	}
	return append([]string{"/bin/sh", file.Path}, argv[1:]...)
}

func isBareScript(path string) bool {
	if unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS) != nil {
		return false
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	head := make([]byte, 256)
	n, err := unix.Read(fd, head) // a directory: EISDIR
	head = head[:max(n, 0)]
	return err == nil && !bytes.HasPrefix(head, []byte("#!")) && !bytes.HasPrefix(head, []byte("\x7fELF")) && !bytes.ContainsRune(head, 0)
}
