package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

func startRows() []row {
	return []row{
		{name: "clean after a clean start", required: true, run: cleanStart,
			means: "Nothing was ignored or blocked when the init started: nothing is when the command does."},
		{name: "default dispositions", run: dispositions,
			means: "HUP INT QUIT PIPE CHLD TERM USR1 TTOU and 40 were ignored when the init started: the command starts without any ignored."},
		{name: "empty mask", run: emptyMask, means: "Every signal was blocked when the init started: the command starts with none blocked."},
		{name: "works with all blocked", required: true, run: worksBlocked, means: "Started so, it still forwards and reaps."},
		{name: "works with CHLD ignored", run: worksIgnored, means: "Started so, it still learns the command's exit code."},
		{name: "no descriptor of its own", required: true, run: ownDescriptors, means: "The command has 0, 1 and 2, and nothing that the init has opened."},
		{name: "inherited descriptors", run: inherited, means: "What becomes of 3 to 20, if the init finds them open: passed on or closed."},
		{name: "RLIMIT_NOFILE", required: true, run: noFile, means: "The command has the limits that the init was given."},
		{name: "oom_score_adj", required: true, run: oomScore, means: "Likewise."},
		{name: "nice value", required: true, run: niceValue, means: "Likewise."},
		{name: "environment", required: true, run: environment, means: "Handed on in order, with empty and odd variables."},
		{name: "arguments", required: true, run: arguments, means: "Handed on with empty ones, spaces, newlines and a second `--`."},
		{name: "standard input", required: true, run: standardInput, means: "1 MiB that was there before the start is read by the command, all of it."},
		{name: "working directory", required: true, run: workingDirectory, means: "The init's."},
	}
}

var ignoredSignals = []int{1, 2, 3, 10, 13, 15, 17, 22, 40}

func setNames(set uint64) string {
	var names []string
	for n := 1; n <= 64; n++ {
		if set>>(n-1)&1 == 1 {
			names = append(names, signalName(syscall.Signal(n)))
		}
	}
	if len(names) > 9 {
		return fmt.Sprintf("%d signals", len(names))
	}
	return strings.Join(names, " ")
}

func cleanStart(t *trial) verdict {
	b := t.cat(launch{})
	child := b.child(b.pid)
	if left := mask(child, "SigIgn"); left != 0 {
		return no("%s ignored", setNames(left))
	}
	left := mask(child, "SigBlk")
	return when(left == 0, "%s blocked", setNames(left))
}

func dispositions(t *trial) verdict {
	b := t.cat(launch{setup: setup{Ignore: ignoredSignals}})
	left := mask(b.child(b.pid), "SigIgn")
	return when(left == 0, "%s ignored", setNames(left))
}

func emptyMask(t *trial) verdict {
	b := t.cat(launch{setup: setup{Block: true}})
	left := mask(b.child(b.pid), "SigBlk")
	return when(left == 0, "%s blocked", setNames(left))
}

func worksBlocked(t *trial) verdict {
	l := launch{setup: setup{Block: true}}
	b := t.catcher(l)
	if !b.gets(b.pid, syscall.SIGTERM) {
		return no("TERM is not forwarded")
	}
	_ = syscall.Kill(b.child(b.pid), syscall.SIGKILL)
	code := b.wait()
	return when(code == 137, "%s", codeText(code))
}

func worksIgnored(t *trial) verdict {
	b := t.start(launch{setup: setup{Ignore: []int{17}}, cmd: t.me("@exit", 42)})
	code := b.wait()
	return when(code == 42, "%s", codeText(code))
}

func descriptors(pid int) []string {
	names, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	var all []string
	for _, n := range names {
		all = append(all, n.Name())
	}
	slices.Sort(all)
	return all
}

func ownDescriptors(t *trial) verdict {
	b := t.cat(launch{})
	all := descriptors(b.child(b.pid))
	return when(len(all) == 3, "%s", strings.Join(all, " "))
}

func inherited(t *trial) verdict {
	b := t.cat(launch{setup: setup{Inherit: [2]int{3, 20}}})
	switch all := descriptors(b.child(b.pid)); len(all) {
	case 21:
		return value(true, "passes on")
	case 3:
		return value(true, "closes")
	default:
		return value(false, "%s", strings.Join(all, " "))
	}
}

func noFile(t *trial) verdict {
	b := t.cat(launch{setup: setup{NoFile: [2]uint64{1000, 4000}}})
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", b.child(b.pid)))
	t.need(err)
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "Max open files"); ok {
			f := strings.Fields(rest)
			return when(f[0] == "1000" && f[1] == "4000", "%s %s", f[0], f[1])
		}
	}
	return no("no limit to be seen")
}

func oomScore(t *trial) verdict {
	b := t.cat(launch{setup: setup{OOM: 321}})
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", b.child(b.pid)))
	t.need(err)
	got := strings.TrimSpace(string(data))
	return when(got == "321", "%s", got)
}

func niceValue(t *trial) verdict {
	b := t.cat(launch{setup: setup{Nice: 5}})
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.child(b.pid)))
	t.need(err)
	got := strings.Fields(string(data))[18]
	return when(got == "5", "%s", got)
}

func environment(t *trial) verdict {
	want := append(launch{}.environ(), "EMPTY=", "B=1", "A=two words\nand a line", "=odd", "B2=x=y")
	b := t.cat(launch{env: want})
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", b.child(b.pid)))
	t.need(err)
	got := strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
	if slices.Equal(got, want) {
		return yes()
	}
	for _, v := range want {
		if !slices.Contains(got, v) {
			return no("without %q", v)
		}
	}
	return no("%d variables, not %d, or in another order", len(got), len(want))
}

func arguments(t *trial) verdict {
	want := []string{"", "two words", "-x", "--", "a\nb", "", "--help", "$HOME", "*"}
	b := t.start(launch{cmd: append(t.me("@args"), want...)})
	text := b.must("[")
	var got []string
	t.need(json.Unmarshal([]byte("["+text), &got))
	return when(slices.Equal(got, want), "%q", got)
}

func standardInput(t *trial) verdict {
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	b := t.start(launch{cmd: []string{"sha256sum"}})
	go func() {
		_, _ = b.in.Write(data)
		b.in.Close()
	}()
	sum := fmt.Sprintf("%x", sha256.Sum256(data))
	_, ok := b.line(sum)
	return when(ok, "%s", b.why("other bytes"))
}

func workingDirectory(t *trial) verdict {
	b := t.cat(launch{setup: setup{Dir: t.dir}})
	got, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(b.child(b.pid)), "cwd"))
	t.need(err)
	return when(got == t.dir, "%s", got)
}
