package bustest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/procguard/procguard/supervise/bus"
)

func (s suite) events(t *testing.T) {
	b, p := s.start(t, options(), echo)
	workers := joined(t, b, p, "worker.")
	for i := range 100 {
		for _, topic := range []string{"worker.exit", "recovery.phase"} {
			if err := b.Publish(topic, map[string]any{"seq": i}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 100 { // in order, only the prefix asked for, none lost while the subscriber keeps up
		m := receive(t, workers)
		if want := fmt.Sprintf(`{"seq":%d}`, i); m.Topic != "worker.exit" || string(m.Body) != want {
			t.Fatalf("event %d is %s %s", i, m.Topic, m.Body)
		}
	}
}

func (s suite) nobodyListens(t *testing.T) {
	b, p := s.start(t, options(), echo)
	within(t, "publishing to nobody", func() {
		for i := range 20000 {
			if err := b.Publish("worker.exit", i); err != nil {
				t.Error(err)
				return
			}
		}
	})
	if n := b.Stats().Published; n != 20000 {
		t.Errorf("published counted: %d", n)
	}
	ask(t, p, []byte(`{"command":"heartbeat"}`))
}

func (s suite) badEvent(t *testing.T) {
	b, _ := s.start(t, options(), echo)
	if err := b.Publish("worker.exit", func() {}); err == nil {
		t.Error("a function was published")
	}
	if n := b.Stats().Published; n != 0 {
		t.Errorf("published counted: %d", n)
	}
}

func (s suite) close(t *testing.T) {
	entered := make(chan struct{})
	b, p := s.start(t, options(), func(ctx context.Context, _ bus.Request) bus.Response {
		close(entered)
		<-ctx.Done()
		return bus.Response{Error: "stopped meanwhile"}
	})
	answered := make(chan bus.Response, 1)
	go func() {
		resp, err := try(p, []byte(`{"command":"stop","worker_id":"w0"}`))
		if err != nil {
			resp.Error = err.Error()
		}
		answered <- resp
	}()
	<-entered
	within(t, "close", func() {
		for range 2 {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	if resp := <-answered; resp.Status != "error" || resp.WorkerID != "w0" {
		t.Errorf("the request in progress was answered %+v", resp)
	}
	if err := b.Publish("worker.exit", 1); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("publish on a closed bus: %v", err)
	}
}

// closeBusy closes while everyone is using the bus; the race detector and the leak check look on.
func (s suite) closeBusy(t *testing.T) {
	b, p := s.start(t, options(), echo)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var users sync.WaitGroup
	started := make(chan struct{}, 8)
	for range 4 {
		users.Go(func() {
			for i := 0; b.Publish("worker.exit", i) == nil; i++ {
				if i == 10 {
					started <- struct{}{}
				}
			}
		})
		users.Go(func() {
			_, err := p.Call(ctx, []byte(`{"command":"heartbeat"}`))
			started <- struct{}{}
			for err == nil {
				_, err = p.Call(ctx, []byte(`{"command":"heartbeat"}`))
			}
		})
	}
	for range cap(started) {
		<-started
	}
	within(t, "close", func() { _ = b.Close() })
	cancel() // a peer of a bus that is gone would wait for ever
	within(t, "users", users.Wait)
}
