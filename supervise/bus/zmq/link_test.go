//go:build cgo && zmq

package zmq

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	zmq "github.com/pebbe/zmq4"

	"github.com/procguard/procguard/supervise/bus/curve"
	"github.com/procguard/procguard/supervise/bus/link"
	"github.com/procguard/procguard/supervise/bus/link/linktest"
)

// keys makes one for each name, and the ring of each.
func keys(t testing.TB, names ...string) map[string]*curve.Ring {
	t.Helper()
	rings, allow := map[string]*curve.Ring{}, map[string]curve.Grant{}
	for _, name := range names {
		secret, public, err := curve.Generate()
		if err != nil {
			t.Fatal(err)
		}
		rings[name] = &curve.Ring{Secret: secret, Allow: allow}
		allow[name] = curve.Grant{Key: public, May: []curve.Right{curve.Node}}
	}
	return rings
}

// localNet has a hub on a free port of 127.0.0.1, the same one for a hub that comes back.
type localNet struct {
	t     testing.TB
	port  int
	rings map[string]*curve.Ring
}

func newNet(t testing.TB, names ...string) *localNet {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return &localNet{t, l.Addr().(*net.TCPAddr).Port, keys(t, append(names, "hub")...)}
}

func (n *localNet) Hub() link.Open {
	return OpenHub(HubOptions{Host: "127.0.0.1", Port: n.port, Keys: n.rings["hub"]})
}

func (n *localNet) Node(name string) link.Open {
	return OpenNode(NodeOptions{Host: "127.0.0.1", Port: n.port, Keys: n.rings[name], Hub: "hub"})
}

func TestLinkConformance(t *testing.T) {
	linktest.Run(t, func(t *testing.T) linktest.Net {
		return newNet(t, "a", "b", "n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7")
	})
}

func await(t *testing.T, events <-chan link.Event, want link.EventKind) link.Event {
	t.Helper()
	select {
	case e := <-events:
		if e.Kind != want {
			t.Fatalf("event %+v, want %v", e, want)
		}
		return e
	case <-time.After(patience):
		t.Fatalf("no event, want %v", want)
	}
	return link.Event{}
}

func TestEndpointIsTold(t *testing.T) {
	told := ""
	h, err := link.NewHub(link.Options{}, OpenHub(HubOptions{Host: "127.0.0.1", Bound: func(e string) { told = e }}))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	port := 0
	if _, err := fmt.Sscanf(told, "tcp://127.0.0.1:%d", &port); err != nil || port == 0 {
		t.Fatalf("endpoint %q", told)
	}
	n, err := link.NewNode("a", link.Options{}, OpenNode(NodeOptions{Host: "localhost", Port: port}))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	await(t, n.Events(), link.Joined) // without keys, by name
}

func TestLinkOptionsAreChecked(t *testing.T) {
	r := keys(t, "hub", "a")
	for name, open := range map[string]link.Open{
		"everyone, no keys":           OpenHub(HubOptions{Host: "0.0.0.0"}),
		"elsewhere, no keys":          OpenNode(NodeOptions{Host: "trainer-0", Port: 1}),
		"no port":                     OpenNode(NodeOptions{Host: "127.0.0.1"}),
		"unknown hub":                 OpenNode(NodeOptions{Host: "127.0.0.1", Port: 1, Keys: r["a"], Hub: "x"}),
		"no secret":                   OpenHub(HubOptions{Host: "127.0.0.1", Keys: &curve.Ring{}}),
		"an address that is not ours": OpenHub(HubOptions{Host: "192.0.2.1", Insecure: true}),
	} {
		if h, err := link.NewHub(link.Options{}, open); err == nil {
			_ = h.Close()
			t.Errorf("%s: accepted", name)
		}
	}
}

// What is no node's frame must be survived and counted.
func TestForeignFramesOnTheLink(t *testing.T) {
	port := ""
	h, err := link.NewHub(link.Options{}, OpenHub(HubOptions{Host: "127.0.0.1", Bound: func(e string) { port = e }}))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	ctx, err := zmq.NewContext()
	if err != nil {
		t.Fatal(err)
	}
	defer ctx.Term()
	dealer, err := ctx.NewSocket(zmq.DEALER)
	if err != nil {
		t.Fatal(err)
	}
	defer dealer.Close()
	_ = dealer.SetLinger(0)
	if err := dealer.Connect(port); err != nil {
		t.Fatal(err)
	}
	_, _ = dealer.SendMessage("no JSON")
	_, _ = dealer.SendMessage("two", "frames")
	_, _ = dealer.SendMessage("", `{"v":1,"kind":"hello","node":"a","inc":"i"}`) // a REQ's shape
	_, _ = dealer.SendMessage(`{"v":1,"kind":"dance"}`)
	_, _ = dealer.SendMessage(`{"v":2,"kind":7}`)
	_, _ = dealer.SendMessage(strings.Repeat("x", link.MaxFrame))
	eventually(t, "all counted", func() bool { st := h.Stats(); return st.Malformed == 5 && st.Version == 1 })
}
