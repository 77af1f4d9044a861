package logs

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// pipe is a worker's output: our end to read, the child's to write, and the inode
// number that names it for as long as anyone holds it.
type pipe struct {
	read  int
	child *os.File
	inode uint64
}

// newPipe makes a pipe whose child's end is open for reading too. So
// the worker is itself a reader: when ProcGuard is killed, a write
// fills the pipe or waits, but raises no SIGPIPE. Without /proc the
// plain end has to do, and inode is 0: such a pipe cannot be found again.
func newPipe(name string) (pipe, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return pipe{}, fmt.Errorf("pipe for %s: %w", name, err)
	}
	p := pipe{read: fds[0]}
	// The flag belongs to this end only: the worker's end must block as any program expects.
	if err := unix.SetNonblock(p.read, true); err != nil {
		_ = unix.Close(fds[0])
		_ = unix.Close(fds[1])
		return pipe{}, fmt.Errorf("pipe for %s: %w", name, err)
	}
	end := fds[1]
	if both, err := unix.Open("/proc/self/fd/"+strconv.Itoa(end), unix.O_RDWR|unix.O_CLOEXEC, 0); err == nil {
		_ = unix.Close(end)
		end = both
		p.inode = inodeOf(both)
	}
	p.child = os.NewFile(uintptr(end), name)
	return p, nil
}

func inodeOf(fd int) uint64 {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return 0
	}
	return st.Ino
}

func (p *pipe) close() {
	if p.child != nil {
		_ = p.child.Close()
	}
	if p.read >= 0 {
		_ = unix.Close(p.read)
	}
}

// findPipes opens the pipes of a running worker for reading. Entries that are not
// there, or not ours, have read -1.
func findPipes(pid int, want [2]uint64) (found [2]pipe, err error) {
	found = [2]pipe{{read: -1}, {read: -1}}
	dir := fmt.Sprintf("/proc/%d/fd/", pid)
	for s := range found {
		if want == [2]uint64{} || want[s] != 0 {
			err = errors.Join(err, found[s].find(dir, strconv.Itoa(s+1), want[s]))
		}
	}
	// "2>&1" makes both descriptors one pipe: a second reader would take
	// half of the lines away from the first.
	if found[0].read >= 0 && found[1].inode == found[0].inode {
		found[1].close()
		found[1] = pipe{read: -1}
	}
	if found[0].read < 0 && found[1].read < 0 {
		return found, fmt.Errorf("process %d: %w", pid, errors.Join(ErrNoPipe, err))
	}
	return found, nil
}

// find looks at the descriptor where the pipe was put first, and, if
// its inode is known, at all others: a program may have moved it.
func (p *pipe) find(dir, first string, want uint64) error {
	err := p.reopen(dir, first, want)
	if p.read >= 0 || want == 0 {
		return err
	}
	others, _ := os.ReadDir(dir)
	for _, e := range others {
		if p.reopen(dir, e.Name(), want) == nil && p.read >= 0 {
			return nil
		}
	}
	return err
}

// reopen leaves p.read at -1, without an error, when fd is something else.
func (p *pipe) reopen(dir, fd string, want uint64) error {
	var st unix.Stat_t
	if err := unix.Stat(dir+fd, &st); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("descriptor %s: %w", fd, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO || want != 0 && st.Ino != want {
		return nil
	}
	// A shell's own pipe, "exec > >(tee log)", is open for writing only. Reading
	// from it would steal from tee.
	if want == 0 && !openBothWays(dir, fd) {
		return nil
	}
	n, err := unix.Open(dir+fd, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("descriptor %s: %w", fd, err)
	}
	if inodeOf(n) != st.Ino { // it changed between the two looks
		_ = unix.Close(n)
		return nil
	}
	p.read, p.inode = n, st.Ino
	return nil
}

// openBothWays reads the access mode from fdinfo, see proc_pid_fdinfo(5).
func openBothWays(dir, fd string) bool {
	f, err := os.Open(strings.TrimSuffix(dir, "fd/") + "fdinfo/" + fd)
	if err != nil {
		return false
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if v, ok := strings.CutPrefix(sc.Text(), "flags:"); ok {
			flags, err := strconv.ParseUint(strings.TrimSpace(v), 8, 64)
			return err == nil && flags&unix.O_ACCMODE == unix.O_RDWR
		}
	}
	return false
}
