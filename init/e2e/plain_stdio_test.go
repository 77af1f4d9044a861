//go:build e2e

package e2e

import (
	"os/exec"
	"strings"
	"testing"
)

// TestPlainClosed: standard files that are not open when it starts.
func TestPlainClosed(t *testing.T) {
	for name, redirect := range map[string]string{
		"stdin": "<&-", "stdout": ">&-", "stderr": "2>&-", "all": "<&- >&- 2>&-",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newProbe(t)
			b.run([]string{"--entrypoint", "sh"}, image, "-c", "exec procguard -- /job/probe.sh "+redirect)
			b.proves(b.said)
		})
	}
}

// TestPlainClosedMessages: with no standard error its messages go nowhere, least of
// all into a file of the child's that has taken the number.
func TestPlainClosedMessages(t *testing.T) {
	for name, c := range map[string]struct {
		command string
		code    int
	}{
		"killed":    {"sh -c 'exec 2>/job/own; echo mine >&2; kill -9 $$'", 137},
		"not-found": {"no-such-command", 127},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t, nil)
			b.run([]string{"--entrypoint", "sh"}, image, "-c", "exec procguard -- "+c.command+" <&- >&- 2>&-")
			b.ends(c.code)
			if own := b.read("own"); own != "mine\n" && c.code == 137 {
				t.Errorf("the child's file has %q", own)
			}
		})
	}
}

// TestPlainDescriptors: the child gets those it was given, and none of ours.
func TestPlainDescriptors(t *testing.T) {
	b := newBox(t, nil)
	b.run([]string{"--entrypoint", "sh"}, image, "-c", "exec procguard -- ls /proc/self/fd 7</etc/passwd")
	b.ends(0)
	if got := strings.Fields(b.logs()); strings.Join(got, " ") != "0 1 2 3 7" { // 3 is the directory that ls reads
		t.Errorf("open: %v", got)
	}
}

// TestPlainPiped: -i without -t. Standard input is the child's alone, its end too.
func TestPlainPiped(t *testing.T) {
	b := newBox(t, nil)
	c := exec.Command("docker", b.runArgs([]string{"-i", "--entrypoint", "procguard"}, image, "--", "sh", "-c", "cat; echo code; exit 9")...)
	c.Stdin = strings.NewReader("one\ntwo\n")
	out, _ := c.CombinedOutput() // its exit code is looked at below
	b.ends(9)
	if string(out) != "one\ntwo\ncode\n" {
		t.Errorf("it says %q", out)
	}
}
