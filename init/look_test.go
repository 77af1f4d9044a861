package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/procguard/procguard/supervise"
	"github.com/procguard/procguard/supervise/config"
	"github.com/procguard/procguard/supervise/control"
)

// running answers as the procguard of a state directory.
type running string

func (r running) Status(context.Context) (*control.Status, error) {
	return &control.Status{Verdict: control.Healthy, Running: true, StateDir: string(r), Config: "a.yaml"}, nil
}
func (running) Incidents(context.Context) (any, error)        { return []any{}, nil }
func (running) Incident(context.Context, uint64) (any, error) { return nil, fs.ErrNotExist }

func answerAs(t *testing.T, state, socket string) {
	t.Helper()
	s := control.New(running(state))
	t.Cleanup(s.Close)
	if err := s.Listen(socket); err != nil {
		t.Fatal(err)
	}
}

func TestStatusIsOfTheOneThatWasAskedFor(t *testing.T) {
	d := t.TempDir()
	a, b, link, shared := filepath.Join(d, "a"), filepath.Join(d, "b"), filepath.Join(d, "link"), filepath.Join(d, "shared")
	if err := os.Mkdir(a, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(a, link); err != nil {
		t.Fatal(err)
	}
	answerAs(t, a, shared)
	cfg := config.Default()
	cfg.Control.Socket = shared
	of := func(dir string) place {
		return place{dirs: []string{dir}, sockets: socketsOf(cfg, []string{dir}), config: "b.yaml"}
	}
	for name, p := range map[string]place{"same": of(a), "link": of(link), "anyone": {dirs: []string{b}, sockets: []string{shared}, anyone: true}} {
		if s, err := p.status(); err != nil || s.StateDir != a {
			t.Errorf("%s: %+v, %v, want that of %s", name, s, err, a)
		}
	}
	if s, err := of(b).status(); err == nil || !strings.Contains(err.Error(), "no procguard answers") {
		t.Errorf("nobody runs on b, but: %+v, %v", s, err)
	}
	if list, err := of(b).incidents(); err == nil {
		t.Errorf("incidents of another: %v", list)
	}
	// Beside the state the directory may have another name, in another container.
	answerAs(t, "/state", filepath.Join(b, "procguard.sock"))
	if s, err := of(b).status(); err != nil || s.StateDir != "/state" {
		t.Errorf("beside the state: %+v, %v", s, err)
	}
}

func TestStatusOfOneInMemoryGoesByItsConfiguration(t *testing.T) {
	d := t.TempDir()
	shared := filepath.Join(d, "shared")
	answerAs(t, "", shared)
	p := place{dirs: []string{filepath.Join(d, "state")}, sockets: []string{shared}, config: "/etc/a.yaml"}
	if _, err := p.status(); err != nil {
		t.Errorf("its own configuration: %v", err)
	}
	p.config = "b.yaml"
	if s, err := p.status(); err == nil {
		t.Errorf("another configuration: %+v", s)
	}
}

func TestSocketPathsBesideTheStateComeFirst(t *testing.T) {
	cfg := config.Default()
	long := "/" + strings.Repeat("d", control.MaxPath-len("//procguard.sock"))
	for dir, want := range map[string]string{
		"":         "/run/procguard.sock",
		"/s":       "/s/procguard.sock /run/procguard.sock",
		long:       long + "/procguard.sock /run/procguard.sock",
		long + "d": "/run/procguard.sock",
	} {
		if got := strings.Join(supervise.SocketPaths(cfg, dir), " "); got != want {
			t.Errorf("%s: %s, want %s", dir, got, want)
		}
	}
	if cfg.Control.SocketSet = true; len(supervise.SocketPaths(cfg, "/s")) != 1 {
		t.Error("an explicit socket is the only one")
	}
}
