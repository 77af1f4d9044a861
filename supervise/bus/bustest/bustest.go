package bustest

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/procguard/procguard/supervise/bus"
)

// patience is how long anything that must happen may take on a loaded machine.
const patience = 20 * time.Second

// Message is a published event as a peer receives it.
type Message struct {
	Topic string
	Body  []byte
}

// Peer is a program outside, talking to one bus. Call may be used by several goroutines at once.
type Peer interface {
	// Call sends a frame as its own request and returns the answer to it.
	Call(ctx context.Context, frame []byte) ([]byte, error)
	// Subscribe delivers events until the end of the test. It may take a while until the first one arrives.
	Subscribe(t *testing.T, prefix string) <-chan Message
}

// Start starts an adapter for one test and returns a peer of it. It registers their end with t.Cleanup.
type Start func(t *testing.T, o bus.Options, h bus.Handler) (bus.Bus, Peer)

// Run tests an adapter.
func Run(t *testing.T, start Start) {
	s := suite{start}
	for name, test := range map[string]func(*testing.T){
		"answer":                   s.answer,
		"defaults of an answer":    s.defaults,
		"malformed":                s.malformed,
		"slow handler":             s.held,
		"late handler":             s.late,
		"busy":                     s.busy,
		"many peers":               s.many,
		"events":                   s.events,
		"nobody listens":           s.nobodyListens,
		"event that is not JSON":   s.badEvent,
		"close":                    s.close,
		"close in the thick of it": s.closeBusy,
	} {
		t.Run(name, test)
	}
}

type suite struct{ start Start }

// options are those of a test that never waits for a timeout.
func options() bus.Options { return bus.Options{Host: "127.0.0.1", Timeout: patience} }

// echo answers every request at once.
func echo(context.Context, bus.Request) bus.Response { return bus.Response{Status: "running"} }

func frame(t *testing.T, r bus.Request) []byte {
	t.Helper()
	f, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// ask makes one call that must be answered.
func ask(t *testing.T, p Peer, f []byte) bus.Response {
	t.Helper()
	resp, err := try(p, f)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func try(p Peer, f []byte) (bus.Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, err := p.Call(ctx, f)
	if err != nil {
		return bus.Response{}, fmt.Errorf("call %.60q: %w", f, err)
	}
	var resp bus.Response
	if err := json.Unmarshal(answer, &resp); err != nil {
		return bus.Response{}, fmt.Errorf("answer %q: %w", answer, err)
	}
	return resp, nil
}

// joined subscribes and returns when events flow: over a network, what is published while a subscriber is still
// connecting does not reach it.
func joined(t *testing.T, b bus.Bus, p Peer, prefix string) <-chan Message {
	t.Helper()
	events := p.Subscribe(t, prefix)
	probe := prefix + "joined"
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if err := b.Publish(probe, nil); err != nil {
			t.Fatal(err)
		}
		select {
		case <-events:
			return skipProbes(t, b, events, prefix)
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatalf("no event reached a subscriber to %q", prefix)
	return nil
}

// skipProbes reads until a last mark, so that only what the test publishes follows.
func skipProbes(t *testing.T, b bus.Bus, events <-chan Message, prefix string) <-chan Message {
	t.Helper()
	mark := prefix + "begin"
	if err := b.Publish(mark, nil); err != nil {
		t.Fatal(err)
	}
	for receive(t, events).Topic != mark {
	}
	return events
}

func receive(t *testing.T, events <-chan Message) Message {
	t.Helper()
	select {
	case m := <-events:
		return m
	case <-time.After(patience):
		t.Fatal("no event")
		return Message{}
	}
}

func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("still not done: " + what)
	}
}
