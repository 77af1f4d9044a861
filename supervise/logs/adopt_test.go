package logs

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startSupervisor runs another ProcGuard, as it were, with one worker.
func startSupervisor(t *testing.T, dir, script string) (sup *exec.Cmd, worker int, pipes [2]uint64) {
	t.Helper()
	sup = exec.Command("/proc/self/exe", dir, script)
	sup.Env = append(os.Environ(), helperEnv+"=supervisor")
	sup.Stderr = os.Stderr
	out := must(sup.StdoutPipe())
	if err := sup.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sup.Process.Kill(); _ = sup.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(line, &worker, &pipes[0], &pipes[1]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(worker, syscall.SIGKILL) })
	return sup, worker, pipes
}

func gone(pid int) func() bool {
	return func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(b), ") Z ")
	}
}

// The supervisor is killed with SIGKILL while its worker runs. The worker writes
// into the pipe that only it holds, is not killed by SIGPIPE, and the next
// supervisor reads everything, into the same files.
func TestAdoption(t *testing.T) {
	for _, by := range []string{"descriptor", "inode"} {
		t.Run(by, func(t *testing.T) {
			dir := t.TempDir()
			script := `i=0; while [ $i -lt 200 ]; do echo line $i; echo err $i >&2; i=$((i+1)); sleep 0.005
				[ $i -eq 20 ] && while [ ! -e ` + dir + `/killed ]; do sleep 0.01; done; done; echo end; exec sleep 60`
			sup, pid, pipes := startSupervisor(t, dir, script)
			path := Path(dir, 0, "w", Stderr)
			within(t, "the first lines are in the files", func() bool {
				b, _ := os.ReadFile(path)
				return strings.HasSuffix(string(b), "err 19\n")
			})
			_ = sup.Process.Kill()
			_ = sup.Wait()
			if err := os.WriteFile(dir+"/killed", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond) // lines that nobody reads
			if by == "descriptor" {
				pipes = [2]uint64{}
			}
			adoptAndCheck(t, dir, pid, pipes)
		})
	}
}

func adoptAndCheck(t *testing.T, dir string, pid int, pipes [2]uint64) {
	t.Helper()
	c := newCollector(t, Options{})
	w, err := c.Adopt(pid, StreamSpec{Worker: "w", Dir: dir, Pipes: pipes})
	if err != nil {
		t.Fatal(err)
	}
	within(t, "the last line", func() bool { return strings.HasSuffix(string(w.Tail(Stdout, 0)), "line 199\nend\n") })
	if p := w.Pipes(); p[0] == 0 || p[1] == 0 || pipes[0] != 0 && p != pipes {
		t.Errorf("pipes: %v, were %v", p, pipes)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	done(t, w)
	closeNow(t, c)
	var out, errs strings.Builder
	for i := range 200 {
		fmt.Fprintf(&out, "line %d\n", i)
		fmt.Fprintf(&errs, "err %d\n", i)
	}
	if got := readFile(t, Path(dir, 0, "w", Stdout)); got != out.String()+"end\n" {
		t.Errorf("stdout.log: %q", got)
	}
	if got := readFile(t, Path(dir, 0, "w", Stderr)); got != errs.String() {
		t.Errorf("stderr.log: %q", got)
	}
}

// Nobody reads and the worker dies: what it said last is still read if it was adopted
// before its end.
func TestAdoptionOfLastWords(t *testing.T) {
	dir := t.TempDir()
	sup, pid, _ := startSupervisor(t, dir, `while [ ! -e `+dir+`/killed ]; do sleep 0.01; done; echo last words; echo $$ >`+dir+`/said; exec sleep 60`)
	_ = sup.Process.Kill()
	_ = sup.Wait()
	if err := os.WriteFile(dir+"/killed", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	within(t, "it was said", func() bool { _, err := os.Stat(dir + "/said"); return err == nil })
	c := newCollector(t, Options{})
	w, err := c.Adopt(pid, StreamSpec{Worker: "w"})
	if err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	within(t, "it is gone", gone(pid))
	done(t, w)
	if got := string(w.Tail(Stdout, 0)); got != "last words\n" {
		t.Errorf("tail: %q", got)
	}
}

// What a program did with its outputs decides what is adopted.
func TestAdoptTakesOnlyOurPipes(t *testing.T) {
	for _, c := range []struct {
		name, script string
		byInode      bool
		out, err     bool
	}{
		{"both", `exec sleep 60`, false, true, true},
		{"both in one", `exec 2>&1; exec sleep 60`, false, true, false},
		{"stdout to a file", `exec >/dev/null; exec sleep 60`, false, false, true},
		{"both elsewhere", `exec >/dev/null 2>&1; exec sleep 60`, false, false, false},
		{"a pipe of its own", `{ exec sleep 60; } 2>/dev/null | exec cat >/dev/null`, false, true, true},
		{"moved", `exec 7>&1 8>&2 >/dev/null 2>&1; exec sleep 60`, true, true, true},
		{"swapped", `exec 7>&1 >&2 2>&7; exec sleep 60`, true, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			first := newCollector(t, Options{})
			w := open(t, first, StreamSpec{Worker: "w"})
			cmd := start(t, w, c.script)
			pid := cmd.Process.Pid
			within(t, "the program runs", func() bool {
				b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
				return string(b) == "sleep\n" || strings.Contains(c.script, "|")
			})
			second := newCollector(t, Options{})
			spec := StreamSpec{Worker: "w"}
			if c.byInode {
				spec.Pipes = w.Pipes()
			}
			a, err := second.Adopt(pid, spec)
			if !c.out && !c.err {
				if !errors.Is(err, ErrNoPipe) {
					t.Errorf("Adopt: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := a.Pipes()
			want := w.Pipes()
			for s, adopted := range []bool{c.out, c.err} {
				if !adopted {
					want[s] = 0
				}
			}
			if got != want {
				t.Errorf("pipes: %v, want %v", got, want)
			}
		})
	}
}

// A plain pipe at descriptor 1, as a shell makes it, is somebody else's.
func TestAdoptLeavesForeignPipes(t *testing.T) {
	c := newCollector(t, Options{})
	cmd := exec.Command("sleep", "60")
	out := must(cmd.StdoutPipe())
	defer out.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if _, err := c.Adopt(cmd.Process.Pid, StreamSpec{Worker: "w"}); !errors.Is(err, ErrNoPipe) {
		t.Errorf("Adopt: %v", err)
	}
	w := open(t, c, StreamSpec{Worker: "other"})
	if _, err := c.Adopt(cmd.Process.Pid, StreamSpec{Worker: "w", Pipes: w.Pipes()}); !errors.Is(err, ErrNoPipe) {
		t.Errorf("Adopt by another's inodes: %v", err)
	}
}

func TestAdoptNobody(t *testing.T) {
	c := newCollector(t, Options{})
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	before := countFDs(t)
	if _, err := c.Adopt(cmd.Process.Pid, StreamSpec{Worker: "w"}); !errors.Is(err, ErrNoPipe) {
		t.Errorf("Adopt: %v", err)
	}
	if after := countFDs(t); after != before {
		t.Errorf("descriptors: %d, then %d", before, after)
	}
}
