//go:build cgo && zmq

package zmq

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	zmq "github.com/pebbe/zmq4"
	"go.uber.org/goleak"

	"github.com/procguard/procguard/supervise/bus"
	"github.com/procguard/procguard/supervise/bus/bustest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

func options() bus.Options { return bus.Options{Host: "127.0.0.1", Timeout: patience} }

func ok(context.Context, bus.Request) bus.Response { return bus.Response{} }

func start(t *testing.T, o bus.Options, h bus.Handler) bus.Bus {
	t.Helper()
	b, err := New(o, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// peer is an outside program with sockets of its own: one REQ per call in progress.
type peer struct {
	ends   bus.Endpoints
	ctx    *zmq.Context
	secure func(*zmq.Socket) error // nil: no CURVE
}

func newPeer(t *testing.T, b bus.Bus) *peer {
	t.Helper()
	ctx, err := zmq.NewContext()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ctx.Term() })
	return &peer{b.Endpoints(), ctx, nil}
}

func (p *peer) socket(kind zmq.Type, to string) (*zmq.Socket, error) {
	soc, err := p.ctx.NewSocket(kind)
	if err != nil {
		return nil, err
	}
	_ = soc.SetLinger(0)
	_ = soc.SetRcvtimeo(50 * time.Millisecond)
	if p.secure != nil {
		if err := p.secure(soc); err != nil {
			return nil, err
		}
	}
	return soc, soc.Connect(to)
}

func (p *peer) Call(ctx context.Context, frame []byte) ([]byte, error) {
	req, err := p.socket(zmq.REQ, p.ends.Requests)
	if err != nil {
		return nil, err
	}
	defer req.Close()
	if _, err := req.SendBytes(frame, 0); err != nil {
		return nil, err
	}
	return answerTo(ctx, req)
}

func answerTo(ctx context.Context, soc *zmq.Socket) ([]byte, error) {
	for {
		answer, err := soc.RecvBytes(0)
		if err == nil || zmq.AsErrno(err) != zmq.Errno(syscall.EAGAIN) {
			return answer, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

func (p *peer) Subscribe(t *testing.T, prefix string) <-chan bustest.Message {
	t.Helper()
	sub, err := p.socket(zmq.SUB, p.ends.Events)
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.SetSubscribe(prefix); err != nil {
		t.Fatal(err)
	}
	out := make(chan bustest.Message, queueLen)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer sub.Close()
		for t.Context().Err() == nil {
			if m, err := sub.RecvMessageBytes(0); err == nil && len(m) == 2 {
				out <- bustest.Message{Topic: string(m[0]), Body: m[1]}
			}
		}
	})
	t.Cleanup(reader.Wait)
	return out
}

func TestConformance(t *testing.T) {
	bustest.Run(t, func(t *testing.T, o bus.Options, h bus.Handler) (bus.Bus, bustest.Peer) {
		b := start(t, o, h)
		return b, newPeer(t, b)
	})
}

func call(t *testing.T, p *peer, frame string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	answer, err := p.Call(ctx, []byte(frame))
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}

func TestCurveIsLinkedIn(t *testing.T) {
	if !zmq.HasCurve() {
		t.Fatal("libzmq was built without CURVE")
	}
}

func TestNewFailsOnBadOptions(t *testing.T) {
	o := options()
	o.Host = "0.0.0.0"
	if _, err := New(o, ok); err == nil || !strings.Contains(err.Error(), "insecure: true") {
		t.Errorf("all interfaces without keys: %v", err)
	}
	o.Insecure = true
	b := start(t, o, ok)
	if e := b.Endpoints(); !strings.HasPrefix(e.Requests, "tcp://0.0.0.0:") {
		t.Errorf("insecure: bound to %+v", e)
	}
}

// A taken port must be named, whichever of the two it is, and must leave the other free.
func TestPortTaken(t *testing.T) {
	first := start(t, options(), ok)
	var port int
	if _, err := fmt.Sscanf(first.Endpoints().Requests, "tcp://127.0.0.1:%d", &port); err != nil {
		t.Fatal(err)
	}
	for _, base := range []int{port, port - 1} {
		o := options()
		o.PortBase = base
		if _, err := New(o, ok); err == nil || !strings.Contains(err.Error(), fmt.Sprint(port)) {
			t.Errorf("port_base %d while %d is taken: %v", base, port, err)
		}
	}
}

func TestPortsFollowEachOther(t *testing.T) {
	o := options()
	var b bus.Bus
	eventually(t, "two free ports", func() bool { // another program may hold either
		probe := start(t, options(), ok)
		_, _ = fmt.Sscanf(probe.Endpoints().Requests, "tcp://127.0.0.1:%d", &o.PortBase)
		_ = probe.Close()
		var err error
		b, err = New(o, ok)
		return err == nil
	})
	defer b.Close()
	want := bus.Endpoints{
		Requests: fmt.Sprintf("tcp://127.0.0.1:%d", o.PortBase), Events: fmt.Sprintf("tcp://127.0.0.1:%d", o.PortBase+1),
	}
	if got := b.Endpoints(); got != want {
		t.Errorf("bound to %+v, want %+v", got, want)
	}
	if a := call(t, newPeer(t, b), `{"command":"heartbeat"}`); !strings.Contains(a, `"ok"`) {
		t.Errorf("answer %s", a)
	}
}

func TestIPv6(t *testing.T) {
	o := options()
	o.Host = "::1"
	b, err := New(o, ok)
	if err != nil {
		t.Skip("needs an IPv6 loopback:", err)
	}
	defer b.Close()
	p := newPeer(t, b)
	if err := p.ctx.SetIpv6(true); err != nil {
		t.Fatal(err)
	}
	if a := call(t, p, `{"command":"heartbeat"}`); !strings.Contains(a, `"ok"`) {
		t.Errorf("answer %s", a)
	}
}

// What is not from a REQ must be survived: frames missing, too many, too long, and bytes that are no ZeroMQ at all.
func TestForeignFrames(t *testing.T) {
	b := start(t, options(), ok)
	p := newPeer(t, b)
	dealer, err := p.socket(zmq.DEALER, p.ends.Requests)
	if err != nil {
		t.Fatal(err)
	}
	defer dealer.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	_, _ = dealer.SendMessage("no delimiter")
	_, _ = dealer.SendMessage("", "two", "frames")
	if a, err := answerTo(ctx, dealer); err != nil || len(a) != 0 {
		t.Fatalf("delimiter %q, %v", a, err)
	}
	if a, err := answerTo(ctx, dealer); err != nil || !strings.Contains(string(a), "one frame") {
		t.Errorf("two frames were answered %q, %v", a, err)
	}
	_, _ = dealer.SendMessage("", "no JSON")
	many := []any{""}
	for range 5000 {
		many = append(many, "part")
	}
	_, _ = dealer.SendMessage(many...)
	eventually(t, "four malformed", func() bool { return b.Stats().Malformed == 4 })
	if a := call(t, p, `{"command":"heartbeat"}`); !strings.Contains(a, `"ok"`) {
		t.Errorf("answer %s", a)
	}
}

func TestOverlongFrameCostsTheConnection(t *testing.T) {
	b := start(t, options(), ok)
	p := newPeer(t, b)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if a, err := p.Call(ctx, make([]byte, bus.MaxFrame+1)); err == nil {
		t.Errorf("answered %s", a)
	}
	if n := b.Stats().Malformed + b.Stats().Requests; n != 0 {
		t.Errorf("%d messages were let in", n)
	}
	if a := call(t, p, `{"command":"heartbeat"}`); !strings.Contains(a, `"ok"`) {
		t.Errorf("answer %s", a)
	}
}

// A peer that vanishes while its request is in progress leaves an answer to nobody.
func TestPeerVanishes(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	b := start(t, options(), func(_ context.Context, r bus.Request) bus.Response {
		if r.Command == "slow" {
			close(entered)
			<-release
		}
		return bus.Response{}
	})
	p := newPeer(t, b)
	req, err := p.socket(zmq.REQ, p.ends.Requests)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = req.Send(`{"command":"slow"}`, 0)
	<-entered
	_ = req.Close()
	close(release)
	if a := call(t, p, `{"command":"heartbeat"}`); !strings.Contains(a, `"ok"`) {
		t.Errorf("answer %s", a)
	}
}

// Close must not wait for peers that do not read.
func TestCloseDoesNotLinger(t *testing.T) {
	b := start(t, options(), ok)
	p := newPeer(t, b)
	sub, err := p.socket(zmq.SUB, p.ends.Events)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	_ = sub.SetSubscribe("")
	big := strings.Repeat("x", 10000)
	eventually(t, "a first event", func() bool {
		_ = b.Publish("t", big)
		_, err := sub.RecvMessage(0)
		return err == nil
	})
	for range 5000 { // more than the queues and socket buffers of both sides hold
		_ = b.Publish("t", big)
	}
	done := make(chan struct{})
	go func() {
		_ = b.Close()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("Close hangs on a subscriber that does not read")
	}
}

// An idle bus must not wake up: ZeroMQ's threads and ours sleep until something happens.
func TestIdleDoesNotWake(t *testing.T) {
	b := start(t, options(), ok)
	call(t, newPeer(t, b), `{"command":"heartbeat"}`)
	quiet := func() bool {
		before := switches(t)
		time.Sleep(300 * time.Millisecond)
		return switches(t) == before
	}
	eventually(t, "300 ms without a wake-up of a ZeroMQ thread", quiet)
}

// switches adds up how often the ZeroMQ threads of this process went to sleep. /proc/PID/task/TID/status, proc(5).
func switches(t *testing.T) (total int) {
	t.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		t.Fatal(err)
	}
	threads := 0
	for _, task := range tasks {
		status, err := os.ReadFile(filepath.Join(task, "status"))
		if err != nil || !bytes.HasPrefix(status, []byte("Name:\tZMQbg/")) {
			continue
		}
		var n int
		_, rest, _ := bytes.Cut(status, []byte("\nvoluntary_ctxt_switches:"))
		if _, err := fmt.Sscan(string(rest), &n); err != nil {
			t.Fatal(err)
		}
		threads, total = threads+1, total+n
	}
	if threads == 0 {
		t.Fatal("no ZeroMQ thread found")
	}
	return total
}
