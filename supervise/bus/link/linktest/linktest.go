package linktest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/procguard/procguard/supervise/bus/link"
)

// patience is how long anything that must happen may take on a loaded machine.
const patience = 30 * time.Second

// Net opens carriers that reach each other, and ends with the test. A hub opened again takes the former one's place.
type Net interface {
	Hub() link.Open
	Node(name string) link.Open // with a key of that name
}

// Run tests a carrier. keys says that frames come with the names of keys.
func Run(t *testing.T, open func(t *testing.T) Net) {
	for name, test := range map[string]func(*testing.T, Net){
		"both ways":             bothWays,
		"faults":                faults,
		"partition":             partition,
		"node restarts":         nodeRestarts,
		"hub restarts":          hubRestarts,
		"hub comes late":        hubComesLate,
		"peer too far behind":   behind,
		"slow program":          slow,
		"forged":                forged,
		"large":                 large,
		"what is no message":    noMessage,
		"close while in use":    closeBusy,
		"contact":               contact,
		"the last words arrive": lastWords,
		"many nodes":            many,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func options() link.Options {
	return link.Options{Heartbeat: 100 * time.Millisecond, Resend: 50 * time.Millisecond}
}

// end is a side of the link, with what it was told.
type end struct {
	t      *testing.T
	send   func(string, link.Message) error
	events <-chan link.Event
	close  func() error
	stats  func() link.Stats
}

func hub(t *testing.T, o link.Options, open link.Open) (*end, *link.Hub) {
	t.Helper()
	h, err := link.NewHub(o, open)
	if err != nil {
		t.Fatal(err)
	}
	e := &end{t, h.Send, h.Events(), h.Close, h.Stats}
	t.Cleanup(e.done)
	return e, h
}

func node(t *testing.T, name string, o link.Options, open link.Open) (*end, *link.Node) {
	t.Helper()
	n, err := link.NewNode(name, o, open)
	if err != nil {
		t.Fatal(err)
	}
	e := &end{t, n.Send, n.Events(), n.Close, n.Stats}
	t.Cleanup(e.done)
	return e, n
}

func (e *end) done() {
	if err := e.close(); err != nil {
		e.t.Error(err)
	}
}

// next is the next event, of the kind that is expected.
func (e *end) next(want link.EventKind) link.Event {
	e.t.Helper()
	select {
	case got, open := <-e.events:
		if !open || got.Kind != want {
			e.t.Fatalf("event %+v (open %v), want %v", got, open, want)
		}
		return got
	case <-time.After(patience):
		e.t.Fatalf("no event, want %v; %+v", want, e.stats())
	}
	return link.Event{}
}

// leaves receives what was still under way, in order, and then the end.
func (e *end) leaves() {
	e.t.Helper()
	for i := 0; ; i++ {
		select {
		case got := <-e.events:
			if got.Kind == link.Left {
				return
			}
			if got.Kind != link.Received || got.Message.Epoch != uint64(i) {
				e.t.Fatalf("event %+v before the end", got)
			}
		case <-time.After(patience):
			e.t.Fatalf("it does not leave: %+v", e.stats())
		}
	}
}

func number(i int) link.Message {
	return link.Message{Type: "n", Epoch: uint64(i), Lease: int64(-i), Body: json.RawMessage(fmt.Sprintf(`{"i":%d}`, i))}
}

// count sends messages as fast as the window allows.
func (e *end) count(session string, from, to int) {
	e.t.Helper()
	for i := from; i < to; i++ {
		if err := e.send(session, number(i)); err != nil {
			e.t.Errorf("send %d: %v", i, err)
			return
		}
	}
}

// expect receives them.
func (e *end) expect(from, to int) {
	e.t.Helper()
	for i := from; i < to; i++ {
		m := e.next(link.Received).Message
		if want := number(i); m.Type != want.Type || m.Epoch != want.Epoch || m.Lease != want.Lease || string(m.Body) != string(want.Body) {
			e.t.Fatalf("message %d is %+v", i, m)
		}
	}
}

func bothWays(t *testing.T, net Net) {
	h, hh := hub(t, options(), net.Hub())
	n, nn := node(t, "a", options(), net.Node("a"))
	up, down := n.next(link.Joined), h.next(link.Joined)
	if up.Session != down.Session || down.Peer != "a" || down.Incarnation != nn.Incarnation() || up.Incarnation != hh.Incarnation() {
		t.Errorf("joined: %+v and %+v", up, down)
	}
	exchange(t, h, n, up.Session, 0, 500)
	if err := n.close(); err != nil {
		t.Error(err)
	}
	if e := h.next(link.Left); !errors.Is(e.Why, link.ErrClosed) || e.Peer != "a" {
		t.Errorf("left: %+v", e)
	}
	if err := n.send(up.Session, number(1)); !errors.Is(err, link.ErrClosed) {
		t.Errorf("send on a closed link: %v", err)
	}
	if err := h.send(up.Session, number(1)); !errors.Is(err, link.ErrNoSession) {
		t.Errorf("send to one that left: %v", err)
	}
}

// exchange sends and receives in both directions at once.
func exchange(t *testing.T, h, n *end, session string, from, to int) {
	t.Helper()
	var all sync.WaitGroup
	for _, e := range []*end{h, n} {
		all.Go(func() { e.count(session, from, to) })
	}
	h.expect(from, to)
	n.expect(from, to)
	all.Wait()
}

// faults: at least once below, exactly once and in order above. A failure names its seed.
func faults(t *testing.T, net Net) {
	seed := uint64(time.Now().UnixNano())
	if s := Seed; s != 0 {
		seed = s
	}
	t.Logf("seed %d", seed)
	f := NewFaults(seed)
	h, _ := hub(t, options(), net.Hub())
	n, _ := node(t, "a", options(), f.Wrap("a", net.Node("a")))
	session := n.next(link.Joined).Session
	for e := h.next(link.Joined); e.Session != session; e = h.next(link.Joined) {
		h.next(link.Left)
	}
	exchange(t, h, n, session, 0, 600)
	if st := n.stats(); st.Duplicates == 0 || st.Resent == 0 {
		t.Errorf("the faults did nothing: %+v", st)
	}
}

// Seed replays TestConformance's faults; 0 takes a new one each time.
var Seed uint64

// partition: a session survives it, and what was sent meanwhile arrives.
func partition(t *testing.T, net Net) {
	f := NewFaults(1)
	f.Drop, f.Duplicate, f.Delay = 0, 0, 0
	h, hh := hub(t, options(), net.Hub())
	n, nn := node(t, "a", options(), f.Wrap("a", net.Node("a")))
	session := n.next(link.Joined).Session
	h.next(link.Joined)
	f.Cut("a", true)
	before, _ := nn.Contact()
	h.count(session, 0, 50)
	n.count(session, 0, 50)
	time.Sleep(300 * time.Millisecond) // three heartbeats that do not arrive
	if at, ok := nn.Contact(); !ok || at.Sub(before) > 100*time.Millisecond {
		t.Errorf("contact moved by %v in a partition", at.Sub(before))
	}
	if at, _ := hh.Contact("a"); time.Since(at) < 200*time.Millisecond {
		t.Errorf("the hub heard through a partition")
	}
	f.Cut("a", false)
	h.expect(0, 50)
	n.expect(0, 50)
}

func nodeRestarts(t *testing.T, net Net) {
	h, _ := hub(t, options(), net.Hub())
	f := NewFaults(1)
	f.Drop, f.Duplicate, f.Delay = 0, 0, 0
	first, n1 := node(t, "a", options(), f.Wrap("first", net.Node("a")))
	first.next(link.Joined)
	one := h.next(link.Joined)
	h.count(one.Session, 0, 10)
	f.Cut("first", true) // it dies without a word
	second, n2 := node(t, "a", options(), net.Node("a"))
	if e := h.next(link.Left); e.Session != one.Session || !errors.Is(e.Why, link.ErrReplaced) || e.Incarnation != n1.Incarnation() {
		t.Errorf("left: %+v", e)
	}
	two := h.next(link.Joined)
	if two.Session == one.Session || two.Incarnation != n2.Incarnation() {
		t.Errorf("joined: %+v after %+v", two, one)
	}
	second.next(link.Joined)
	exchange(t, h, second, two.Session, 100, 110) // nothing of the first run's
	if err := h.send(one.Session, number(1)); !errors.Is(err, link.ErrNoSession) {
		t.Errorf("send in the old session: %v", err)
	}
}

func hubRestarts(t *testing.T, net Net) {
	h, _ := hub(t, options(), net.Hub())
	n, _ := node(t, "a", options(), net.Node("a"))
	one := n.next(link.Joined)
	h.next(link.Joined)
	if err := h.close(); err != nil {
		t.Fatal(err)
	}
	h2, hh2 := hub(t, options(), net.Hub())
	n.next(link.Left)
	two := n.next(link.Joined)
	if two.Incarnation != hh2.Incarnation() || two.Session == one.Session {
		t.Errorf("joined %+v after %+v", two, one)
	}
	h2.next(link.Joined)
	exchange(t, h2, n, two.Session, 0, 10)
}

func hubComesLate(t *testing.T, net Net) {
	n, _ := node(t, "a", options(), net.Node("a"))
	if err := n.send("none", number(1)); !errors.Is(err, link.ErrNoSession) {
		t.Errorf("send without a hub: %v", err)
	}
	time.Sleep(200 * time.Millisecond)
	h, _ := hub(t, options(), net.Hub())
	exchange(t, h, n, n.next(link.Joined).Session, 0, 0)
	h.next(link.Joined)
}

// behind: a peer that is gone costs a bounded memory, and a verdict.
func behind(t *testing.T, net Net) {
	f := NewFaults(1)
	f.Drop, f.Duplicate, f.Delay = 0, 0, 0
	o := options()
	o.Window = 100
	h, _ := hub(t, o, net.Hub())
	n, _ := node(t, "a", o, f.Wrap("a", net.Node("a")))
	session := n.next(link.Joined).Session
	h.next(link.Joined)
	f.Cut("a", true)
	h.count(session, 0, 100)
	if err := h.send(session, number(100)); !errors.Is(err, link.ErrBehind) {
		t.Fatalf("message 101 of 100: %v", err)
	}
	if e := h.next(link.Left); !errors.Is(e.Why, link.ErrBehind) {
		t.Errorf("left: %+v", e)
	}
	if err := h.send(session, number(101)); !errors.Is(err, link.ErrNoSession) {
		t.Errorf("afterwards: %v", err)
	}
	f.Cut("a", false) // it comes back, and begins anew
	n.leaves()
	two := n.next(link.Joined).Session
	h.next(link.Joined)
	exchange(t, h, n, two, 0, 10)
}

// slow: a program that does not read its events holds up the peer, and loses nothing.
func slow(t *testing.T, net Net) {
	o := options()
	o.Queue = 10
	h, _ := hub(t, options(), net.Hub())
	n, _ := node(t, "a", o, net.Node("a"))
	session := n.next(link.Joined).Session
	h.next(link.Joined)
	h.count(session, 0, 500)
	for deadline := time.Now().Add(patience); n.stats().Overflow == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never full: %+v", n.stats())
		}
	}
	if d := n.stats().Delivered; d > 12 {
		t.Errorf("%d messages were taken while nobody read", d)
	}
	n.expect(0, 500)
}

// forged: a node's key speaks for that node alone.
func forged(t *testing.T, net Net) {
	told := make(chan link.Refusal, 10)
	o := options()
	o.Report = func(r link.Refusal) { told <- r }
	h, _ := hub(t, o, net.Hub())
	a, _ := node(t, "a", options(), net.Node("a"))
	a.next(link.Joined)
	session := h.next(link.Joined).Session
	node(t, "a", options(), net.Node("b")) // b's key, a's name
	select {
	case r := <-told:
		if r.Name != "b" || !strings.Contains(r.Why, "speak for a") {
			t.Errorf("refused: %+v", r)
		}
	case <-time.After(patience):
		t.Fatal("nothing was reported")
	}
	for deadline := time.Now().Add(patience); h.stats().Forged < 3; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not try again")
		}
	}
	exchange(t, h, a, session, 0, 10) // the real one is not disturbed
	if len(told) != 0 {
		t.Errorf("reported again: %+v", <-told)
	}
}

func large(t *testing.T, net Net) {
	h, _ := hub(t, options(), net.Hub())
	n, _ := node(t, "a", options(), net.Node("a"))
	session := n.next(link.Joined).Session
	h.next(link.Joined)
	for _, text := range []string{strings.Repeat("x", link.MaxBody-2), strings.Repeat("<", 30000)} {
		body, _ := json.Marshal(text)
		if err := h.send(session, link.Message{Type: "big", Body: body}); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := json.Unmarshal(n.next(link.Received).Message.Body, &got); err != nil || got != text {
			t.Errorf("%d bytes came back as %d: %v", len(text), len(got), err)
		}
	}
}

func noMessage(t *testing.T, net Net) {
	h, _ := hub(t, options(), net.Hub())
	n, _ := node(t, "a", options(), net.Node("a"))
	session := n.next(link.Joined).Session
	h.next(link.Joined)
	for name, m := range map[string]link.Message{
		"no type": {}, "long type": {Type: strings.Repeat("t", 65)}, "no JSON": {Type: "t", Body: json.RawMessage(`{`)},
		"two": {Type: "t", Body: json.RawMessage(`1 2`)}, "empty": {Type: "t", Body: json.RawMessage{}},
		"too long":  {Type: "t", Body: json.RawMessage(`"` + strings.Repeat("x", link.MaxBody) + `"`)},
		"not UTF-8": {Type: "t", Body: json.RawMessage("\"\xff\"")},
	} {
		if err := n.send(session, m); !errors.Is(err, link.ErrMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	exchange(t, h, n, session, 0, 3)
}

func closeBusy(t *testing.T, net Net) {
	h, _ := hub(t, options(), net.Hub())
	n, _ := node(t, "a", options(), net.Node("a"))
	session := n.next(link.Joined).Session
	h.next(link.Joined)
	var users sync.WaitGroup
	going := make(chan struct{}, 4)
	for _, e := range []*end{h, n, h, n} {
		users.Go(func() {
			err := e.send(session, number(0))
			going <- struct{}{}
			for i := 1; err == nil; i++ { // until it is closed, or nobody keeps up
				err = e.send(session, number(i))
			}
		})
	}
	for range cap(going) {
		<-going
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = n.close()
		_ = h.close()
		users.Wait()
	}()
	select {
	case <-closed:
	case <-time.After(patience):
		t.Fatal("close hangs")
	}
}

// contact grows while the two hear each other, and is never later than what the hub has heard.
func contact(t *testing.T, net Net) {
	_, hh := hub(t, options(), net.Hub())
	n, nn := node(t, "a", options(), net.Node("a"))
	n.next(link.Joined)
	first, ok := nn.Contact()
	if !ok || time.Since(first) > patience {
		t.Errorf("contact %v, %v", first, ok)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		at, ok := nn.Contact()
		heard, known := hh.Contact("a") // asked after it, so it can only be later
		if known && ok && heard.Before(at) {
			t.Fatalf("contact at %v, but the hub heard at %v", at, heard)
		}
		if at.Sub(first) > 200*time.Millisecond {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("contact stands still")
		}
	}
	if _, ok := hh.Contact("nobody"); ok {
		t.Error("contact with nobody")
	}
}

// lastWords: a node hears at once that the hub closes.
func lastWords(t *testing.T, net Net) {
	h, _ := hub(t, options(), net.Hub())
	n, _ := node(t, "a", options(), net.Node("a"))
	n.next(link.Joined)
	h.next(link.Joined)
	if err := h.close(); err != nil {
		t.Error(err)
	}
	if e := n.next(link.Left); !errors.Is(e.Why, link.ErrClosed) {
		t.Errorf("left: %+v", e)
	}
}

func many(t *testing.T, net Net) {
	const nodes, messages = 8, 50
	h, _ := hub(t, options(), net.Hub())
	var all sync.WaitGroup
	for i := range nodes {
		name := fmt.Sprintf("n%d", i)
		n, _ := node(t, name, options(), net.Node(name))
		session := n.next(link.Joined).Session
		all.Go(func() { n.count(session, 0, messages) })
	}
	got := map[string]int{}
	for joined, received := 0, 0; joined < nodes || received < nodes*messages; {
		select {
		case e := <-h.events:
			switch e.Kind {
			case link.Joined:
				joined++
			case link.Received:
				if want := number(got[e.Peer]); e.Message.Epoch != want.Epoch {
					t.Fatalf("%s: message %d is %+v", e.Peer, got[e.Peer], e.Message)
				}
				got[e.Peer]++
				received++
			default:
				t.Fatalf("event %+v", e)
			}
		case <-time.After(patience):
			t.Fatalf("%d joined, %d messages, %v", joined, received, got)
		}
	}
	all.Wait()
}
