//go:build cgo && zmq

package zmq

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	zmq "github.com/pebbe/zmq4"

	"github.com/procguard/procguard/supervise/bus"
	"github.com/procguard/procguard/supervise/bus/bustest"
	"github.com/procguard/procguard/supervise/bus/curve"
	"github.com/procguard/procguard/supervise/bus/link"
)

// reports collects what a bus or link reports.
type reports struct {
	mu  sync.Mutex
	all []bus.Refusal
}

func (r *reports) add(what bus.Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, what)
}

func (r *reports) count(addr, name, why string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.all {
		if x.Addr == addr && x.Name == name && strings.Contains(x.Why, why) {
			n++
		}
	}
	return n
}

func (r *reports) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprintf("%+v", r.all)
}

// guarded is a bus with keys: "tool" may look, "boss" may command, "node" may do neither.
func guarded(t *testing.T, h bus.Handler) (b bus.Bus, told *reports, rings map[string]*curve.Ring) {
	t.Helper()
	told, rings = &reports{}, keys(t, "server", "tool", "boss", "node", "stranger")
	ring := &curve.Ring{Secret: rings["server"].Secret, Allow: map[string]curve.Grant{}}
	for name, may := range map[string][]curve.Right{"tool": {curve.Status}, "boss": curve.Rights, "node": {curve.Node}} {
		ring.Allow[name] = curve.Grant{Key: rings["server"].Allow[name].Key, May: may}
	}
	o := options()
	o.Keys, o.Report = ring, told.add
	return start(t, o, h), told, rings
}

// keyed makes every socket of a peer show a key and ask for a server's.
func (p *peer) keyed(own *curve.Ring, server string) *peer {
	public, err := own.Secret.Public()
	if err != nil {
		panic(err)
	}
	return &peer{p.ends, p.ctx, func(soc *zmq.Socket) error { return soc.ClientAuthCurve(server, public, own.Secret.Reveal()) }}
}

func TestConformanceWithCurve(t *testing.T) {
	bustest.Run(t, func(t *testing.T, o bus.Options, h bus.Handler) (bus.Bus, bustest.Peer) {
		r := keys(t, "server", "boss")
		o.Keys = &curve.Ring{Secret: r["server"].Secret, Allow: map[string]curve.Grant{"boss": {Key: r["server"].Allow["boss"].Key, May: curve.Rights}}}
		b := start(t, o, h)
		return b, newPeer(t, b).keyed(r["boss"], r["server"].Allow["server"].Key)
	})
}

func TestRights(t *testing.T) {
	var handled atomic.Int32
	b, told, r := guarded(t, func(_ context.Context, q bus.Request) bus.Response {
		handled.Add(1)
		return bus.Response{Status: "for " + q.From}
	})
	server := r["server"].Allow["server"].Key
	p := newPeer(t, b)
	tool, boss := p.keyed(r["tool"], server), p.keyed(r["boss"], server)
	for _, c := range []struct {
		p             *peer
		command, want string
	}{
		{tool, "status", "for tool"}, {tool, "stop", "no right to commands"}, {tool, "heartbeat", "no right to heartbeat"},
		{boss, "stop", "for boss"}, {boss, "heartbeat", "for boss"},
	} {
		if a := call(t, c.p, `{"command":"`+c.command+`"}`); !strings.Contains(a, c.want) {
			t.Errorf("%s: %s, want %s", c.command, a, c.want)
		}
	}
	for name, stranger := range map[string]*peer{
		"unknown key": p.keyed(r["stranger"], server), "no right here": p.keyed(r["node"], server),
		"another server": p.keyed(r["boss"], r["stranger"].Allow["tool"].Key), "no CURVE": p,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if a, err := stranger.Call(ctx, []byte(`{"command":"stop"}`)); err == nil {
			t.Errorf("%s was answered %s", name, a)
		}
		cancel()
	}
	if n := handled.Load(); n != 3 {
		t.Errorf("%d requests were handled, not 3", n)
	}
	strangerKey := r["server"].Allow["stranger"].Key
	eventually(t, "three reports", func() bool {
		return told.count("127.0.0.1", "", strangerKey) == 1 && told.count("127.0.0.1", "node", "no right to") == 1 && told.count("127.0.0.1", "", "another key for this server, or no CURVE") == 1
	})
	for _, ring := range r {
		if strings.Contains(told.String(), ring.Secret.Reveal()) {
			t.Error("a secret was reported")
		}
	}
	if st := b.Stats(); st.Forbidden != 2 || st.Refused < 4 {
		t.Errorf("counted %+v", st)
	}
}

// Who may not look does not hear events either.
func TestEventsNeedARight(t *testing.T) {
	b, told, r := guarded(t, ok)
	server := r["server"].Allow["server"].Key
	p := newPeer(t, b)
	nodes, tools := p.keyed(r["node"], server).Subscribe(t, ""), p.keyed(r["tool"], server).Subscribe(t, "")
	eventually(t, "an event for the tool", func() bool {
		_ = b.Publish("t", 1)
		select {
		case <-tools:
			return true
		default:
			return false
		}
	})
	eventually(t, "a report", func() bool { return told.count("127.0.0.1", "node", eventDomain) == 1 })
	if len(nodes) != 0 {
		t.Errorf("it heard %+v", <-nodes)
	}
}

// A flood of strangers is reported a bounded number of times, and those with keys are served meanwhile.
func TestFloodOfStrangers(t *testing.T) {
	b, told, r := guarded(t, ok)
	addr := strings.TrimPrefix(b.Endpoints().Requests, "tcp://")
	// ZMTP 3.0's (RFC 23), of a client without CURVE.
	greeting := make([]byte, 64)
	copy(greeting, "\xff\x00\x00\x00\x00\x00\x00\x00\x00\x7f\x03\x00NULL")
	stop := make(chan struct{})
	var flood sync.WaitGroup
	for range 2 {
		flood.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
					_, _ = c.Write(greeting)
					_, _ = io.Copy(io.Discard, c) // until it is thrown out
					_ = c.Close()
				}
			}
		})
	}
	boss := newPeer(t, b).keyed(r["boss"], r["server"].Allow["server"].Key)
	for range 20 {
		if a := call(t, boss, `{"command":"heartbeat"}`); !strings.Contains(a, `"ok"`) {
			t.Errorf("answer %s", a)
		}
	}
	eventually(t, "some refused", func() bool { return b.Stats().Refused > 50 })
	close(stop)
	flood.Wait()
	// The address is unknown where a stranger was gone before we looked: at most two reasons, with and without it.
	if told.mu.Lock(); len(told.all) > 4 {
		t.Errorf("%d reports", len(told.all))
	}
	told.mu.Unlock()
}

// A node whose key is not known, that has another hub's, or whose key is not a node's, gets nowhere; both sides say so.
func TestLinkRefusesStrangers(t *testing.T) {
	r := keys(t, "hub", "a", "tool", "stranger", "other")
	hubSide, nodeSide := &reports{}, &reports{}
	ring := &curve.Ring{Secret: r["hub"].Secret, Allow: map[string]curve.Grant{
		"a": r["hub"].Allow["a"], "tool": {Key: r["hub"].Allow["tool"].Key, May: []curve.Right{curve.Commands}},
	}}
	port := 0
	h, err := link.NewHub(link.Options{}, OpenHub(HubOptions{Host: "127.0.0.1", Keys: ring, Report: hubSide.add, Bound: func(e string) {
		port, _ = strconv.Atoi(e[strings.LastIndexByte(e, ':')+1:])
	}}))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	join := func(key, server string) *link.Node {
		own := &curve.Ring{Secret: r[key].Secret, Allow: map[string]curve.Grant{"hub": r["hub"].Allow[server]}}
		n, err := link.NewNode("a", link.Options{Resend: 20 * time.Millisecond}, OpenNode(NodeOptions{Host: "127.0.0.1", Port: port, Keys: own, Hub: "hub", Report: nodeSide.add}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close() })
		return n
	}
	var bad []*link.Node
	for _, c := range [][2]string{{"stranger", "hub"}, {"tool", "hub"}, {"a", "other"}} {
		bad = append(bad, join(c[0], c[1]))
	}
	key := r["hub"].Allow["stranger"].Key
	eventually(t, "the hub's reports", func() bool {
		return hubSide.count("127.0.0.1", "", key) == 1 && hubSide.count("127.0.0.1", "tool", linkDomain) == 1 && hubSide.count("127.0.0.1", "", "another key") == 1
	})
	eventually(t, "the nodes' reports", func() bool {
		return nodeSide.count("127.0.0.1", "hub", "does not allow this node's key") == 2
	})
	good := join("a", "hub")
	await(t, good.Events(), link.Joined)
	for i, n := range bad {
		if st := n.Stats(); st.Sessions != 0 {
			t.Errorf("node %d got in", i)
		}
	}
	for _, ring := range r {
		if strings.Contains(hubSide.String()+nodeSide.String(), ring.Secret.Reveal()) {
			t.Error("a secret was reported")
		}
	}
}

// A container that comes back has another address: the node finds it by its name.
func TestHubMoves(t *testing.T) {
	r := keys(t, "hub", "a")
	var address atomic.Value
	address.Store("127.0.0.2")
	port := newNet(t).port
	open := func() *link.Hub {
		h, err := link.NewHub(link.Options{}, OpenHub(HubOptions{Host: address.Load().(string), Port: port, Keys: r["hub"]}))
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	first := open()
	n, err := link.NewNode("a", link.Options{Heartbeat: 100 * time.Millisecond}, OpenNode(NodeOptions{Host: "trainer-0", Port: port, Keys: r["a"], Hub: "hub",
		Resolve: func(_ context.Context, host string) ([]string, error) {
			if host != "trainer-0" {
				t.Errorf("asked for %s", host)
			}
			return []string{address.Load().(string)}, nil
		}}))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	one := await(t, n.Events(), link.Joined)
	await(t, first.Events(), link.Joined)
	_ = first.Close()
	await(t, n.Events(), link.Left)
	address.Store("127.0.0.3")
	second := open()
	defer second.Close()
	if two := await(t, n.Events(), link.Joined); two.Incarnation == one.Incarnation {
		t.Error("the same hub")
	}
}

// A hub that is there but says nothing is left for a new connection, to the next address of its name.
func TestSilentHub(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.4:0") // accepts, and never speaks
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	h, err := link.NewHub(link.Options{}, OpenHub(HubOptions{Host: "127.0.0.5", Port: port}))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	n, err := link.NewNode("a", link.Options{}, OpenNode(NodeOptions{Host: "hub", Port: port, Insecure: true, Dial: 100 * time.Millisecond,
		Resolve: func(context.Context, string) ([]string, error) { return []string{"127.0.0.4", "127.0.0.5"}, nil }}))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	await(t, n.Events(), link.Joined)
}

// Close must not wait for a resolver that hangs, a hub that is not there, or one that does not read.
func TestLinkClosesAtOnce(t *testing.T) {
	for name, resolve := range map[string]func(context.Context, string) ([]string, error){
		"resolver hangs": func(ctx context.Context, _ string) ([]string, error) { <-ctx.Done(); return nil, ctx.Err() },
		"nobody there":   func(context.Context, string) ([]string, error) { return []string{"127.0.0.6"}, nil },
	} {
		n, err := link.NewNode("a", link.Options{}, OpenNode(NodeOptions{Host: "hub", Port: 1, Insecure: true, Dial: time.Hour, Resolve: resolve}))
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { defer close(done); _ = n.Close() }()
		select {
		case <-done:
		case <-time.After(patience):
			t.Fatal(name + ": Close hangs")
		}
	}
}
