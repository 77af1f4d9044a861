//go:build zmq && cgo

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/supervise/bus"
)

// TestZeroMQ: an outside tool asks and commands in the wire shape of the original,
// a worker is told the address, and events are published.
func TestZeroMQ(t *testing.T) {
	base := freePorts(t)
	b := newBench(t, fmt.Sprintf(`
workers:
  - {worker_id: w, command: "sh -c 'echo $PROCGUARD_ZMQ >endpoint; exec sleep 1000'", restart_delay: 0}
communication: {adapter_type: zmq, adapter_config: {port_base: %d}}
`, base))
	g := b.start()
	endpoint := b.awaitText(g, "endpoint", `^(tcp://127\.0\.0\.1:\d+)$`)[1]
	events := listen(t, fmt.Sprintf("tcp://127.0.0.1:%d", base+1))
	ask := dial(t, endpoint)

	if r := ask("status", "w", nil); r.WorkerID != "w" || r.Status != string(state.Running) || r.Timestamp < 1e9 {
		t.Errorf("status: %+v", r)
	}
	if r := ask("heartbeat", "w", nil); r.Status != string(state.Running) {
		t.Errorf("heartbeat: %+v", r)
	}
	if w := b.worker(g, "w"); w.LastHeartbeat == 0 {
		t.Errorf("no heartbeat in the status: %+v", w.Worker)
	}
	for _, r := range []bus.Response{ask("status", "nobody", nil), ask("dance", "w", nil)} {
		if r.Status != "error" || r.Error == "" {
			t.Errorf("a bad request: %+v", r)
		}
	}
	ask("restart_worker", "w", nil)
	b.await(g, "a restart", func() bool { return b.worker(g, "w").Generation == 2 })
	ask("stop_worker", "w", map[string]any{"force": true})
	b.await(g, "a stop", func() bool { return b.worker(g, "w").PID == 0 })
	ask("start_worker", "w", nil)
	b.await(g, "a start", func() bool { return b.worker(g, "w").Status == state.Running })
	b.await(g, "an event", func() bool { return strings.Contains(events(), `"worker":"w"`) })
	b.stop(g)
}

// freePorts finds two neighbours that nobody listens on.
func freePorts(t *testing.T) int {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		next, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+1))
		l.Close()
		if err == nil {
			next.Close()
			return port
		}
	}
	t.Fatal("no two free ports")
	return 0
}

func socket(t *testing.T, kind zmq4.Type, endpoint string) *zmq4.Socket {
	t.Helper()
	s, err := zmq4.NewSocket(kind)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.SetLinger(0); _ = s.Close() })
	if err := s.SetRcvtimeo(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if err := s.Connect(endpoint); err != nil {
		t.Fatal(err)
	}
	return s
}

func dial(t *testing.T, endpoint string) func(string, string, map[string]any) bus.Response {
	s := socket(t, zmq4.REQ, endpoint)
	return func(command, worker string, kwargs map[string]any) bus.Response {
		t.Helper()
		q, _ := json.Marshal(bus.Request{Command: command, WorkerID: worker, Kwargs: kwargs})
		if _, err := s.SendBytes(q, 0); err != nil {
			t.Fatal(err)
		}
		data, err := s.RecvBytes(0)
		if err != nil {
			t.Fatalf("%s: no answer: %v", command, err)
		}
		var r bus.Response
		if err := json.Unmarshal(data, &r); err != nil {
			t.Fatalf("%s: %v in %q", command, err, data)
		}
		return r
	}
}

// listen returns what gives all that has been published so far.
func listen(t *testing.T, endpoint string) func() string {
	s := socket(t, zmq4.SUB, endpoint)
	if err := s.SetSubscribe(""); err != nil {
		t.Fatal(err)
	}
	var heard strings.Builder
	return func() string {
		for {
			parts, err := s.RecvMessage(zmq4.DONTWAIT)
			if err != nil {
				return heard.String()
			}
			heard.WriteString(strings.Join(parts, " ") + "\n")
		}
	}
}
