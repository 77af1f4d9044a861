//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

func TestPlainScratch(t *testing.T) {
	b := newBox(t, nil)
	b.run([]string{"--entrypoint", "/procguard"}, b.scratchImage(), "--", "/child", "serve", "5")
	b.proves(func() string { return b.logs() + "\n" })
}

// TestPlainPlaces: the same duties, wherever it has to run. The engine's own
// seccomp and AppArmor profiles are in force.
func TestPlainPlaces(t *testing.T) {
	everything := []string{"--read-only", "--user", "1000", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", "40", "-m", "32m"}
	for name, opts := range map[string][]string{
		"default":                nil,
		"read-only-root":         {"--read-only"},
		"user":                   {"--user", "1000"},
		"user-and-group-unknown": {"--user", "4242:4243"},
		"no-capabilities":        {"--cap-drop", "ALL"},
		"no-new-privileges":      {"--security-opt", "no-new-privileges"},
		"pids-limit":             {"--pids-limit", "20"},
		"little-memory":          {"-m", "16m"},
		"no-cgroups-to-see":      {"--tmpfs", "/sys/fs/cgroup"},
		"all-of-it":              everything,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newProbe(t, opts...)
			b.start("--", "/job/probe.sh")
			b.proves(b.said)
		})
	}
}

// TestPlainTakenAway: what is usually there is unmounted before it starts.
func TestPlainTakenAway(t *testing.T) {
	opts := []string{"--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--entrypoint", "sh"}
	for name, command := range map[string]string{
		"no-proc":            "umount -l /proc && ! test -e /proc/self",
		"no-pids-controller": "umount -l /sys/fs/cgroup/pids 2>/dev/null || umount -l /sys/fs/cgroup",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newProbe(t)
			b.run(opts, image, "-c", "("+command+") && exec procguard -- /job/probe.sh")
			b.proves(b.said)
		})
	}
}

// TestPlainBig: a long command line and a large environment go through.
func TestPlainBig(t *testing.T) {
	b := newBox(t, nil, "-e", "BIG="+strings.Repeat("x", 100_000))
	args := []string{"--", "sh", "-c", "echo ${#BIG} $# ${#1}", "sh"}
	for range 1000 {
		args = append(args, strings.Repeat("y", 100))
	}
	b.start(args...)
	b.ends(0)
	if got := b.logs(); got != "100000 1000 100" {
		t.Errorf("it says %s", got)
	}
}

// TestPlainInherited: whatever was ignored or blocked when it started, the child
// has defaults, and PID 1 its signals.
func TestPlainInherited(t *testing.T) {
	const from = `use POSIX; $SIG{$_} = "IGNORE" for qw(PIPE CHLD HUP USR1 TERM);
sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGTERM, SIGUSR1, SIGCHLD, 39)); exec "procguard", "--", @ARGV`
	t.Run("child", func(t *testing.T) {
		t.Parallel()
		b := newBox(t, nil)
		b.run([]string{"--entrypoint", "perl"}, image, "-e", from, "grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status")
		b.ends(0)
		want := fmt.Sprintf("SigBlk:\t%016d\nSigIgn:\t%016d", 0, 0)
		if got := b.logs(); got != want {
			t.Errorf("it has\n%s", got)
		}
	})
	t.Run("init", func(t *testing.T) {
		t.Parallel()
		b := newProbe(t)
		b.run([]string{"--entrypoint", "perl"}, image, "-e", from, "/job/probe.sh")
		b.proves(b.said)
	})
}
