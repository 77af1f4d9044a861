package reaper

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/procguard/procguard/reaper/cgroup"
)

func groups(t testing.TB) *cgroup.Tree {
	t.Helper()
	tree, err := cgroup.Detect(cgroup.Options{})
	if err != nil {
		t.Skipf("needs a cgroup v2 of our own: %v", err)
	}
	return tree
}

func (g *rig) group(tree *cgroup.Tree, name string) *cgroup.Group {
	g.t.Helper()
	cg, err := tree.New(fmt.Sprintf("test-%d-%s", os.Getpid(), name))
	if err != nil {
		g.t.Fatal(err)
	}
	return cg
}

// In a cgroup nothing needs to be recorded: not even the worker that nobody announced
// leaves anybody behind, whatever its descendants have done to their ties.
func TestCgroupHoldsEverybody(t *testing.T) {
	tree := groups(t)
	g := newRig(t)
	exe := publicExe(t)
	script, lines := forest()
	for i := range soak(6, 200) {
		out, w, _ := os.Pipe()
		s := g.sh("tree", script)
		s.Env = append(os.Environ(), "EXE="+exe)
		s.Stdout, s.Dir, s.Cgroup = w, "/", g.group(tree, fmt.Sprint(i))
		tr := treeOf(g, s, out)
		w.Close()
		tr.await(g, lines)
		_ = syscall.Kill(tr.PID, syscall.SIGKILL)
		tr.felled(g, "cgroup")
		if populated, err := s.Cgroup.Populated(); populated || err != nil {
			t.Errorf("gone, but populated %v, %v", populated, err)
		}
		if err := s.Cgroup.Remove(); err != nil {
			t.Error(err)
		}
	}
}

func treeOf(g *rig, s Spec, out *os.File) tree {
	g.t.Helper()
	return tree{Proc: g.spawn(s), out: out}
}

// A process in the cgroup that is nobody's descendant: its death is told by the kernel.
func TestGoneWaitsUntilTheCgroupIsEmpty(t *testing.T) {
	tree := groups(t)
	// Forked here, it is an orphan of nobody; it was moved in, as an administrator might.
	g := newRig(t)
	cg := g.group(tree, "moved")
	s := g.sh("worker", "sleep 1000")
	s.Cgroup = cg
	p := g.spawn(s)
	stranger, err := g.r.Spawn(Spec{Argv: []string{"/bin/sleep", "1000"}, ID: "stranger"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cg.Dir()+"/cgroup.procs", fmt.Append(nil, stranger.PID), 0); err != nil {
		t.Fatal(err)
	}
	_ = g.r.Kill(p)
	g.gone(p)
	if e := g.exit(stranger); e.Signal() != syscall.SIGKILL {
		t.Errorf("stranger: %v", e)
	}
	if err := cg.Remove(); err != nil {
		t.Error(err)
	}
}

// Where clone3 is forbidden the shim enters the group, before the user is changed.
func TestCgroupByShim(t *testing.T) {
	tree := groups(t)
	was := cgroup.CanClone
	cgroup.CanClone = func() bool { return false }
	defer func() { cgroup.CanClone = was }()
	g := newRig(t)
	for _, uid := range users(t) {
		cg := g.group(tree, fmt.Sprint("shim", uid))
		s := g.sh("worker", "setsid env -i /bin/sleep 1000 & sleep 1000")
		s.Cgroup, s.Dir = cg, "/"
		s.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid), NoSetGroups: os.Getuid() != 0}
		p := g.spawn(s)
		g.eventually("three in the group", func() bool { return len(cg.PIDs()) == 3 })
		_ = syscall.Kill(p.PID, syscall.SIGKILL)
		g.gone(p)
		if err := cg.Remove(); err != nil {
			t.Error(err)
		}
	}
}

func BenchmarkSpawnToGoneInCgroup(b *testing.B) {
	tree := groups(b)
	done := make(chan struct{}, 1)
	r, err := Start(Options{OnExit: func(e Exit) {
		if e.Gone {
			done <- struct{}{}
		}
	}, OnGone: func(Gone) { done <- struct{}{} }})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	for b.Loop() {
		cg, err := tree.New(fmt.Sprint("bench", time.Now().UnixNano()))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.Spawn(Spec{Argv: []string{"/bin/true"}, Env: []string{}, Instance: "bench", Cgroup: cg}); err != nil {
			b.Fatal(err)
		}
		<-done
		_ = cg.Remove()
	}
}
