package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// settings are what the environment says.
type settings struct {
	procguard string        // PROCGUARD: the binary to be measured
	kills     int           // BENCH_N: deaths of single workers; groups and fleets follow from it
	idle      time.Duration // BENCH_IDLE: how long each idle fleet is watched
	only      string        // BENCH_ONLY: run measures whose name has this in it
	base      string        // BENCH_STATE: where the state is kept
	peers     bool          // BENCH_PEERS: compare with other supervisors that are installed
}

// memory is where state goes by default: a disk of a shared machine stalls now
// and then, which is told apart by the line on fdatasync.
const memory = "/dev/shm"

func settingsFrom(get func(string) string) (settings, error) {
	s := settings{kills: 1000, idle: 10 * time.Second, base: get("BENCH_STATE"), only: get("BENCH_ONLY"), peers: get("BENCH_PEERS") != ""}
	if s.base == "" {
		s.base = memory
	}
	if fi, err := os.Stat(s.base); err != nil || !fi.IsDir() {
		return s, fmt.Errorf("BENCH_STATE: %s is not a directory", s.base)
	}
	if n := get("BENCH_N"); n != "" {
		var err error
		if s.kills, err = strconv.Atoi(n); err != nil || s.kills < 1 {
			return s, fmt.Errorf("BENCH_N: %q is not a number above 0", n)
		}
	}
	if d := get("BENCH_IDLE"); d != "" {
		var err error
		if s.idle, err = time.ParseDuration(d); err != nil || s.idle <= 0 {
			return s, fmt.Errorf("BENCH_IDLE: %q is not a duration such as 10s", d)
		}
	}
	return s, s.find(get("PROCGUARD"))
}

// find resolves the binary: relative names would change with the directory.
func (s *settings) find(name string) error {
	if name == "" {
		name = "procguard"
	}
	path, err := exec.LookPath(name)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return fmt.Errorf("no procguard to measure: %w (set PROCGUARD, or run make bench)", err)
	}
	s.procguard = path
	return nil
}

// rounds scales a number that belongs to 1,000 kills.
func (s *settings) rounds(full int) int { return max(3, full*s.kills/1000) }

func loadAverage() string {
	data, err := os.ReadFile("/proc/loadavg")
	f := strings.Fields(string(data))
	if err != nil || len(f) < 3 {
		return "unknown"
	}
	return strings.Join(f[:3], " ")
}

// fileSystems names the magic numbers of statfs(2) that are likely here.
var fileSystems = map[int64]string{
	unix.TMPFS_MAGIC: "tmpfs", unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs",
	unix.BTRFS_SUPER_MAGIC: "btrfs", unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.NFS_SUPER_MAGIC: "nfs",
}

func fileSystem(path string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return "unknown file system"
	}
	if name := fileSystems[int64(st.Type)]; name != "" {
		return name
	}
	return fmt.Sprintf("file system %#x", st.Type)
}
