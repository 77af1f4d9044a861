package slate

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Shm says which segments of shared memory the dead may have made.
type Shm struct {
	Dir    string    // "": not looked at; in real life /dev/shm
	UID    int       // the user the dead ran as
	Since  time.Time // when the first of them started
	Remove bool      // unlink them; else they are only reported
}

// known are the names under which libraries make segments: PyTorch's torch_PID_*,
// Python's multiprocessing psm_* and sem.mp-*, other POSIX semaphores, NCCL's nccl-*,
// Intel OpenMP's __KMP_REGISTERED_LIB_PID_UID. What has another name may be somebody's data.
var known = regexp.MustCompile(`^(torch_(\d+)_.*|psm_.+|sem\..+|nccl-.+|__KMP_REGISTERED_LIB_(\d+)_\d+)$`)

type segment struct {
	name     string
	dev, ino uint64
	size     int64
	uid      uint32
	private  bool // nobody but its owner and root may open it
}

func cleanShm(p Plan, r *Report) {
	if p.Shm.Dir == "" {
		return
	}
	found := p.segments()
	if len(found) == 0 {
		return
	}
	use := usage(found)
	blind := sharesIPC()
	for _, s := range found {
		switch why := use[s.ino]; {
		case why == inUse:
		case why == unknown, blind:
			r.unclean("shared memory: %s (%d KiB) may be left by the dead, but who has it open cannot be seen", s.name, s.size>>10)
		case !p.Shm.Remove:
			r.unclean("shared memory: %s (%d KiB) is left by the dead", s.name, s.size>>10)
		default:
			s.remove(p.Shm.Dir, r)
		}
	}
}

func (s segment) remove(dir string, r *Report) {
	if err := os.Remove(filepath.Join(dir, s.name)); err != nil && !os.IsNotExist(err) {
		r.unclean("shared memory: %v", err)
		return
	}
	r.cleaned("shared memory: removed %s (%d KiB)", s.name, s.size>>10)
}

// segments lists those that the dead have made, as far as it can be told from outside.
func (p Plan) segments() (found []segment) {
	ents, _ := os.ReadDir(p.Shm.Dir)
	for _, e := range ents {
		m := known.FindStringSubmatch(e.Name())
		var st unix.Stat_t
		if m == nil || unix.Lstat(filepath.Join(p.Shm.Dir, e.Name()), &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		if !p.isTheirs(m[2]+m[3], st) {
			continue
		}
		found = append(found, segment{
			name: e.Name(), dev: st.Dev, ino: st.Ino, size: st.Blocks * 512, uid: st.Uid, private: st.Mode&0o077 == 0,
		})
	}
	return found
}

// isTheirs: a name with a pid tells its maker; else owner and last change must do.
func (p Plan) isTheirs(pid string, st unix.Stat_t) bool {
	if int(st.Uid) != p.Shm.UID {
		return false
	}
	if pid == "" {
		return !time.Unix(st.Ctim.Sec, st.Ctim.Nsec).Before(p.Shm.Since)
	}
	for _, d := range p.Dead {
		if _, alive := d.alive(); strconv.Itoa(d.PID) == pid && !alive {
			return true
		}
	}
	return false
}

type use int

const (
	unused use = iota
	unknown
	inUse
)

// usage asks each living process what it has open and mapped.
func usage(found []segment) map[uint64]use {
	by := map[uint64]segment{}
	for _, s := range found {
		by[s.ino] = s
	}
	used := map[uint64]use{}
	for _, p := range processes() {
		if p.ended() {
			continue
		}
		inodes, ok := p.holds()
		for _, id := range inodes {
			if s, is := by[id.ino]; is && s.dev == id.dev {
				used[s.ino] = inUse
			}
		}
		if !ok {
			p.mayHold(found, used)
		}
	}
	return used
}

// mayHold marks what a process that lets nobody look may have open. An init of the system
// or of a pod is often such a one, and opens nobody's segments.
func (p process) mayHold(found []segment, used map[uint64]use) {
	if p.pid == 1 {
		return
	}
	var st unix.Stat_t
	name := "/proc/" + strconv.Itoa(p.pid)
	if unix.Stat(name, &st) != nil {
		return // it has ended
	}
	for _, s := range found {
		if used[s.ino] == unused && (!s.private || st.Uid == s.uid || st.Uid == 0) {
			used[s.ino] = unknown
		}
	}
}

type inode struct{ dev, ino uint64 }

// holds is false if not everything could be seen. Each thread may have descriptors of
// its own, and a main thread that has ended has none.
func (p process) holds() (found []inode, ok bool) {
	dir := "/proc/" + strconv.Itoa(p.pid)
	tasks := []string{dir}
	if p.state == 'Z' {
		tasks, _ = filepath.Glob(dir + "/task/*")
	}
	ok = true
	for _, t := range tasks {
		fds, fdOK := descriptors(t + "/fd")
		maps, mapOK := mapped(t + "/maps")
		found = append(append(found, fds...), maps...)
		ok = ok && fdOK && mapOK
	}
	return found, ok
}

func descriptors(dir string) (found []inode, ok bool) {
	ents, err := os.ReadDir(dir)
	if err != nil {
		return nil, isGone(err)
	}
	for _, e := range ents {
		var st unix.Stat_t
		if unix.Stat(filepath.Join(dir, e.Name()), &st) == nil {
			found = append(found, inode{st.Dev, st.Ino})
		}
	}
	return found, true
}

// mapped reads "address perms offset major:minor inode path", see proc_pid_maps(5).
func mapped(name string) (found []inode, ok bool) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, isGone(err)
	}
	for line := range strings.Lines(string(b)) {
		at := strings.Fields(line)
		if len(at) < 5 || at[4] == "0" {
			continue
		}
		major, minor, _ := strings.Cut(at[3], ":")
		ma, _ := strconv.ParseUint(major, 16, 32)
		mi, _ := strconv.ParseUint(minor, 16, 32)
		ino, _ := strconv.ParseUint(at[4], 10, 64)
		found = append(found, inode{unix.Mkdev(uint32(ma), uint32(mi)), ino})
	}
	return found, true
}

func isGone(err error) bool {
	return os.IsNotExist(err) || strings.Contains(err.Error(), unix.ESRCH.Error())
}

// Inode numbers of the first namespaces of a machine, from <linux/nsfs.h>.
const (
	firstIPC = "ipc:[4026531839]"
	firstPID = "pid:[4026531836]"
)

// sharesIPC says whether /dev/shm is the host's while we do not see the host's processes.
// It is a variable for the tests, whose segments are in a directory of their own.
var sharesIPC = func() bool {
	ipc, _ := os.Readlink("/proc/self/ns/ipc")
	pid, _ := os.Readlink("/proc/self/ns/pid")
	return ipc == firstIPC && pid != firstPID
}
