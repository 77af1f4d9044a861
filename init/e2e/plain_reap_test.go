//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// manyOrphans are double forks, each of whose grandchildren ends on its own.
const manyOrphans = `
$SIG{TERM} = sub { exit 5 };
for (1 .. 10000) {
	my $p = fork // die "fork: $!";
	if (!$p) { if (!fork) { exit 3 } exit 0 }
	waitpid $p, 0;
}
open my $f, ">", "/job/said"; print $f "ready\n"; close $f;
sleep 1 while 1;
`

func TestPlainReapsTenThousand(t *testing.T) {
	b := newBox(t, map[string]string{"many.pl": manyOrphans})
	b.start("--", "perl", "/job/many.pl")
	b.eventually("ready", func() bool { return b.said() == "ready\n" })
	b.reaped()
	if left := children(b.pid()); len(left) != 1 {
		t.Errorf("children: %+v", left)
	}
	b.docker("stop", "-t", "30", b.name)
	b.ends(5)
	b.calm()
}

// TestPlainReapsOfExec: what `docker exec` leaves behind is ours as well.
func TestPlainReapsOfExec(t *testing.T) {
	b := newProbe(t)
	b.start("--", "/job/probe.sh")
	b.eventually("ready", func() bool { return b.said() != "" })
	b.docker("exec", b.name, "sh", "-c", "(sh -c 'while test ! -e /job/go; do sleep 0.02; done; exit 3' &)")
	pid := b.pid()
	b.eventually("an orphan", func() bool { return len(children(pid)) == 2 })
	b.file("go", "")
	b.eventually("none", func() bool { return len(children(pid)) == 1 })
	b.proves(b.said)
}

// bomb fills whatever limit there is with processes that fork twice and end. It
// says when it has been refused, and how many it has made.
const bomb = `
sub say_ { open my $f, ">>", "/job/said"; print $f "@_\n"; close $f }
sub nap { select undef, undef, undef, 0.002 }
$SIG{USR1} = sub { say_("got 10") };
$SIG{TERM} = sub { say_("got 15"); exit 5 };
for (1 .. 8) { my $p = fork; bomb() if defined $p && !$p }
say_("ready");
select undef, undef, undef, 0.05 while 1;

sub bomb {
	$SIG{USR1} = $SIG{TERM} = "DEFAULT";
	my ($made, $refused) = (0, 0);
	while (1) {
		my $p = fork;
		if (!defined $p) { say_("refused") unless $refused++; nap; next }
		if (!$p) { fork; nap; exit 3 }
		waitpid $p, 0;
		say_("made 200") if ++$made == 200;
	}
}
`

// TestPlainForkBomb: under a limit on processes that is used up, PID 1 lives, makes
// room by reaping, and passes signals on.
func TestPlainForkBomb(t *testing.T) {
	b := newBox(t, map[string]string{"bomb.pl": bomb}, "--pids-limit", "20")
	b.start("--", "perl", "/job/bomb.pl")
	b.eventually("refusals", func() bool { return strings.Contains(b.said(), "refused\n") })
	b.eventually("more than fit", func() bool { return strings.Contains(b.said(), "made 200\n") })
	b.docker("kill", "-s", "USR1", b.name)
	b.eventually("USR1", func() bool { return strings.Contains(b.said(), "got 10\n") })
	b.docker("stop", "-t", "30", b.name)
	b.ends(5)
	b.calm()
}

// TestPlainFewProcesses: under any limit it works, or says why not. It never
// crashes.
func TestPlainFewProcesses(t *testing.T) {
	for limit := 1; limit <= 10; limit++ {
		t.Run(strconv.Itoa(limit), func(t *testing.T) {
			t.Parallel()
			b := newBox(t, nil, "--pids-limit", strconv.Itoa(limit))
			b.start("--", "sh", "-c", "exit 7")
			code := b.code()
			b.calm()
			switch {
			case code == 7 && b.logs() == "":
			case code == 125 && strings.HasPrefix(b.logs(), "procguard: "):
			default:
				t.Errorf("exit %d, and it says %.200s", code, b.logs())
			}
			if limit >= 10 && code != 7 {
				t.Errorf("it does not run under a limit of %d", limit)
			}
		})
	}
}

// code waits for the end of the container.
func (b *box) code() int {
	b.Helper()
	n, err := strconv.Atoi(b.docker("wait", b.name))
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// TestPlainHostPIDs: it is not PID 1, and its neighbours are none of its business.
// A daemon that left the session and the group of the child is found and asked to
// end; a process that PID 1 did not start stays as it is.
func TestPlainHostPIDs(t *testing.T) {
	const daemon = `trap 'echo asked >/job/daemon; exit' TERM; echo $$ >/job/daemon.pid; while :; do sleep 0.05; done`
	const around = `sh -c 'trap "echo asked >/job/neighbour" TERM; while :; do sleep 0.05; done' & n=$!
procguard -s --kill-orphans --grace 20s -- sh -c 'setsid sh /job/daemon.sh 2>/dev/null & until test -s /job/daemon.pid; do sleep 0.02; done; exit 4'
echo code $?
kill -0 $n && echo neighbour lives
kill -0 $(cat /job/daemon.pid) 2>/dev/null || echo daemon gone
kill -9 $n
`
	b := newBox(t, map[string]string{"daemon.sh": "(" + daemon + ") & exit\n", "around.sh": around}, "--pid", "host")
	b.run([]string{"--entrypoint", "sh"}, image, "/job/around.sh")
	b.ends(0)
	want := []string{"code 4", "neighbour lives", "daemon gone"}
	if got := b.logs(); !slices.Equal(strings.Split(got, "\n"), want) {
		t.Errorf("it says %s", got)
	}
	if b.read("daemon") != "asked\n" || b.read("neighbour") != "" {
		t.Errorf("daemon %q, neighbour %q", b.read("daemon"), b.read("neighbour"))
	}
}

// TestPlainHostPIDsDuties: with -s it reaps and forwards as PID 1 does.
func TestPlainHostPIDsDuties(t *testing.T) {
	b := newProbe(t, "--pid", "host")
	b.start("-s", "--", "/job/probe.sh")
	b.eventually("ready", func() bool { return strings.Contains(b.said(), fmt.Sprintf("ready, parent %d\n", b.pid())) })
	b.eventually("no orphans", func() bool { return len(children(b.pid())) == 1 })
	b.docker("kill", "-s", "USR1", b.name)
	b.eventually("USR1", func() bool { return strings.Contains(b.said(), "got 10\n") })
	b.docker("stop", "-t", "30", b.name)
	b.ends(5)
}
