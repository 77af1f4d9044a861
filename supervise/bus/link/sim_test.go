package link

import (
	"container/heap"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"
)

var (
	seedFlag  = flag.Uint64("link.seed", 0, "replay one world of TestSeeds")
	seedsFlag = flag.Int("link.seeds", 40, "how many worlds TestSeeds has")
)

// world is a hub and some nodes on a bad network, in virtual time: a seed is all there is to it.
type world struct {
	t     testing.TB
	dice  *rand.Rand
	now   time.Time
	queue happenings
	n     int // happenings so far, for their order
	calm  bool
	cut   map[int]bool
	hub   *side
	nodes []*side
	names int
}

// side is a run of the hub or of a node, and what its program knows.
type side struct {
	core core
	run  int
	name string
	// by session: sent is what this side sent, got is what it received.
	sent, got map[string][]int
	live      map[string]string // sessions in progress and their peer
	seen      map[string]bool
	next      int
	timer     time.Time
}

type happening struct {
	at time.Time
	n  int
	do func()
}

type happenings []happening

func (h happenings) Len() int { return len(h) }
func (h happenings) Less(i, j int) bool {
	return h[i].at.Before(h[j].at) || h[i].at.Equal(h[j].at) && h[i].n < h[j].n
}
func (h happenings) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *happenings) Push(x any)   { *h = append(*h, x.(happening)) }
func (h *happenings) Pop() any {
	x := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return x
}

func (w *world) after(d time.Duration, do func()) {
	w.n++
	heap.Push(&w.queue, happening{w.now.Add(d), w.n, do})
}

func (w *world) options() Options {
	return Options{Heartbeat: time.Second, Resend: 50 * time.Millisecond, Window: 64, Queue: 6, Rand: func() string {
		w.names++
		return "name-" + strconv.Itoa(w.names)
	}}
}

func newWorld(t testing.TB, seed uint64) *world {
	w := &world{t: t, dice: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1e9, 0), cut: map[int]bool{}}
	w.startHub()
	for i := range 1 + w.dice.IntN(4) {
		w.nodes = append(w.nodes, nil)
		w.startNode(i)
	}
	return w
}

func newSide(c core, name string, run int) *side {
	return &side{core: c, run: run, name: name, sent: map[string][]int{}, got: map[string][]int{}, live: map[string]string{}, seen: map[string]bool{}}
}

func (w *world) startHub() {
	run := 0
	if w.hub != nil {
		run = w.hub.run + 1
	}
	w.hub = newSide(newHubCore(w.options(), w.now), "hub", run)
}

func (w *world) startNode(i int) {
	run := 0
	if w.nodes[i] != nil {
		run = w.nodes[i].run + 1
	}
	name := "node-" + strconv.Itoa(i)
	w.nodes[i] = newSide(newNodeCore(name, w.options(), w.now), name, run)
	w.settle(w.nodes[i], i)
}

// settle carries out what a side wants after a change: frames, its program's reading, its next deadline.
func (w *world) settle(s *side, i int) {
	for round := 0; round < 100; round++ {
		b := s.core.shared()
		for _, o := range b.out {
			w.carry(s, i, o)
		}
		b.out = b.out[:0]
		if len(b.events) == 0 || !w.calm && w.dice.IntN(8) == 0 { // the program is sometimes slow
			break
		}
		w.read(s, b.events[0])
		b.pop(w.now)
	}
	at := s.core.deadline()
	if at.Before(w.now) {
		at = w.now
	}
	if len(s.core.shared().events) > 0 { // it will read on
		at = minTime(at, w.now.Add(20*time.Millisecond))
	}
	if s.timer.IsZero() || at.Before(s.timer) || !s.timer.After(w.now) {
		s.timer = at
		w.after(at.Sub(w.now), func() { w.expire(s, i, at) })
	}
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (w *world) expire(s *side, i int, at time.Time) {
	if !w.alive(s, i) || !s.timer.Equal(at) {
		return
	}
	s.timer = time.Time{}
	s.core.tick(w.now)
	w.settle(s, i)
}

func (w *world) alive(s *side, i int) bool { return s == w.hub || i >= 0 && s == w.nodes[i] }

// carry is the network: it loses, repeats, reorders and delays.
func (w *world) carry(from *side, i int, o outgoing) {
	to := i
	if from == w.hub {
		to, _ = strconv.Atoi(o.route)
	}
	copies := 1
	if !w.calm {
		switch r := w.dice.IntN(100); {
		case r < 15:
			copies = 0
		case r < 30:
			copies = 2
		}
	}
	for range copies {
		delay := time.Duration(w.dice.IntN(int(2 * time.Millisecond)))
		if !w.calm && w.dice.IntN(5) == 0 {
			delay = time.Duration(w.dice.IntN(int(3 * time.Second)))
		}
		w.after(delay, func() { w.arrive(from == w.hub, to, o.frame) })
	}
}

func (w *world) arrive(down bool, i int, frame []byte) {
	if w.cut[i] && !w.calm {
		return
	}
	if down {
		w.nodes[i].core.receive(Packet{Frame: frame}, w.now)
		w.settle(w.nodes[i], i)
		return
	}
	w.hub.core.receive(Packet{Route: strconv.Itoa(i), Name: "node-" + strconv.Itoa(i), Frame: frame}, w.now)
	w.settle(w.hub, -1)
}

// read is a program that checks what it is told.
func (w *world) read(s *side, e Event) {
	switch e.Kind {
	case Joined:
		for session, peer := range s.live {
			if peer == e.Peer {
				w.fatal("%s: joined %s while %s goes on with %q", s.name, e.Session, session, peer)
			}
		}
		if s.seen[e.Session] {
			w.fatal("%s: the session %s began twice", s.name, e.Session)
		}
		s.live[e.Session], s.seen[e.Session] = e.Peer, true
	case Left:
		if _, on := s.live[e.Session]; !on || e.Why == nil {
			w.fatal("%s: left %s, which was not on (%v)", s.name, e.Session, e.Why)
		}
		delete(s.live, e.Session)
	case Received:
		if _, on := s.live[e.Session]; !on {
			w.fatal("%s: a message of %s, which is not on", s.name, e.Session)
		}
		var n int
		if err := json.Unmarshal(e.Message.Body, &n); err != nil || e.Message.Epoch != uint64(n) {
			w.fatal("%s: message %+v: %v", s.name, e.Message, err)
		}
		s.got[e.Session] = append(s.got[e.Session], n)
	}
}

// say makes the program of a side send something in one of its sessions.
func (w *world) say(s *side, i int) {
	var sessions []string
	for session := range s.live {
		sessions = append(sessions, session)
	}
	slices.Sort(sessions)
	if len(sessions) == 0 {
		return
	}
	session := sessions[w.dice.IntN(len(sessions))]
	for range 1 + w.dice.IntN(10) {
		s.next++
		err := s.core.send(session, Message{Type: "n", Epoch: uint64(s.next), Body: json.RawMessage(strconv.Itoa(s.next))}, w.now)
		if err == nil {
			s.sent[session] = append(s.sent[session], s.next)
		} else if !errors.Is(err, ErrNoSession) && !errors.Is(err, ErrBehind) {
			w.fatal("send: %v", err)
		}
	}
	w.settle(s, i)
}

func (w *world) fatal(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf(format, args...)
}

// misfortune is one act of the world.
func (w *world) misfortune(past *[]*side) {
	i := w.dice.IntN(len(w.nodes))
	switch r := w.dice.IntN(100); {
	case r < 2:
		*past = append(*past, w.hub)
		w.startHub()
		w.settle(w.hub, -1)
	case r < 5:
		*past = append(*past, w.nodes[i])
		w.startNode(i)
	case r < 9:
		w.cut[i] = !w.cut[i]
	case r < 13:
		w.nodes[i].core.connected(w.now)
		w.settle(w.nodes[i], i)
	case r < 55:
		w.say(w.nodes[i], i)
	default:
		w.say(w.hub, -1)
	}
}

func (w *world) run(until time.Time, each func()) {
	for len(w.queue) > 0 && w.queue[0].at.Before(until) {
		h := heap.Pop(&w.queue).(happening)
		w.now = h.at
		h.do()
		each()
	}
	w.now = until
}

// contactIsSafe: what a node takes for contact was heard by the hub, not before that time.
func (w *world) contactIsSafe() {
	for _, n := range w.nodes {
		at, ok := n.core.(*nodeCore).contact()
		if !ok {
			continue
		}
		p := w.hub.core.(*hubCore).peers[n.name]
		if live := n.core.(*nodeCore).live; p != nil && p.live != nil && p.live.session == live.session && p.live.heardAt.Before(at) {
			w.fatal("%s counts on contact at %v, but was heard at %v", n.name, at, p.live.heardAt)
		}
	}
}

// prefixes: what was received in a session is how the sending began.
func (w *world) prefixes(all []*side) {
	for _, from := range all {
		for session, sent := range from.sent {
			for _, to := range all {
				got := to.got[session]
				if to == from || (to.name == "hub") == (from.name == "hub") {
					continue
				}
				if len(got) > len(sent) || !slices.Equal(got, sent[:len(got)]) {
					w.fatal("session %s, %s to %s: sent %v, received %v", session, from.name, to.name, sent, got)
				}
			}
		}
	}
}

func play(t testing.TB, seed uint64) *world {
	w := newWorld(t, seed)
	var past []*side
	for range 300 {
		w.misfortune(&past)
		w.run(w.now.Add(time.Duration(w.dice.IntN(int(300*time.Millisecond)))), w.contactIsSafe)
	}
	w.calm = true
	w.run(w.now.Add(30*time.Second), w.contactIsSafe)
	for i := range w.nodes {
		w.say(w.nodes[i], i)
	}
	for range 20 {
		w.say(w.hub, -1)
		w.run(w.now.Add(time.Second), w.contactIsSafe)
	}
	w.run(w.now.Add(10*time.Second), w.contactIsSafe)
	w.prefixes(append(past, append(slices.Clone(w.nodes), w.hub)...))
	for _, n := range w.nodes {
		if len(n.live) != 1 {
			w.fatal("%s has no session after the faults have stopped", n.name)
		}
		for session := range n.live {
			if w.hub.live[session] != n.name {
				w.fatal("the hub does not know the session of %s", n.name)
			}
			if !slices.Equal(w.hub.got[session], n.sent[session]) || !slices.Equal(n.got[session], w.hub.sent[session]) {
				w.fatal("%s: not all has arrived in %s: sent %v, received %v; hub sent %v, received %v", n.name, session, n.sent[session], w.hub.got[session], w.hub.sent[session], n.got[session])
			}
			if len(n.sent[session]) == 0 {
				w.fatal("%s sent nothing in the end", n.name)
			}
		}
	}
	return w
}

// TestSeeds plays many worlds; -link.seed replays one.
func TestSeeds(t *testing.T) {
	if *seedFlag != 0 {
		play(t, *seedFlag)
		return
	}
	var total Stats
	for seed := range uint64(*seedsFlag) {
		t.Run(fmt.Sprint(seed+1), func(t *testing.T) {
			w := play(t, seed+1)
			for _, s := range append(slices.Clone(w.nodes), w.hub) {
				st := s.core.shared().stats
				total.Sent, total.Delivered, total.Resent = total.Sent+st.Sent, total.Delivered+st.Delivered, total.Resent+st.Resent
				total.Duplicates, total.Stale, total.Overflow = total.Duplicates+st.Duplicates, total.Stale+st.Stale, total.Overflow+st.Overflow
				total.Behind, total.Sessions = total.Behind+st.Behind, total.Sessions+st.Sessions
			}
		})
	}
	t.Logf("%d worlds, the last runs of each: %+v", *seedsFlag, total)
	if total.Duplicates == 0 || total.Stale == 0 || total.Overflow == 0 || total.Behind == 0 || total.Resent == 0 {
		t.Errorf("the worlds are too kind: %+v", total)
	}
}

// TestReplay: one seed is one world.
func TestReplay(t *testing.T) {
	a, b := play(t, 7), play(t, 7)
	if a.n != b.n || a.hub.core.shared().stats != b.hub.core.shared().stats {
		t.Errorf("two plays of one seed differ: %d and %d happenings, %+v and %+v", a.n, b.n, a.hub.core.shared().stats, b.hub.core.shared().stats)
	}
}
