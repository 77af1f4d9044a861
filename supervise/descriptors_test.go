package supervise

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/procguard/procguard/supervise/fleet"
)

// TestFewOpenFiles: with a low limit of open files only those get a socket that are watched
// by it, and all start.
func TestFewOpenFiles(t *testing.T) {
	var was syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was))
	low := was
	low.Cur = 170
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low))
	defer func() { must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was)) }()
	with, without := sh("with", `echo socket:$NOTIFY_SOCKET:; exec sleep 1000`), sh("without", `echo socket:$NOTIFY_SOCKET:; exec sleep 1000`)
	with.Ready.Notify = true
	r := start(t, settings(t, with, without), Options{})
	r.await("they run", func(s fleet.Status) bool { return find(s, "with").PID != 0 && find(s, "without").State == "running" })
	for !strings.Contains(r.out.String(), "socket:/") || !strings.Contains(r.out.String(), "socket::") {
		if r.ctx.Err() != nil {
			t.Fatal("the sockets are not as they should be")
		}
		time.Sleep(time.Millisecond)
	}
	if !strings.Contains(r.out.String(), "the limit of open files is low") {
		t.Error("it is not said")
	}
}
