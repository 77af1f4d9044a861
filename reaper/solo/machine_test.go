package solo

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write the plays' actions anew")

// TestPlays runs testdata/*.txt. A line that starts with "options" starts a new machine;
// any other that is not indented and no comment is a time in seconds and an event; what
// is indented below it are the actions that it has to give.
func TestPlays(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	if len(files) == 0 {
		t.Fatal("no plays")
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got := perform(t, string(b))
			if *update {
				if err := os.WriteFile(f, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(b) {
				t.Errorf("the play goes differently:\n%s", got)
			}
		})
	}
}

func perform(t *testing.T, play string) string {
	var out strings.Builder
	var m *machine
	for _, line := range strings.Split(strings.TrimRight(play, "\n"), "\n") {
		if strings.HasPrefix(line, "\t") {
			continue
		}
		out.WriteString(line + "\n")
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0][0] == '#':
		case words[0] == "options":
			m = newMachine(t, words[1:])
		default:
			at, err := strconv.ParseFloat(words[0], 64)
			if err != nil {
				t.Fatalf("%q: no time", line)
			}
			now := time.Unix(1000, 0).Add(time.Duration(at * float64(time.Second)))
			for _, a := range m.step(now, eventOf(t, words[1:])) {
				fmt.Fprintf(&out, "\t%s\n", showAction(a))
			}
			if !m.deadline.IsZero() {
				fmt.Fprintf(&out, "\t(deadline %v)\n", m.deadline.Sub(time.Unix(1000, 0)).Seconds())
			}
		}
	}
	return out.String()
}

func newMachine(t *testing.T, words []string) *machine {
	o := &Options{Argv: []string{"cmd"}, Verbose: 2, Rewrite: map[syscall.Signal]syscall.Signal{}}
	m := &machine{o: o}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "pid1":
			m.alone = true
		case "leader":
			m.leader = true
		case "shell":
			m.shell = true
		case "group":
			o.Group = true
		case "session":
			o.Own, o.Group = OwnSession, true
		case "nothing":
			o.Own = OwnNothing
		case "pause":
			o.Pause = true
		case "killorphans":
			o.KillOrphans = true
		case "prestop":
			o.PreStop = []string{"hook"}
		case "grace":
			o.Grace, _ = time.ParseDuration(value)
		case "stopsignal":
			o.StopSignal = unix.SignalNum("SIG" + value)
		case "farewell":
			o.Farewell = unix.SignalNum("SIG" + value)
		case "rewrite":
			from, to, _ := strings.Cut(value, ":")
			o.Rewrite[unix.SignalNum("SIG"+from)] = unix.SignalNum("SIG" + to)
		default:
			t.Fatalf("no option %q", w)
		}
	}
	return m
}

func eventOf(t *testing.T, words []string) event {
	has := func(w string) bool { return strings.Contains(" "+strings.Join(words, " ")+" ", " "+w+" ") }
	switch words[0] {
	case "ended":
		return ended{}
	case "hooked":
		return hooked{}
	case "empty":
		return empty{}
	case "tick":
		return tick{}
	case "continued":
		return continued{}
	case "stopped":
		return stopped{sig: unix.SignalNum("SIG" + words[1]), ours: has("ours")}
	}
	sig := unix.SignalNum("SIG" + words[0])
	if n, err := strconv.Atoi(words[0]); err == nil {
		sig = syscall.Signal(n)
	}
	if sig == 0 {
		t.Fatalf("no event %q", words)
	}
	return caught{sig: sig, kernel: has("kernel"), self: has("self"), queued: has("queued"), value: 7}
}

func showAction(a action) string {
	switch a := a.(type) {
	case send:
		s := "send " + name(a.sig)
		if a.group {
			s += " to the group"
		}
		if a.queued {
			s += fmt.Sprintf(" value %d", a.value)
		}
		return s
	case sendRest:
		return "send " + name(a.sig) + " to the rest"
	case say:
		return fmt.Sprintf("say %d %s", a.level, a.text)
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", a), "solo.")
}
