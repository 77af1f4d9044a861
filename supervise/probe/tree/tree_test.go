package tree

import (
	"encoding/binary"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParse(t *testing.T) {
	tail := " S 1 42 43 0 -1 4194304 90 0 0 0 250 17 30 4 20 0 5 0 8371 8282112 1234 18446744073709551615 1 1\n"
	want := Stat{State: 'S', PPID: 1, Group: 42, Session: 43, Ticks: 267, Reaped: 34, Threads: 5, Start: 8371, Pages: 1234}
	for _, name := range []string{"sleep", "a b", ") R 9 9 9", "))((", ""} {
		var s Stat
		if err := s.Parse([]byte("42 (" + name + ")" + tail)); err != nil || s != want {
			t.Errorf("%q: %+v, %v", name, s, err)
		}
	}
	for _, bad := range []string{"", "42", "42 (x", "42 (x)", "42 (x) ", "42 (x) S 1 2 3", "42 (x) S" + tail[2:60]} {
		if new(Stat).Parse([]byte(bad)) == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("42 (a b) S 1 42 42 0 -1 4194304 90 0 0 0 250 17 0 0 20 0 5 0 8371 8282112 1234 1 1 1\n"))
	f.Add([]byte(")  "))
	f.Add([]byte(")0           0 0          ")) // found: empty fields were taken
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Stat
		if s.Parse(b) == nil && len(b) < 40 {
			t.Errorf("%q gave %+v", b, s)
		}
	})
}

// TestDirents: records as the kernel writes them, and some that are cut off.
func TestDirents(t *testing.T) {
	record := func(name string) []byte {
		b := make([]byte, 19, 64)
		b = append(b, name...)
		b = append(b, make([]byte, 8-len(b)%8)...)
		binary.NativeEndian.PutUint16(b[16:], uint16(len(b)))
		return b
	}
	all := append(append(append(record("1"), record("self")...), record("31337")...), record("12x")...)
	if got := appendPIDs(nil, all); len(got) != 2 || got[0] != 1 || got[1] != 31337 {
		t.Errorf("got %v", got)
	}
	for n := range all {
		appendPIDs(nil, all[:n])
	}
	binary.NativeEndian.PutUint16(all[16:], 3)
	if got := appendPIDs(nil, all); len(got) != 0 {
		t.Errorf("a record shorter than its head gave %v", got)
	}
}

// fake is a machine of made-up processes.
type fake struct {
	procs map[int]*Stat
	io    map[int]bytesIO
	stats int
	fail  error
}

func newFake() *fake { return &fake{procs: map[int]*Stat{}, io: map[int]bytesIO{}} }

func (f *fake) add(pid, parent int, change func(*Stat)) *Stat {
	s := &Stat{State: 'S', PPID: parent, Group: pid, Session: pid, Threads: 1, Pages: 10, Start: uint64(pid)}
	if change != nil {
		change(s)
	}
	f.procs[pid] = s
	return s
}

// end is a process that ends and is waited for by its parent, who inherits its times,
// or by nobody we know.
func (f *fake) end(pid int) {
	s := f.procs[pid]
	delete(f.procs, pid)
	if parent := f.procs[s.PPID]; parent != nil {
		parent.Reaped += s.total()
	}
}

func (f *fake) List(pids []int) ([]int, error) {
	for pid := range f.procs {
		pids = append(pids, pid)
	}
	return pids, f.fail
}

func (f *fake) Stat(pid int, s *Stat) error {
	f.stats++
	if f.procs[pid] == nil {
		return unix.ENOENT
	}
	*s = *f.procs[pid]
	return nil
}

func (f *fake) IO(pid int) (uint64, uint64, error) {
	if io, ok := f.io[pid]; ok {
		return io.read, io.written, nil
	}
	return 0, 0, unix.EACCES
}

// scan reads the leaders and looks at all.
func scan(t *testing.T, f *Forest, src *fake, trees ...*Tree) {
	t.Helper()
	own(src, trees)
	if err := f.Scan(trees); err != nil {
		t.Fatal(err)
	}
}

func own(src *fake, trees []*Tree) {
	for _, tr := range trees {
		tr.Own = *src.procs[tr.PID]
	}
}

// TestWhoBelongs: by parents, by group and session when the parents are gone, and by
// having belonged before.
func TestWhoBelongs(t *testing.T) {
	src := newFake()
	src.add(10, 1, nil) // leader
	src.add(11, 10, nil)
	src.add(12, 11, nil)                               // grandchild in a session of its own
	src.add(13, 1, func(s *Stat) { s.Group = 10 })     // lost its parent, kept the group
	src.add(14, 1, func(s *Stat) { s.Session = 10 })   // a job of an interactive shell
	src.add(20, 1, nil)                                // another leader
	src.add(21, 20, func(s *Stat) { s.Group = 10 })    // parents count more than groups
	src.add(30, 1, nil)                                // nobody's
	src.add(40, 41, nil)                               // a circle, as a table that is
	src.add(41, 40, nil)                               // not of one moment may show
	src.add(5, 1, func(s *Stat) { s.Threads = 9 })     // nobody's
	src.add(15, 12, func(s *Stat) { s.State = 'R' })   // depth 3
	src.add(16, 15, func(s *Stat) { s.State = 'Z' })   // dead
	src.add(17, 15, func(s *Stat) { s.Threads = 100 }) // depth 4
	f := New(src)
	a, b := &Tree{PID: 10}, &Tree{PID: 20}
	scan(t, f, src, a, b)
	if a.Processes != 7 || a.Active != 1 || a.Threads != 106 || a.Pages != 70 || b.Processes != 2 {
		t.Errorf("a %+v, b %+v", a.Sum, b.Sum)
	}
	// 12 loses its parent, in its own session: it is remembered.
	src.end(11)
	src.procs[12].PPID = 1
	scan(t, f, src, a, b)
	if a.Processes != 6 || b.Processes != 2 {
		t.Errorf("after a parent's end: a %+v, b %+v", a.Sum, b.Sum)
	}
	// A new child of nobody's, whose pid belonged to a before.
	src.end(12)
	src.add(12, 30, func(s *Stat) { s.Start = 99 })
	src.procs[15].PPID = 1
	scan(t, f, src, a, b)
	if a.Processes != 5 {
		t.Errorf("after a pid was reused: a %+v", a.Sum)
	}
	// Who is nobody's and is read seldom still becomes somebody's.
	src.procs[30].Group = 20
	for range stride {
		scan(t, f, src, a, b)
	}
	if b.Processes != 4 { // 30 and its child 12
		t.Errorf("b %+v", b.Sum)
	}
	scan(t, f, src, b)
	if b.Processes != 4 || !a.gone {
		t.Errorf("without a: %+v", b.Sum)
	}
}

// TestStrangersAreReadSeldom.
func TestStrangersAreReadSeldom(t *testing.T) {
	src := newFake()
	src.add(10, 1, nil)
	for pid := 1000; pid < 1800; pid++ {
		src.add(pid, 1, nil)
	}
	f, tr := New(src), &Tree{PID: 10}
	scan(t, f, src, tr)
	src.stats = 0
	for range stride {
		scan(t, f, src, tr)
	}
	if src.stats != 800 {
		t.Errorf("%d reads of 800 strangers in %d scans", src.stats, stride)
	}
}

// TestCPUNeverFalls, whatever ends, and counts everything once.
func TestCPUNeverFalls(t *testing.T) {
	src := newFake()
	src.add(10, 1, func(s *Stat) { s.Ticks = 100 })
	f, tr := New(src), &Tree{PID: 10}
	var last uint64
	look := func(what string, want uint64) {
		t.Helper()
		scan(t, f, src, tr)
		if tr.Ticks < last || tr.Ticks != want {
			t.Errorf("%s: %d ticks, want %d, before %d", what, tr.Ticks, want, last)
		}
		last = tr.Ticks
	}
	look("first", 100)
	src.add(11, 10, func(s *Stat) { s.Ticks = 7 })
	look("a child with 7", 107)
	src.procs[11].Ticks += 50
	src.add(12, 11, func(s *Stat) { s.Ticks = 5 })
	look("50 more, and a grandchild with 5", 162)
	src.procs[12].Ticks += 5
	src.end(12)
	look("the grandchild ends after 5 more", 167)
	src.procs[11].Ticks += 3
	src.end(11)
	look("the child ends after 3 more", 170)
	src.procs[10].Reaped += 20
	look("children that came and went between two scans", 190)
	src.add(13, 10, func(s *Stat) { s.Ticks = 1000 })
	look("another child", 1190)
	src.procs[13].PPID = 1
	src.procs[13].Group = 10
	src.procs[13].Ticks += 10
	src.end(13)
	look("it ends as somebody else's child", 1190)
	src.procs[10].Ticks += 4
	look("the leader goes on", 1194)
	src.add(14, 10, func(s *Stat) { s.Ticks = 300 })
	src.end(14)
	src.add(14, 10, func(s *Stat) { s.Ticks, s.Start = 2, 15 })
	look("a pid is reused at once", 1496)
}

// TestBeforeTheFirstScan: what a child had used before it was seen is not taken for
// what it used since then, in a forest that has just begun, or when it joins late.
func TestBeforeTheFirstScan(t *testing.T) {
	src := newFake()
	src.add(10, 1, nil)
	src.add(11, 10, func(s *Stat) { s.Ticks = 5000 })
	src.add(16, 1, func(s *Stat) { s.Ticks = 7000 })
	f, tr := New(src), &Tree{PID: 10}
	scan(t, f, src, tr)
	src.procs[11].Ticks++
	scan(t, f, src, tr)
	src.procs[16].Group = 10
	for range stride {
		scan(t, f, src, tr)
	}
	if tr.Ticks != 1 || tr.Processes != 3 {
		t.Errorf("%+v", tr.Sum)
	}
}

// TestAgain reads only members, and accounts for their ends.
func TestAgain(t *testing.T) {
	src := newFake()
	src.add(10, 1, nil)
	src.add(11, 10, func(s *Stat) { s.Ticks = 5 })
	src.add(12, 10, nil)
	src.add(20, 1, nil)
	f, tr, other := New(src), &Tree{PID: 10}, &Tree{PID: 20}
	scan(t, f, src, tr, other)
	src.procs[11].Ticks += 5
	src.end(12)
	src.add(12, 10, func(s *Stat) { s.Start = 77 }) // its pid, anew: found by the next scan
	src.stats = 0
	own(src, []*Tree{tr})
	f.Again([]*Tree{tr})
	if tr.Ticks != 5 || tr.Processes != 2 || src.stats != 2 {
		t.Errorf("%+v, %d reads", tr.Sum, src.stats)
	}
	src.end(11)
	own(src, []*Tree{tr})
	f.Again([]*Tree{tr})
	if tr.Ticks != 5 || tr.Processes != 1 {
		t.Errorf("%+v", tr.Sum)
	}
	scan(t, f, src, tr, other)
	if tr.Processes != 2 || other.Processes != 1 || tr.Ticks != 5 {
		t.Errorf("%+v, %+v", tr.Sum, other.Sum)
	}
}

func TestIO(t *testing.T) {
	src := newFake()
	src.add(10, 1, nil)
	src.io[10] = bytesIO{100, 10}
	f, tr := New(src), &Tree{PID: 10}
	scan(t, f, src, tr)
	src.add(11, 10, nil)
	src.io[11] = bytesIO{50, 5}
	scan(t, f, src, tr)
	src.end(11)
	src.io[10] = bytesIO{160, 16} // inherited 50 and 5, and had 10 and 1 of its own
	scan(t, f, src, tr)
	if tr.Read != 160 || tr.Written != 16 || tr.NoIO {
		t.Errorf("%+v", tr.Sum)
	}
	src.add(12, 10, nil)
	scan(t, f, src, tr)
	if tr.Read != 160 || !tr.NoIO {
		t.Errorf("with a child that may not be seen: %+v", tr.Sum)
	}
}

func TestNoProc(t *testing.T) {
	src := newFake()
	src.add(10, 1, nil)
	src.fail = unix.EACCES
	if err := New(src).Scan([]*Tree{{PID: 10}}); !errors.Is(err, unix.EACCES) {
		t.Errorf("got %v", err)
	}
}

// TestRealTree: a shell with a child, and a grandchild in a session of its own.
func TestRealTree(t *testing.T) {
	cmd := exec.Command("sh", "-c", `setsid sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo done; sleep 1000' & cat; kill -9 $!`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { killTree(t, cmd.Process.Pid); _ = in.Close(); _ = cmd.Wait() }) // in this order: without its parents the last would be nobody's
	var k Kernel
	f, tr := New(&k), &Tree{PID: cmd.Process.Pid}
	if err := k.Stat(tr.PID, &tr.Own); err != nil {
		t.Fatal(err)
	}
	if err := f.Scan([]*Tree{tr}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	if n, err := out.Read(buf); err != nil || strings.TrimSpace(string(buf[:n])) != "done" {
		t.Fatalf("%q, %v", buf, err)
	}
	for end := time.Now().Add(20 * time.Second); tr.Processes != 4 && time.Now().Before(end); {
		if err := k.Stat(tr.PID, &tr.Own); err != nil {
			t.Fatal(err)
		}
		if err := f.Scan([]*Tree{tr}); err != nil {
			t.Fatal(err)
		}
	}
	if tr.Processes != 4 || tr.Ticks == 0 || tr.Pages < 4 { // two shells, cat and sleep
		t.Errorf("%+v", tr.Sum)
	}
}

// killTree ends all that belongs to a leader.
func killTree(t *testing.T, pid int) {
	var k Kernel
	tr := &Tree{PID: pid}
	_ = k.Stat(pid, &tr.Own)
	if err := New(&k).Scan([]*Tree{tr}); err != nil {
		t.Error(err)
	}
	for _, p := range append(tr.members, pid) {
		_ = syscall.Kill(p, syscall.SIGKILL)
	}
}
