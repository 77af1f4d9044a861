package link

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// pair is a hub and a node without a network: frames are carried at once, and kept.
type pair struct {
	t    testing.TB
	now  time.Time
	hub  *hubCore
	node *nodeCore
	up   [][]byte // all that the node has sent
	down [][]byte // all that the hub has sent
}

func newPair(t testing.TB, o Options) *pair {
	now := time.Unix(1e9, 0)
	p := &pair{t: t, now: now, hub: newHubCore(o, now), node: newNodeCore("a", o, now)}
	p.settle(3)
	return p
}

// settle lets them talk for some rounds of a second's time.
func (p *pair) settle(rounds int) {
	for range rounds {
		p.now = p.now.Add(time.Second)
		p.node.tick(p.now)
		p.hub.tick(p.now)
		for i := 0; i < 10 && p.carry(); i++ {
			p.now = p.now.Add(10 * time.Millisecond)
			p.node.tick(p.now)
			p.hub.tick(p.now)
		}
	}
}

func (p *pair) carry() (any bool) {
	for _, o := range p.node.out {
		p.up, any = append(p.up, o.frame), true
		p.hub.receive(Packet{Route: "r", Name: "a", Frame: o.frame}, p.now)
	}
	p.node.out = nil
	for _, o := range p.hub.out {
		p.down, any = append(p.down, o.frame), true
		if o.route == "r" {
			p.node.receive(Packet{Frame: o.frame}, p.now)
		}
	}
	p.hub.out = nil
	return any
}

func (p *pair) session() string {
	p.t.Helper()
	if p.node.live == nil || p.hub.peers["a"] == nil || p.hub.peers["a"].live == nil {
		p.t.Fatal("no session")
	}
	return p.node.live.session
}

func (p *pair) talk(n int) {
	p.t.Helper()
	for i := range n {
		m := Message{Type: "n", Epoch: uint64(i), Body: json.RawMessage("1")}
		if err := errors.Join(p.hub.send(p.session(), m, p.now), p.node.send(p.session(), m, p.now)); err != nil {
			p.t.Fatal(err)
		}
	}
	p.settle(3)
}

// TestReplayDoesNothing: all frames of a life again, in both directions and from elsewhere, change nothing.
func TestReplayDoesNothing(t *testing.T) {
	p := newPair(t, Options{})
	p.talk(20)
	p.hub.end(p.hub.peers["a"], ErrClosed, true, p.now) // a second session, so that frames of an old one are there too
	p.settle(3)
	p.talk(20)
	up, down, session := p.up, p.down, p.session()
	hubEvents, nodeEvents := len(p.hub.events), len(p.node.events)
	heard, contact := p.hub.peers["a"].live.heardAt, p.node.live.echoAt
	p.now = p.now.Add(time.Minute)
	for range 2 {
		for _, f := range up {
			p.hub.receive(Packet{Route: "elsewhere", Name: "a", Frame: f}, p.now)
		}
		for _, f := range down {
			p.node.receive(Packet{Frame: f}, p.now)
		}
	}
	if len(p.hub.events) != hubEvents || len(p.node.events) != nodeEvents || p.session() != session {
		t.Errorf("events: hub %v, node %v", p.hub.events[hubEvents:], p.node.events[nodeEvents:])
	}
	if n := p.hub.peers["a"]; n.route != "r" || !n.live.heardAt.Equal(heard) {
		t.Errorf("the route is %s, heard at %v, not %v", n.route, n.live.heardAt, heard)
	}
	if p.node.live.echoAt != contact {
		t.Error("a replay extended the contact")
	}
	p.hub.out, p.node.out = nil, nil
	p.talk(5)
	if len(p.hub.events) != hubEvents+5 || len(p.node.events) != nodeEvents+5 {
		t.Error("they do not talk any more")
	}
}

func TestVersions(t *testing.T) {
	p := newPair(t, Options{})
	for i, text := range []string{`{"v":2,"kind":"hello"}`, `{"v":2,"kind":{"new":1}}`, `{"v":0,"kind":"hello"}`, `{"kind":"hello"}`} {
		p.hub.receive(Packet{Addr: "10.0.0.7", Frame: []byte(text)}, p.now)
		if p.hub.stats.Version != uint64(i+1) {
			t.Errorf("%s: %+v", text, p.hub.stats)
		}
	}
	if len(p.hub.news) != 2 || !strings.Contains(p.hub.news[0].Why, "speaks version 2 of the link protocol, and this procguard version 1") || p.hub.news[0].Addr != "10.0.0.7" {
		t.Errorf("reported %+v", p.hub.news)
	}
	later := []byte(`{"v":1,"kind":"hello","node":"b","inc":"i","at":1,"color":"blue","why":""}`)
	if p.hub.receive(Packet{Frame: later}, p.now); p.hub.peers["b"] == nil {
		t.Error("an unknown field was not ignored")
	}
}

// Whatever is sent, memory is bounded: floods of hellos, of frames far ahead, of refusals.
func TestFloods(t *testing.T) {
	p := newPair(t, Options{Nodes: 10, WindowBytes: 1 << 20})
	session := p.session()
	for i := range 5000 {
		hi := fmt.Sprintf(`{"v":1,"kind":"hello","node":"n%d","inc":"i%d"}`, i, i)
		p.hub.receive(Packet{Route: "r", Addr: fmt.Sprint(i), Frame: []byte(hi)}, p.now)
		p.hub.receive(Packet{Addr: fmt.Sprint(i), Frame: []byte(`junk`)}, p.now)
		p.hub.out = nil
	}
	if len(p.hub.peers) > 10 || len(p.hub.sessions) > 10*(maxOffers+1) || len(p.hub.told) > maxTold {
		t.Errorf("%d peers, %d sessions, %d reports", len(p.hub.peers), len(p.hub.sessions), len(p.hub.told))
	}
	body := `"` + strings.Repeat("x", MaxBody-2) + `"`
	for i := range 1000 {
		ahead := fmt.Sprintf(`{"v":1,"kind":"data","session":%q,"seq":%d,"type":"t","body":%s}`, session, i+2, body)
		p.hub.receive(Packet{Route: "r", Name: "a", Frame: []byte(ahead)}, p.now)
	}
	if s := p.hub.peers["a"].live; s.ahead > 1<<20 || len(s.early) > flight {
		t.Errorf("%d messages ahead with %d bytes", len(s.early), s.ahead)
	}
}

func TestSilentNodeIsForgotten(t *testing.T) {
	p := newPair(t, Options{Forget: time.Minute})
	session := p.session()
	p.hub.tick(p.now.Add(59 * time.Second))
	if p.session() != session {
		t.Error("too early")
	}
	p.hub.tick(p.now.Add(70 * time.Second))
	if last := p.hub.events[len(p.hub.events)-1]; last.Kind != Left || !errors.Is(last.Why, ErrSilent) {
		t.Errorf("event %+v", last)
	}
}

// Half a frame, or another's: every cut and every flipped byte of real frames is survived.
func TestDamagedFrames(t *testing.T) {
	p := newPair(t, Options{})
	p.talk(3)
	for _, f := range append(p.up[:len(p.up):len(p.up)], p.down...) {
		for i := range f {
			flipped := bytes.Clone(f)
			flipped[i] ^= 1 << (i % 8)
			for _, bad := range [][]byte{f[:i], flipped} {
				p.hub.receive(Packet{Route: "r", Frame: bad}, p.now)
				p.node.receive(Packet{Frame: bad}, p.now)
			}
		}
		p.hub.out, p.node.out = nil, nil
	}
}

func FuzzDecode(f *testing.F) {
	p := newPair(f, Options{Rand: func() string { return "name" }})
	for _, frame := range append(p.up, p.down...) {
		f.Add(frame)
	}
	f.Add([]byte(`{"v":1,"kind":"data","session":"name","seq":1,"type":"t","body":[1]}`))
	f.Add([]byte(`{"v":1,"kind":"reset","session":"name","why":"behind"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		frame, err := decode(raw)
		if err == nil {
			if again, err := decode(encode(frame)); err != nil && len(raw) < MaxFrame/8 {
				t.Fatalf("%s became %+v: %v", raw, again, err)
			}
		}
		p := newPair(t, Options{Rand: func() string { return "name" }})
		p.hub.receive(Packet{Route: "r", Frame: raw}, p.now)
		p.node.receive(Packet{Frame: raw}, p.now)
		p.settle(2)
	})
}
