package bustest

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/procguard/procguard/supervise/bus"
)

func (s suite) answer(t *testing.T) {
	got := make(chan bus.Request, 1)
	b, p := s.start(t, options(), func(_ context.Context, r bus.Request) bus.Response {
		got <- r
		return bus.Response{WorkerID: "other", Status: "stopped", Timestamp: 12.5, Error: "why"}
	})
	resp := ask(t, p, []byte(`{"command":"stop","worker_id":"w0","kwargs":{"force":true,"n":2},"later":"field"}`))
	if want := (bus.Response{WorkerID: "other", Status: "stopped", Timestamp: 12.5, Error: "why"}); resp != want {
		t.Errorf("answer %+v, want %+v", resp, want)
	}
	want := bus.Request{Command: "stop", WorkerID: "w0", Kwargs: map[string]any{"force": true, "n": 2.0}}
	r := <-got
	if r.From = ""; !reflect.DeepEqual(r, want) { // the name of a key is not the peer's to say
		t.Errorf("request %+v, want %+v", r, want)
	}
	if n := b.Stats().Requests; n != 1 {
		t.Errorf("requests counted: %d", n)
	}
}

func (s suite) defaults(t *testing.T) {
	_, p := s.start(t, options(), func(_ context.Context, r bus.Request) bus.Response {
		if r.Command == "heartbeat" {
			return bus.Response{}
		}
		return bus.Response{Error: "no such command"}
	})
	before := float64(time.Now().UnixNano()) / 1e9
	answer, err := p.Call(t.Context(), []byte(`{"command":"heartbeat","worker_id":"w0","kwargs":null}`))
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(answer, &fields); err != nil {
		t.Fatal(err)
	}
	if at, ok := fields["timestamp"].(float64); !ok || at < before-1e-3 || at > before+patience.Seconds() {
		t.Errorf("timestamp %v, want about %f", fields["timestamp"], before)
	}
	delete(fields, "timestamp")
	if want := map[string]any{"worker_id": "w0", "status": "ok"}; !reflect.DeepEqual(fields, want) {
		t.Errorf("answer %v, want %v and a timestamp", fields, want)
	}
	if resp := ask(t, p, []byte(`{"command":"dance"}`)); resp.Status != "error" || resp.Error != "no such command" {
		t.Errorf("answer %+v, want an error", resp)
	}
}

func (s suite) malformed(t *testing.T) {
	b, p := s.start(t, options(), echo)
	cases := map[string]string{
		"empty":             "",
		"blank":             "  ",
		"not JSON":          "stop w0",
		"cut":               `{"command":"heartbeat"`,
		"two":               `{"command":"heartbeat"}{}`,
		"an array":          `["heartbeat"]`,
		"null":              `null`,
		"no command":        `{"worker_id":"w0"}`,
		"command no string": `{"command":7}`,
		"kwargs no object":  `{"command":"stop","kwargs":[1]}`,
		"long command":      `{"command":"` + strings.Repeat("x", 300) + `"}`,
		"long worker":       `{"command":"x","worker_id":"` + strings.Repeat("x", 300) + `"}`,
		"not UTF-8":         "{\"command\":\"\xff\"}",
		"too long":          `{"command":"x","kwargs":{"a":"` + strings.Repeat("y", bus.MaxRequest) + `"}}`,
		"deep":              `{"command":"x","kwargs":{"a":` + strings.Repeat("[", 30000) + strings.Repeat("]", 30000) + `}}`,
	}
	for name, f := range cases {
		if resp := ask(t, p, []byte(f)); resp.Status != "error" || resp.Error == "" || resp.Timestamp == 0 {
			t.Errorf("%s: answer %+v, want an error with a text", name, resp)
		}
	}
	if n := b.Stats().Malformed; n != uint64(len(cases)) {
		t.Errorf("malformed counted: %d, want %d", n, len(cases))
	}
	if resp := ask(t, p, []byte(`{"command":"heartbeat"}`)); resp.Status != "running" {
		t.Errorf("after all that: %+v", resp)
	}
}

// held checks that a command which takes long holds up nobody else.
func (s suite) held(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	_, p := s.start(t, options(), func(_ context.Context, r bus.Request) bus.Response {
		if r.Command == "slow" {
			close(entered)
			<-release
		}
		return bus.Response{}
	})
	answer := make(chan error, 1)
	go func() {
		_, err := try(p, []byte(`{"command":"slow"}`))
		answer <- err
	}()
	<-entered
	for range 20 {
		if resp := ask(t, p, []byte(`{"command":"heartbeat"}`)); resp.Status != "ok" {
			t.Errorf("heartbeat answered %+v", resp)
		}
	}
	close(release)
	if err := <-answer; err != nil {
		t.Error(err)
	}
}

// late checks that a peer hears in time of a command that does not end.
func (s suite) late(t *testing.T) {
	o := options()
	o.Timeout = 200 * time.Millisecond
	b, p := s.start(t, o, func(ctx context.Context, _ bus.Request) bus.Response {
		<-ctx.Done()
		return bus.Response{}
	})
	resp := ask(t, p, []byte(`{"command":"slow","worker_id":"w1"}`))
	if resp.Status != "error" || resp.WorkerID != "w1" || resp.Error != "no answer within 200ms" {
		t.Errorf("answer to the slow command: %+v", resp)
	}
	if n := b.Stats().Expired; n != 1 {
		t.Errorf("expired counted: %d", n)
	}
}

func (s suite) busy(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan struct{}, bus.MaxInFlight)
	b, p := s.start(t, options(), func(_ context.Context, r bus.Request) bus.Response {
		if r.Command == "hold" {
			entered <- struct{}{}
			<-release
		}
		return bus.Response{}
	})
	var held sync.WaitGroup
	for range bus.MaxInFlight {
		held.Go(func() {
			if resp, err := try(p, []byte(`{"command":"hold"}`)); err != nil || resp.Status != "ok" {
				t.Errorf("held request: %+v, %v", resp, err)
			}
		})
	}
	for range bus.MaxInFlight {
		<-entered
	}
	if resp := ask(t, p, []byte(`{"command":"one more"}`)); !strings.HasPrefix(resp.Error, "busy") {
		t.Errorf("answer %+v, want busy", resp)
	}
	close(release)
	within(t, "held requests", held.Wait)
	if st := b.Stats(); st.Busy != 1 || st.Requests != bus.MaxInFlight {
		t.Errorf("counted %+v", st)
	}
}

func (s suite) many(t *testing.T) {
	const peers, calls = 8, 50
	b, p := s.start(t, options(), echo)
	var all sync.WaitGroup
	for i := range peers {
		id := fmt.Sprintf("w%d", i)
		f := frame(t, bus.Request{Command: "heartbeat", WorkerID: id})
		all.Go(func() {
			for range calls {
				if resp, err := try(p, f); err != nil || resp.WorkerID != id {
					t.Errorf("%s was answered %+v, %v", id, resp, err)
					return
				}
			}
		})
	}
	within(t, "calls", all.Wait)
	if n := b.Stats().Requests; n != peers*calls {
		t.Errorf("requests counted: %d, want %d", n, peers*calls)
	}
}
