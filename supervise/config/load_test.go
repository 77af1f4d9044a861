package config

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

func load(t testing.TB, file string) *Config {
	t.Helper()
	cfg, err := Load(file, environ())
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestSeedDocument checks each key of the original's document, and every default
// of what it does not say.
func TestSeedDocument(t *testing.T) {
	cfg := load(t, "testdata/good/seed.yaml")
	want := seedConfig()
	want.File, want.Node, want.Workers[0].Node = "testdata/good/seed.yaml", "node-1", "node-1"
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("got:\n%+v\nwant:\n%+v", cfg, want)
	}
}

func seedConfig() *Config {
	return &Config{
		Workers: []Worker{{
			ID: "worker_0", Entry: "worker_0", Replicas: 1, MinReplicas: 1,
			Command: []string{"python", "train.py"}, WorkingDir: "/path/to/project",
			Env: map[string]string{"CUDA_VISIBLE_DEVICES": "0"}, PIDFile: "/tmp/worker.pid",
			Type: "training", Group: "default", HealthCheckURL: "http://127.0.0.1:8080/health",
			Restart: "on-failure", MaxRestarts: 3, RestartDelay: 5 * time.Second,
			Backoff:        Backoff{Factor: 2, Max: time.Minute, Jitter: 0.1, ResetAfter: 10 * time.Minute},
			Stop:           Stop{Signal: syscall.SIGTERM, Grace: 30 * time.Second, To: "leader"},
			StartupTimeout: 10 * time.Minute, Rlimits: map[string]Rlimit{},
			HeartbeatFloor: 30 * time.Second, OnHang: "restart", DumpTimeout: 10 * time.Second, MaxCPUWindow: time.Minute,
			Clean: Clean{Port: true, GPU: "auto"},
			Logs:  Logs{Console: true, Files: true, MaxSize: 100 << 20, MaxFiles: 5, Format: "text"},
		}},
		Monitoring: Monitoring{Interval: time.Second, HeartbeatTimeout: 10 * time.Second, ZombieDetection: true, CPUThreshold: 0.1, MemoryThreshold: 0.1},
		Recovery: Recovery{EnableAutoRecovery: true, StopAllOnFailure: true, TaskReassignment: true, RecoveryTimeout: time.Minute, MaxRecoveryAttempts: 3,
			SameFailureLimit: 3, NoProgressExit: true},
		Communication: Communication{AdapterType: "mock",
			AdapterConfig: AdapterConfig{Host: "127.0.0.1", PortBase: 5550, Timeout: time.Second}},
		Logging: Logging{Level: "INFO", File: "logs/procguard.log", Format: "text"},
		State:   State{Dir: "/var/lib/procguard", KeepIncidents: 50, SyncTimeout: 500 * time.Millisecond},
		Control: Control{Socket: "/run/procguard.sock"},
	}
}

// TestDefaultsAreTheSeeds leaves out everything that can be left out.
func TestDefaultsAreTheSeeds(t *testing.T) {
	cfg := mustParse(t, "workers: [{worker_id: w, command: x}]")
	want := seedConfig()
	want.File, want.Node, want.Logging.File = "test.yaml", "node-1", ""
	w := &want.Workers[0]
	w.ID, w.Entry, w.Command, w.WorkingDir, w.Env = "w", "w", []string{"x"}, "", map[string]string{}
	w.PIDFile, w.Type, w.HealthCheckURL, w.Node = "", "default", "", "node-1"
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("got:\n%+v\nwant:\n%+v", cfg, want)
	}
}

// TestEveryKey compares a file that uses every key with its golden Config.
func TestEveryKey(t *testing.T) {
	file, err := os.ReadFile("testdata/good/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range table().sections {
		for _, k := range s.keys {
			if !strings.Contains(string(file), k.name+":") {
				t.Errorf("full.yaml does not use %s %s", s.name, k.name)
			}
		}
	}
	text, err := json.MarshalIndent(load(t, "testdata/good/full.yaml"), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/good/full.json", string(text)+"\n")
}

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big.yaml")
	if err := os.WriteFile(big, []byte(strings.Repeat("# ten megabytes\n", 10<<20/16)), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		filepath.Join(dir, "none.yaml"): "cannot read: no such file or directory",
		dir:                             "is a directory, expected a file",
		big:                             "the file is too large: 10485760 bytes, at most 4194304 are read",
	} {
		begin := time.Now()
		_, err := Load(file, nil)
		if err == nil || err.Error() != file+": "+want {
			t.Errorf("%v, want %s", err, want)
		}
		if spent := time.Since(begin); spent > 20*time.Second {
			t.Errorf("%s took %v", file, spent)
		}
	}
	if _, err := Load(filepath.Join(dir, "none.yaml"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the cause is lost: %v", err)
	}
}

// TestLoadPipe reads what a shell passes as <(...).
func TestLoadPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error, 1)
	go func() { wrote <- os.WriteFile(path, []byte("workers: [{worker_id: w, command: x}]"), 0) }()
	cfg, err := Load(path, environ())
	if err != nil || len(cfg.Workers) != 1 {
		t.Errorf("%v, %v", cfg, err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}

func TestParseTooLarge(t *testing.T) {
	_, err := Parse("big", make([]byte, MaxFileSize+1), nil)
	if err == nil || !strings.Contains(err.Error(), "too large") {
		t.Error(err)
	}
}

// TestManyMistakes keeps the message for a hopeless file finite.
func TestManyMistakes(t *testing.T) {
	got := mistakesIn(t, "workers:\n"+strings.Repeat("- {}\n", 5000))
	if n := strings.Count(got, "\n"); n != maxErrors || !strings.HasSuffix(got, "test.yaml: and 9500 more mistakes") {
		t.Errorf("%d lines, ending %q", n, got[len(got)-60:])
	}
}

func TestNodeName(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	none := func(string) (string, bool) { return "", false }
	cfg, err := Parse("x", []byte("workers: [{worker_id: w, command: x}]"), none)
	if err != nil || cfg.Node != host || cfg.Workers[0].Node != host {
		t.Errorf("%+v, %v", cfg, err)
	}
}

// TestByHand compares what programs start from with what a file gives.
func TestByHand(t *testing.T) {
	cfg, err := Parse("x", []byte("workers: [{worker_id: w, command: [x, y], launcher: none}]"), nil)
	if err != nil {
		t.Fatal(err)
	}
	w := NewWorker("w", "x", "y")
	w.Env, w.Rlimits = map[string]string{}, map[string]Rlimit{}
	if !reflect.DeepEqual(w, cfg.Workers[0]) {
		t.Errorf("got:\n%+v\nwant:\n%+v", w, cfg.Workers[0])
	}
	d := Default()
	if d.File = "x"; d.Workers != nil {
		t.Errorf("workers %v", d.Workers)
	}
	if d.Workers = cfg.Workers; !reflect.DeepEqual(d, cfg) {
		t.Errorf("got:\n%+v\nwant:\n%+v", d, cfg)
	}
}
