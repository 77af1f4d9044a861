package cgroup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// delegated makes a cgroup that is as one delegated to us: not the root of the machine.
func delegated(t *testing.T) *Tree {
	t.Helper()
	root, err := Detect(Options{})
	if err != nil {
		t.Skipf("needs a writable cgroup v2: %v", err)
	}
	dir := filepath.Join(root.dir, fmt.Sprintf("test-%d-%d", os.Getpid(), time.Now().UnixNano()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("needs a writable cgroup v2: %v", err)
	}
	t.Cleanup(func() {
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if removeAll(dir) == nil {
				return
			}
		}
		t.Errorf("%s cannot be removed", dir)
	})
	return &Tree{dir: dir}
}

func group(t *testing.T, tree *Tree) *Group {
	t.Helper()
	g, err := tree.New("0/worker 1#7")
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// in runs a script in the group, and waits for its line.
func in(t *testing.T, g *Group, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: g.FD(), Setsid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return cmd
}

const storm = `i=0; while [ $i -lt 40 ]; do setsid env -i /bin/sleep 10 & i=$((i+1)); done; echo; wait`

func TestKill(t *testing.T) {
	for name, kill := range map[string]func(*Group) error{"cgroup.kill": (*Group).Kill, "freezer": (*Group).killFrozen} {
		t.Run(name, func(t *testing.T) {
			g := group(t, delegated(t))
			cmd := in(t, g, `sh -c 'kill -STOP $$' & `+storm)
			if populated, err := g.Populated(); !populated || err != nil {
				t.Errorf("populated %v, %v", populated, err)
			}
			if n := len(g.PIDs()); n < 2 {
				t.Errorf("%d processes", n)
			}
			if err := g.Remove(); !errors.Is(err, unix.EBUSY) {
				t.Errorf("removed with processes: %v", err)
			}
			if err := kill(g); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			if err := g.Wait(ctx); err != nil {
				t.Error(err)
			}
			if pids := g.PIDs(); len(pids) > 0 {
				t.Errorf("left: %v", pids)
			}
			if err := g.Remove(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	g := group(t, delegated(t))
	cmd := in(t, g, "echo; exec sleep 1000")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.Wait(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 processes left") {
		t.Errorf("got %v", err)
	}
	_ = g.Kill()
	_ = cmd.Wait()
	_ = g.Wait(context.Background())
	// A worker may have divided its cgroup.
	if err := os.Mkdir(g.Dir()+"/below", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := g.Remove(); err != nil {
		t.Error(err)
	}
}

func TestSweep(t *testing.T) {
	tree := delegated(t)
	empty, _ := tree.New("empty")
	_ = empty.Close()
	g, _ := tree.New("full")
	cmd := in(t, g, "echo; exec sleep 1000")
	if left := tree.Sweep(); !slices.Equal(left, []string{"full"}) {
		t.Errorf("left %q", left)
	}
	if _, err := tree.New("full"); !errors.Is(err, os.ErrExist) {
		t.Errorf("made twice: %v", err)
	}
	again, err := tree.Open("full")
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Kill(); err != nil {
		t.Error(err)
	}
	_ = again.Close()
	_ = cmd.Wait()
	_ = g.Wait(context.Background())
	if left := tree.Sweep(); len(left) > 0 {
		t.Errorf("left %q", left)
	}
	_ = g.Close()
}

// A cgroup with processes in it lends no controllers: they are moved into a leaf.
func TestControllers(t *testing.T) {
	tree := delegated(t)
	parent := &Tree{dir: filepath.Dir(tree.dir)}
	have := parent.words("cgroup.controllers")
	if len(have) == 0 {
		t.Skip("all controllers are bound to cgroup v1 here")
	}
	want := have[0]
	if !has(parent.words("cgroup.subtree_control"), want) {
		if err := write(parent.dir+"/cgroup.subtree_control", "+"+want); err != nil {
			t.Skipf("%s cannot be had: %v", want, err)
		}
		t.Cleanup(func() { _ = write(parent.dir+"/cgroup.subtree_control", "-"+want) })
	}
	self := &Group{dir: tree.dir}
	fd, err := unix.Open(tree.dir, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	self.fd = fd
	cmd := in(t, self, "echo; sleep 1000 & wait")
	if err := write(tree.dir+"/cgroup.subtree_control", "+"+want); err == nil {
		t.Fatal("the rule does not hold here")
	}
	tree.enable([]string{want, "nosuch"})
	if !slices.Equal(tree.Controllers(), []string{want}) {
		t.Errorf("enabled %v", tree.Controllers())
	}
	own, err := ownPath("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/cgroup")
	if err != nil || filepath.Base(own) != filepath.Base(tree.dir) {
		t.Errorf("own path %q, %v", own, err)
	}
	g := group(t, tree)
	if !has((&Tree{dir: g.dir}).words("cgroup.controllers"), want) {
		t.Error("the group has no controllers")
	}
	_ = g.Remove()
	_ = self.Kill()
	_ = cmd.Wait()
	if err := write(tree.dir+"/cgroup.subtree_control", "-"+want); err != nil {
		t.Error(err)
	}
}

func TestPlaces(t *testing.T) {
	for _, c := range []struct{ root, point, own, want string }{
		{"/", "/sys/fs/cgroup", "/", "/sys/fs/cgroup"},
		{"/", "/sys/fs/cgroup", "/a/b", "/sys/fs/cgroup/a/b"},
		{"/docker/1", "/cg", "/docker/1/x", "/cg/x"},
		{"/docker/1", "/cg", "/docker/2", ""},
		{"/docker/1", "/cg", "/docker/12", ""},
		{"/../..", "/cg", "/", ""},
	} {
		if got, ok := (mount{c.root, c.point}).locate(c.own); got != c.want || ok != (c.want != "") {
			t.Errorf("%+v: got %q, %v", c, got, ok)
		}
	}
}

func TestMounts(t *testing.T) {
	name := t.TempDir() + "/mountinfo"
	_ = os.WriteFile(name, []byte("22 1 0:21 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"+
		"23 1 0:22 /a\\040b /mnt/x\\040y rw,relatime shared:1 master:2 - cgroup2 none rw\nbroken\n"), 0o600)
	if got := mounts(name); len(got) != 1 || got[0] != (mount{"/a b", "/mnt/x y"}) {
		t.Errorf("got %+v", got)
	}
}

func TestNames(t *testing.T) {
	if got := clean("../a/b c\n#7é"); strings.ContainsAny(got, "/ \n") {
		t.Errorf("got %q", got)
	}
	if got := clean(string(bytes.Repeat([]byte("x"), 400))); len(Prefix+got) > 255 {
		t.Errorf("%d bytes", len(got))
	}
}
