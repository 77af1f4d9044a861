//go:build cgo && zmq

package zmq

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/procguard/procguard/supervise/bus/link"
)

// joinedPair is a hub and a node with CURVE over the loopback interface.
func joinedPair(b *testing.B) (h *link.Hub, n *link.Node, session string) {
	net := newNet(b, "a")
	h, err := link.NewHub(link.Options{}, net.Hub())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = h.Close() })
	n, err = link.NewNode("a", link.Options{}, net.Node("a"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = n.Close() })
	session = (<-n.Events()).Session
	<-h.Events()
	return h, n, session
}

var spawnLike = link.Message{Type: "spawn", Epoch: 7, Body: json.RawMessage(`{"worker":"trainer_3","generation":12,"rank":3,"world":8,"master":"trainer-0:29500"}`)}

// BenchmarkRoundTrip: a command to a node and its answer, CURVE on. p50-us and p99-us are of single round trips.
func BenchmarkRoundTrip(b *testing.B) {
	h, n, session := joinedPair(b)
	go func() {
		for e := range n.Events() {
			if e.Kind == link.Received {
				_ = n.Send(session, e.Message)
			}
		}
	}()
	took := make([]time.Duration, 0, b.N)
	for b.Loop() {
		start := time.Now()
		if err := h.Send(session, spawnLike); err != nil {
			b.Fatal(err)
		}
		<-h.Events()
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
}

// BenchmarkThroughput: messages in one direction, CURVE on, at most 500 not yet received.
func BenchmarkThroughput(b *testing.B) {
	h, n, session := joinedPair(b)
	tokens := make(chan struct{}, 500)
	go func() {
		for e := range n.Events() {
			if e.Kind == link.Received {
				<-tokens
			}
		}
	}()
	start, sent := time.Now(), 0
	for b.Loop() {
		tokens <- struct{}{}
		if err := h.Send(session, spawnLike); err != nil {
			b.Fatal(err)
		}
		sent++
	}
	b.ReportMetric(float64(sent)/time.Since(start).Seconds(), "msg/s")
}
