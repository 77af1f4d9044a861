package slate

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// smiLimit is for one call: a driver in trouble hangs, and everybody who asks it.
const smiLimit = 5 * time.Second

// cleanGPU waits until the driver names none of the dead.
func cleanGPU(ctx context.Context, p Plan, r *Report) {
	smi := lookPath("nvidia-smi")
	if p.Exec == nil || smi == "" || len(p.Dead) == 0 {
		return
	}
	began := time.Now()
	var held map[int]string
	var err error
	ok := until(ctx, func() bool {
		held, err = askGPU(ctx, p.Exec, smi)
		for _, d := range p.Dead {
			if _, holds := held[d.PID]; holds && !d.isReused() {
				return false
			}
		}
		return true
	})
	if err != nil {
		r.unclean("GPU memory: nvidia-smi failed: %v", err)
		return
	}
	if waited := time.Since(began); ok && waited > smiLimit/10 {
		r.cleaned("GPU memory of the dead is released, after %d ms", waited.Milliseconds())
	}
	if ok {
		return
	}
	for _, d := range p.Dead {
		if mem, holds := held[d.PID]; holds && !d.isReused() {
			r.unclean("GPU memory: the driver still holds %s for pid %d, which is dead", mem, d.PID)
		}
	}
}

// isReused says whether somebody else has the pid now.
func (p Process) isReused() bool {
	now, err := readProcess(p.PID)
	return err == nil && p.Ticks != 0 && now.ticks != p.Ticks
}

// askGPU returns the memory of each pid as the driver words it: "612 MiB".
func askGPU(ctx context.Context, run Exec, smi string) (map[int]string, error) {
	ctx, cancel := context.WithTimeout(ctx, smiLimit)
	defer cancel()
	out, err := run(ctx, []string{smi, "--query-compute-apps=pid,used_memory", "--format=csv,noheader"})
	if err != nil {
		return nil, err
	}
	held := map[int]string{}
	for line := range strings.Lines(string(out)) {
		pid, mem, _ := strings.Cut(strings.TrimSpace(line), ",")
		if n, err := strconv.Atoi(strings.TrimSpace(pid)); err == nil {
			held[n] = strings.TrimSpace(mem)
		}
	}
	return held, nil
}

// lookPath finds a program in our PATH, "" if it is not there.
func lookPath(name string) string {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		full := filepath.Join(dir, name)
		if st, err := os.Stat(full); err == nil && st.Mode().IsRegular() && unix.Access(full, unix.X_OK) == nil {
			return full
		}
	}
	return ""
}

// HasGPUs says that nvidia-smi is there to be asked.
func HasGPUs() bool { return lookPath("nvidia-smi") != "" }
