package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/procguard/procguard/supervise/bus/curve"
)

func TestOptionsCheck(t *testing.T) {
	good := Options{Host: "127.0.0.1", PortBase: 5550, Timeout: time.Second}
	cases := []struct {
		name   string
		change func(*Options)
		want   string // part of the error; empty: accepted
	}{
		{"the seed's defaults", func(*Options) {}, ""},
		{"localhost", func(o *Options) { o.Host = "LocalHost" }, ""},
		{"another loopback address", func(o *Options) { o.Host = "127.3.4.5" }, ""},
		{"IPv6 loopback", func(o *Options) { o.Host = "::1" }, ""},
		{"any free ports", func(o *Options) { o.PortBase = 0 }, ""},
		{"last port", func(o *Options) { o.PortBase = 65534 }, ""},
		{"all interfaces", func(o *Options) { o.Host = "0.0.0.0" }, "no keys"},
		{"all interfaces, insecure", func(o *Options) { o.Host, o.Insecure = "0.0.0.0", true }, ""},
		{"ZeroMQ's wildcard", func(o *Options) { o.Host = "*" }, "no keys"},
		{"IPv6 wildcard", func(o *Options) { o.Host = "::" }, "no keys"},
		{"a name", func(o *Options) { o.Host = "trainer-0" }, "no keys"},
		{"a name that pretends", func(o *Options) { o.Host = "127.0.0.1.example.org" }, "no keys"},
		{"all interfaces, keys", func(o *Options) { o.Host, o.Keys = "0.0.0.0", ring(t) }, ""},
		{"keys that are none", func(o *Options) { o.Keys = &curve.Ring{} }, "secret key"},
		{"no host", func(o *Options) { o.Host = "" }, "host is empty"},
		{"no room for the second port", func(o *Options) { o.PortBase = 65535 }, "port_base"},
		{"negative port", func(o *Options) { o.PortBase = -1 }, "port_base"},
		{"no timeout", func(o *Options) { o.Timeout = 0 }, "timeout"},
	}
	for _, c := range cases {
		o := good
		c.change(&o)
		err := o.Check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

func ring(t *testing.T) *curve.Ring {
	t.Helper()
	secret, _, err := curve.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return &curve.Ring{Secret: secret}
}

func TestDecodeAcceptsTheSeedsShape(t *testing.T) {
	got, err := Decode([]byte(" \n{\"command\":\"start\",\"worker_id\":\"w\",\"kwargs\":{\"a\":[1,{}]},\"x\":1}\n"))
	want := Request{Command: "start", WorkerID: "w", Kwargs: map[string]any{"a": []any{1.0, map[string]any{}}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestEncodeSurvivesAnyTimestamp(t *testing.T) {
	for _, at := range []float64{math.NaN(), math.Inf(1)} {
		var r Response
		if err := json.Unmarshal(Encode(Response{WorkerID: "w", Timestamp: at}), &r); err != nil || r.Status != "error" {
			t.Errorf("timestamp %v: %+v, %v", at, r, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"command":"heartbeat","worker_id":"w0","kwargs":{}}`, `{}`, `[]`, ``, `{"command":"x","kwargs":null}`,
		`{"command":"x","kwargs":{"a":1e999}}`, "{\"command\":\"\u0000\"}", `{"COMMAND":"x"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		r, err := Decode(frame)
		if err != nil {
			if !reflect.DeepEqual(r, Request{}) {
				t.Fatalf("half a request beside the error: %+v", r)
			}
			return
		}
		if r.Command == "" || len(r.Command) > maxName || len(r.WorkerID) > maxName {
			t.Fatalf("accepted %+v", r)
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if r2, err := Decode(again); len(again) <= MaxRequest && (err != nil || !reflect.DeepEqual(r, r2)) {
			t.Fatalf("%+v became %+v, %v", r, r2, err)
		}
	})
}

// A handler that ignores the end of its context keeps its slot, so that it cannot pile up goroutines.
func TestStubbornHandlerKeepsItsSlot(t *testing.T) {
	release := make(chan struct{})
	r := NewResponder(func(context.Context, Request) Response {
		<-release
		return Response{}
	}, time.Millisecond)
	replies := make(chan []byte, MaxInFlight)
	for range MaxInFlight {
		if now := r.Accept([]byte(`{"command":"x"}`), func(b []byte) { replies <- b }); now != nil {
			t.Fatalf("refused: %s", now)
		}
	}
	for range MaxInFlight {
		if b := <-replies; !strings.Contains(string(b), "no answer within 1ms") {
			t.Errorf("answered %s", b)
		}
	}
	if now := r.Accept([]byte(`{"command":"x"}`), func([]byte) {}); !strings.Contains(string(now), "busy") {
		t.Errorf("a request beyond the slots: %q", now)
	}
	close(release)
	r.Close()
	if len(replies) != 0 {
		t.Error("answered twice")
	}
}

func TestClosedResponderRefuses(t *testing.T) {
	r := NewResponder(func(context.Context, Request) Response { return Response{} }, time.Second)
	r.Close()
	r.Close()
	if now := r.Accept([]byte(`{"command":"x"}`), func([]byte) { t.Error("served") }); now == nil {
		t.Error("accepted after Close")
	}
}

// Rights are asked before the handler is, and a refused request takes no slot.
func TestPermit(t *testing.T) {
	got := make(chan Request, 1)
	r := NewResponder(func(_ context.Context, q Request) Response { got <- q; return Response{} }, time.Second)
	defer r.Close()
	r.Permit = func(name, command string) error {
		if name == "tool" && command == "status" {
			return nil
		}
		return errors.New("no right")
	}
	reply := func([]byte) {}
	if now := r.AcceptFrom("tool", []byte(`{"command":"stop"}`), reply); !strings.Contains(string(now), "no right") {
		t.Errorf("stop: %s", now)
	}
	if now := r.Accept([]byte(`{"command":"status"}`), reply); !strings.Contains(string(now), "no right") {
		t.Errorf("nobody: %s", now)
	}
	if now := r.AcceptFrom("tool", []byte(`{"command":"status"}`), reply); now != nil {
		t.Errorf("status: %s", now)
	}
	if q := <-got; q.From != "tool" {
		t.Errorf("request %+v", q)
	}
	if st := r.Stats(); st.Forbidden != 2 || st.Requests != 1 {
		t.Errorf("counted %+v", st)
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	var told []Refusal
	r := Refusals{Report: func(r Refusal) { told = append(told, r) }}
	for i := range 3000 {
		r.Add(Refusal{Addr: fmt.Sprint(i / 2), Why: "x"})
	}
	if len(told) != maxTold || told[0] == told[1] {
		t.Errorf("%d were reported", len(told))
	}
	if r.Count() != 3000 {
		t.Errorf("counted %d", r.Count())
	}
}
