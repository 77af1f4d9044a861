package reaper

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	g := newRig(t)
	e, out, err := g.r.Run(context.Background(), Spec{Argv: []string{"/bin/sh", "-c", "echo out; echo err >&2; exit 4"}})
	if err != nil || e.Code() != 4 || string(out.Stdout) != "out\n" || string(out.Stderr) != "err\n" || out.Truncated {
		t.Errorf("got %v %+v %v", e, out, err)
	}
	if len(g.exits)+len(g.gones) != 0 {
		t.Errorf("the callbacks were called: %v %v", g.exits, g.gones)
	}
	var ee *ExecError
	if _, _, err = g.r.Run(context.Background(), Spec{Argv: []string{"/no/such"}}); !errors.As(err, &ee) {
		t.Errorf("got %v", err)
	}
}

// A command that ends but leaves children which hold its output: they die with it.
func TestRunLeavesNothing(t *testing.T) {
	g := newRig(t)
	begin := time.Now()
	e, out, err := g.r.Run(context.Background(), g.sh("h", "sleep 1000 & setsid sleep 1000 & echo done; exit 0"))
	if err != nil || e.Code() != 0 || e.Gone || string(out.Stdout) != "done\n" {
		t.Errorf("got %+v %q %v", e, out.Stdout, err)
	}
	if d := time.Since(begin); d > patience {
		t.Errorf("took %v", d)
	}
	g.noStragglers()
}

func TestRunBoundedByContext(t *testing.T) {
	g := newRig(t)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	e, out, err := g.r.Run(ctx, g.sh("h", `trap "" TERM; setsid sleep 1000 & echo part; sleep 1000`))
	if !errors.Is(err, context.DeadlineExceeded) || e.Signal() != 9 || string(out.Stdout) != "part\n" {
		t.Errorf("got %v %q %v", e, out.Stdout, err)
	}
	g.noStragglers()
	if _, _, err := g.r.Run(ctx, g.sh("h", `exit 0`)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a context that is over: %v", err)
	}
}

func TestRunFlood(t *testing.T) {
	g := newRig(t)
	e, out, err := g.r.Run(context.Background(), g.sh("h", "head -c 3000000 /dev/zero"))
	if err != nil || e.Code() != 0 || len(out.Stdout) != OutputLimit || !out.Truncated {
		t.Errorf("got %v, %d bytes, truncated %v, %v", e, len(out.Stdout), out.Truncated, err)
	}
	if bytes.Trim(out.Stdout, "\x00") != nil && len(bytes.Trim(out.Stdout, "\x00")) > 0 {
		t.Error("wrong bytes")
	}
}

// Helpers run side by side with workers and each other.
func TestRunConcurrently(t *testing.T) {
	g := newRig(t)
	worker := g.spawn(g.sh("w", "setsid sleep 1000 & sleep 1000"))
	done := make(chan error, 20)
	for range cap(done) {
		go func() {
			_, out, err := g.r.Run(context.Background(), Spec{Argv: []string{"/bin/sh", "-c", `echo "$PROCGUARD_INSTANCE"`}})
			if err == nil && !strings.HasPrefix(string(out.Stdout), " run/") {
				err = errors.New("marker is " + string(out.Stdout))
			}
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if err := g.r.Signal(worker, 0, Leader); err != nil {
		t.Errorf("the worker was hit: %v", err)
	}
}
