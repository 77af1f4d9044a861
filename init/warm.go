package main

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// warm makes the Go runtime create n threads now and keep them. It aborts the
// program when it cannot have a thread that it needs, and a fork bomb of a worker
// that has used up the container's pids is just when PID 1 is needed; threads
// that exist already are parked, never given back. Where little is allowed, less
// is taken.
func warm(n int) {
	n = min(n, allowedTasks()/4)
	release := make(chan struct{})
	var started, done sync.WaitGroup
	for range n {
		started.Add(1)
		done.Go(func() {
			runtime.LockOSThread() // while locked and waiting, a goroutine keeps its thread
			defer runtime.UnlockOSThread()
			started.Done()
			<-release
		})
	}
	started.Wait()
	close(release)
	done.Wait()
}

// allowedTasks is the least of the limits on threads and processes that are
// easily known; a large number if there is none.
func allowedTasks() int {
	least := 1 << 20
	var lim syscall.Rlimit
	if syscall.Getrlimit(unix.RLIMIT_NPROC, &lim) == nil && lim.Cur < uint64(least) {
		least = int(lim.Cur)
	}
	// cgroup v2 and v1, as a container sees its own
	for _, path := range []string{"/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"} {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if v, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil {
			least = min(least, v)
		}
	}
	return least
}
