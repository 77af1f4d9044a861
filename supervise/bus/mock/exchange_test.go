package mock

import (
	"testing"

	"github.com/procguard/procguard/supervise/bus/link"
	"github.com/procguard/procguard/supervise/bus/link/linktest"
)

type net struct{ x *Exchange }

func (n net) Hub() link.Open             { return n.x.Hub() }
func (n net) Node(name string) link.Open { return n.x.Node(name) }

func TestLinkConformance(t *testing.T) {
	linktest.Run(t, func(*testing.T) linktest.Net { return net{NewExchange()} })
}
