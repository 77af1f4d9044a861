//go:build ignore

// A worker that says that it is alive, with Go's standard library alone. It takes ten
// steps. In its first life it spins at the fifth, as in a loop that waits for a peer.
package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// notify tells ProcGuard something, see sd_notify(3). Without ProcGuard nothing happens.
func notify(lines ...string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	c, err := net.Dial("unixgram", path)
	if err != nil {
		return // ProcGuard is being restarted; work goes on
	}
	defer c.Close()
	_, _ = c.Write([]byte(strings.Join(lines, "\n")))
}

// beat is a heartbeat, two ways; one is enough. The step must grow, else there is no
// progress.
func beat(step int) {
	notify("WATCHDOG=1", fmt.Sprintf("X_STEP=%d", step))
	if path := os.Getenv("PROCGUARD_HEARTBEAT_FILE"); path != "" {
		_ = os.WriteFile(path, nil, 0o644)
	}
}

func main() {
	notify("READY=1")
	for step := 1; step <= 10; step++ {
		time.Sleep(300 * time.Millisecond)
		beat(step)
		if step == 5 && os.Getenv("PROCGUARD_RESTART_COUNT") == "0" {
			fmt.Println("go: spins")
			for {
			}
		}
	}
	notify("STOPPING=1")
	fmt.Println("go: ten steps done")
}
