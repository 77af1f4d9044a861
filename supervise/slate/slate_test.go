package slate

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const short = 150 * time.Millisecond

// start runs a shell script that lives until the test ends, and waits for its line.
func start(t *testing.T, script string) (*exec.Cmd, Process) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(cmd) })
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	p, err := readProcess(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return cmd, Process{p.pid, p.ticks}
}

func end(cmd *exec.Cmd) {
	if cmd.ProcessState == nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	}
}

func expect(t *testing.T, list []string, parts ...string) {
	t.Helper()
	text := strings.Join(list, "\n")
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is not in %q", p, text)
		}
	}
	if len(parts) == 0 && len(list) > 0 {
		t.Errorf("got %q", text)
	}
}

func TestNothingToDo(t *testing.T) {
	r := Clean(context.Background(), Plan{})
	expect(t, r.Cleaned)
	expect(t, r.Unclean)
}

func TestLivingDescendant(t *testing.T) {
	cmd, p := start(t, "echo up; sleep 1000; :")
	r := Clean(context.Background(), Plan{Dead: []Process{p}, Patience: short})
	expect(t, r.Unclean, fmt.Sprintf("still alive: pid %d (/bin/sh)", p.PID), "state S")
	// Somebody else with that pid is not the dead one.
	r = Clean(context.Background(), Plan{Dead: []Process{{p.PID, p.Ticks - 1}}, Patience: short})
	expect(t, r.Unclean)
	end(cmd)
	r = Clean(context.Background(), Plan{Dead: []Process{p}, Patience: short})
	expect(t, r.Unclean)
}

func TestWaitsForADeath(t *testing.T) {
	_, p := start(t, "echo up; exec sleep 0.3")
	r := Clean(context.Background(), Plan{Dead: []Process{p}, Patience: 20 * time.Second})
	expect(t, r.Unclean) // a zombie by now: it is not ours to reap
	expect(t, r.Cleaned, "all processes have ended")
}

func TestPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := l.Addr().(*net.TCPAddr).Port
	r := Clean(context.Background(), Plan{Ports: []Port{{Number: n}, {Number: n, Fresh: true}}, Patience: short})
	expect(t, r.Unclean, fmt.Sprintf("port %d is held by pid %d (", n, os.Getpid()))
	expect(t, r.Cleaned, "was chosen instead")
	if len(r.Ports) != 2 || r.Ports[0] != n || r.Ports[1] == n || r.Ports[1] == 0 {
		t.Errorf("ports %v", r.Ports)
	}
	// A connection that lingers in TIME_WAIT keeps nobody from binding.
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, _ := l.Accept()
	s.Close()
	c.Close()
	l.Close()
	r = Clean(context.Background(), Plan{Ports: []Port{{Number: n}}, Patience: 20 * time.Second})
	expect(t, r.Unclean)
	if r.Ports[0] != n {
		t.Errorf("ports %v", r.Ports)
	}
}

func TestPortIsReleasedMeanwhile(t *testing.T) {
	l, err := net.Listen("tcp", "[::]:0")
	if err != nil {
		t.Skipf("no IPv6: %v", err)
	}
	n := l.Addr().(*net.TCPAddr).Port
	time.AfterFunc(3*pause, func() { l.Close() })
	r := Clean(context.Background(), Plan{Ports: []Port{{Number: n}}, Patience: 20 * time.Second})
	expect(t, r.Unclean)
	expect(t, r.Cleaned, fmt.Sprintf("port %d is free", n))
}

// shm is a directory on a real /dev/shm.
func shm(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "slate-test")
	if err != nil {
		t.Skipf("needs /dev/shm: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func segmentFile(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSharedMemory(t *testing.T) {
	dir := shm(t)
	was := sharesIPC
	sharesIPC = func() bool { return false }
	defer func() { sharesIPC = was }()
	dead, p := start(t, "echo up; sleep 1000")
	end(dead)
	since := time.Now().Add(-time.Minute)
	for _, name := range []string{
		fmt.Sprintf("torch_%d_1_2", p.PID), "psm_12ab", "sem.mp-x", "nccl-Ab12", "nccl-open", "psm_mapped",
		fmt.Sprintf("torch_%d_1_2", os.Getpid()), "dataset.bin",
	} {
		segmentFile(t, dir, name)
	}
	_, _ = start(t, "exec 7<"+dir+"/nccl-open; echo up; sleep 1000; :")
	f, err := os.Open(dir + "/psm_mapped")
	if err != nil {
		t.Fatal(err)
	}
	m, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(m)
	f.Close()

	plan := Plan{Dead: []Process{p}, Shm: Shm{Dir: dir, UID: os.Getuid(), Since: since}, Patience: short}
	r := Clean(context.Background(), plan)
	expect(t, r.Cleaned)
	expect(t, r.Unclean, fmt.Sprintf("torch_%d_1_2 (8 KiB) is left", p.PID), "psm_12ab", "sem.mp-x", "nccl-Ab12")
	if len(r.Unclean) != 4 {
		t.Errorf("got %q", r.Unclean)
	}

	plan.Shm.Remove = true
	r = Clean(context.Background(), plan)
	expect(t, r.Unclean)
	expect(t, r.Cleaned, "removed psm_12ab", "removed sem.mp-x", "removed nccl-Ab12")
	left, _ := os.ReadDir(dir)
	if len(left) != 4 {
		t.Errorf("left are %v", left)
	}
}

// With "--ipc=host" half of those who may have it open are out of sight.
func TestSharedMemoryOfTheHostStays(t *testing.T) {
	dir := shm(t)
	was := sharesIPC
	sharesIPC = func() bool { return true }
	defer func() { sharesIPC = was }()
	segmentFile(t, dir, "psm_1")
	r := Clean(context.Background(), Plan{Shm: Shm{Dir: dir, UID: os.Getuid(), Since: time.Now().Add(-time.Minute), Remove: true}})
	expect(t, r.Cleaned)
	expect(t, r.Unclean, "psm_1 (8 KiB) may be left by the dead, but who has it open cannot be seen")
}

// What was there before the dead started, or belongs to another user, is not theirs.
func TestSharedMemoryOfOthers(t *testing.T) {
	dir := shm(t)
	segmentFile(t, dir, "psm_old")
	r := Clean(context.Background(), Plan{Shm: Shm{Dir: dir, UID: os.Getuid(), Since: time.Now().Add(time.Hour), Remove: true}})
	expect(t, r.Cleaned)
	r = Clean(context.Background(), Plan{Shm: Shm{Dir: dir, UID: os.Getuid() + 1, Remove: true}})
	expect(t, r.Cleaned)
	if _, err := os.Stat(dir + "/psm_old"); err != nil {
		t.Error(err)
	}
}

// A process that lets nobody look: in doubt the segment stays.
func TestSharedMemoryThatCannotBeSeen(t *testing.T) {
	secret := process{pid: os.Getpid()}
	found := []segment{{name: "mine", ino: 1, uid: uint32(os.Getuid()), private: true},
		{name: "open to all", ino: 2, uid: 12345}, {name: "another's", ino: 3, uid: 12345, private: true}}
	used := map[uint64]use{}
	secret.mayHold(found, used)
	if used[1] != unknown || used[2] != unknown {
		t.Errorf("got %v", used)
	}
	if os.Getuid() != 0 && used[3] != unused {
		t.Errorf("got %v", used)
	}
}

// fakeSMI puts an nvidia-smi of ours first in PATH.
func fakeSMI(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/nvidia-smi", []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func run(ctx context.Context, argv []string) ([]byte, error) {
	return exec.CommandContext(ctx, argv[0], argv[1:]...).Output()
}

func TestGPU(t *testing.T) {
	cmd, p := start(t, "echo up; sleep 1000")
	end(cmd)
	stays := strconv.Itoa(p.PID)
	file := t.TempDir() + "/n"
	fakeSMI(t, `[ "$1 $2" = "--query-compute-apps=pid,used_memory --format=csv,noheader" ] || exit 9
		echo "1, 300 MiB"; echo "`+stays+`, 612 MiB"`)
	r := Clean(context.Background(), Plan{Dead: []Process{p}, Exec: run, Patience: short})
	expect(t, r.Unclean, "the driver still holds 612 MiB for pid "+stays)

	fakeSMI(t, `echo >>`+file+`; [ $(wc -l <`+file+`) -gt 3 ] || echo "`+stays+`, [N/A]"`)
	r = Clean(context.Background(), Plan{Dead: []Process{p}, Exec: run, Patience: 20 * time.Second})
	expect(t, r.Unclean)

	fakeSMI(t, `echo "No devices were found"; exit 6`)
	r = Clean(context.Background(), Plan{Dead: []Process{p}, Exec: run, Patience: short})
	expect(t, r.Unclean, "nvidia-smi failed: exit status 6")
}

// A driver that hangs is given up, as is everything else when the caller has had enough.
func TestEndsWithItsContext(t *testing.T) {
	cmd, p := start(t, "echo up; sleep 1000")
	end(cmd)
	fakeSMI(t, "exec sleep 1000")
	ctx, cancel := context.WithTimeout(context.Background(), short)
	defer cancel()
	began := time.Now()
	r := Clean(ctx, Plan{Dead: []Process{p}, Exec: run, Patience: time.Hour})
	expect(t, r.Unclean, "nvidia-smi failed")
	if took := time.Since(began); took > smiLimit {
		t.Errorf("took %v", took)
	}
}

func TestArgumentsAreNotShown(t *testing.T) {
	for want, args := range map[string][]string{
		"python3 train.py":   {"python3", "train.py", "--token", "s3cret"},
		"python3 -m package": {"python3", "-m", "package", "s3cret"},
		"/bin/sh":            {"/bin/sh", "-c", "TOKEN=s3cret exec x"},
		"":                   {""},
	} {
		if got := program(args); got != want {
			t.Errorf("%q is shown as %q", args, got)
		}
	}
}
