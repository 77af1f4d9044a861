package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// table prints a line as soon as it is known.
type table struct {
	out  io.Writer
	last string
}

func newTable(out io.Writer) *table { return &table{out: out} }

func (t *table) section(title, columns string) {
	if t.last == title {
		return
	}
	t.last = title
	fmt.Fprintf(t.out, "\n%s\n%-52s %s\n", title, "", columns)
}

// times prints one measure beside its floor.
func (t *table) times(name string, p *pair, target string) {
	t.section("Times, ms", fmt.Sprintf("%6s %8s %8s %8s %8s   %s", "n", "median", "p99", "floor", "p99", "target"))
	fmt.Fprintf(t.out, "%-52s %6d %8s %8s %8s %8s   %s\n", name, len(p.got.ds), ms(p.got.median()), ms(p.got.p99()),
		ms(p.floor.median()), ms(p.floor.p99()), target)
}

func (t *table) idle(name string, u usage, target string) {
	t.section("At rest", fmt.Sprintf("%8s %8s %12s %10s   %s", "RSS MiB", "PSS MiB", "CPU ms/min", "wakes/s", "target"))
	fmt.Fprintf(t.out, "%-52s %8.1f %8.1f %12.0f %10.1f   %s\n", name, u.rss, u.pss, u.cpuPerMinute(), u.wakesPerSecond(), target)
}

// heading tells what is needed to judge the figures.
func (b *bench) heading(out io.Writer) {
	var u unix.Utsname
	_ = unix.Uname(&u)
	fmt.Fprintf(out, "%s\n%d CPUs, Linux %s, load average %s\n", b.procguard, runtime.NumCPU(), unix.ByteSliceToString(u.Release[:]), loadAverage())
	if load, err := strconv.ParseFloat(strings.Fields(loadAverage())[0], 64); err == nil && load > float64(runtime.NumCPU()) {
		fmt.Fprintln(out, "more runs here than there are CPUs: waiting for one is in every figure, most of all in p99")
	}
	cost, err := syncCost(b.dir, 200)
	if err != nil {
		fmt.Fprintf(out, "state in %s: %v\n", b.dir, err)
		return
	}
	fmt.Fprintf(out, "state in %s (%s); a write of 200 bytes and fdatasync there takes %s ms, p99 %s\n",
		b.base, fileSystem(b.dir), ms(cost.median()), ms(cost.p99()))
	if _, ok := workerCode[runtime.GOARCH]; !ok {
		fmt.Fprintln(out, "workers are Go programs on this architecture: floor and measures have their start-up in them")
	}
}

// syncCost is what one durable write costs where the state is.
func syncCost(dir string, n int) (*sample, error) {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	line := make([]byte, 200)
	s := &sample{}
	for range n {
		at := time.Now()
		if _, err := f.Write(line); err != nil {
			return nil, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return nil, err
		}
		s.add(time.Since(at))
	}
	return s, nil
}
