package mock

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/procguard/procguard/supervise/bus"
	"github.com/procguard/procguard/supervise/bus/bustest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, o bus.Options, h bus.Handler) (*Bus, *peer) {
	t.Helper()
	b, err := New(o, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b, &peer{b}
}

type peer struct{ *Bus }

func (p *peer) Subscribe(t *testing.T, prefix string) <-chan bustest.Message {
	events, cancel := p.Bus.Subscribe(prefix)
	t.Cleanup(cancel)
	out := make(chan bustest.Message, QueueLen)
	go func() {
		defer close(out)
		for m := range events {
			out <- bustest.Message(m)
		}
	}()
	return out
}

func TestConformance(t *testing.T) {
	bustest.Run(t, func(t *testing.T, o bus.Options, h bus.Handler) (bus.Bus, bustest.Peer) { return start(t, o, h) })
}

func quick() bus.Options { return bus.Options{Host: "127.0.0.1", Timeout: 20 * time.Second} }

func ok(context.Context, bus.Request) bus.Response { return bus.Response{} }

func TestNewRefusesWhatZMQWould(t *testing.T) {
	o := quick()
	o.Host = "0.0.0.0"
	if b, err := New(o, ok); err == nil {
		_ = b.Close()
		t.Error("0.0.0.0 was accepted without insecure")
	}
}

func TestSlowSubscriberLosesTheOldest(t *testing.T) {
	b, _ := start(t, quick(), ok)
	events, cancel := b.Subscribe("")
	defer cancel()
	for i := range QueueLen + 3 {
		if err := b.Publish("n", i); err != nil {
			t.Fatal(err)
		}
	}
	if m := <-events; string(m.Body) != "3" {
		t.Errorf("oldest event left is %s, want 3", m.Body)
	}
	if n := b.Stats().Dropped; n != 3 {
		t.Errorf("dropped counted: %d, want 3", n)
	}
}

func TestCallerMayLeave(t *testing.T) {
	release := make(chan struct{})
	b, _ := start(t, quick(), func(context.Context, bus.Request) bus.Response {
		<-release
		return bus.Response{}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := b.Call(ctx, []byte(`{"command":"x"}`)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("call: %v", err)
	}
	close(release)
}

func TestFrameLimit(t *testing.T) {
	b, _ := start(t, quick(), ok)
	if _, err := b.Call(t.Context(), make([]byte, bus.MaxFrame+1)); err == nil {
		t.Error("a frame over the limit was taken")
	}
}

func TestClosedBus(t *testing.T) {
	b, _ := start(t, quick(), ok)
	before, _ := b.Subscribe("")
	_ = b.Close()
	after, cancel := b.Subscribe("")
	cancel()
	for name, events := range map[string]<-chan Message{"before": before, "after": after} {
		if _, open := <-events; open {
			t.Errorf("the subscription made %s Close is open", name)
		}
	}
	if _, err := b.Call(t.Context(), []byte(`{"command":"x"}`)); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("call: %v", err)
	}
}

func TestCancelTwice(t *testing.T) {
	b, _ := start(t, quick(), ok)
	events, cancel := b.Subscribe("")
	cancel()
	cancel()
	if _, open := <-events; open {
		t.Error("open after cancel")
	}
}
