package early

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/procguard/procguard/reaper/catch"
)

func TestMain(m *testing.M) {
	if os.Getenv("EARLY_TEST_ROLE") == "" {
		os.Exit(m.Run())
	}
	r, w := catch.Files()
	fmt.Fprintln(os.NewFile(9, "out"), r, w)
}

// Where standard files were closed the queue must not become the command's input or output.
func TestQueueIsNoStandardFile(t *testing.T) {
	exe, _ := os.Executable()
	for _, closed := range []string{"<&-", ">&-", "<&- >&-", "<&- >&- 2>&-"} {
		cmd := exec.Command("sh", "-c", `exec 9>&1; exec "$0" `+closed, exe)
		cmd.Env = append(os.Environ(), "EARLY_TEST_ROLE=1")
		out, err := cmd.Output()
		var r, w int
		if _, scan := fmt.Sscan(string(out), &r, &w); err != nil || scan != nil || r <= 2 || w <= 2 {
			t.Errorf("%s: %q, %v", closed, out, err)
		}
	}
}
