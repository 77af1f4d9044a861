//go:build !cgo || !zmq

package zmq

import (
	"fmt"

	"github.com/procguard/procguard/supervise/bus"
	"github.com/procguard/procguard/supervise/bus/link"
)

// Available tells whether this binary has the adapter.
const Available = false

func unavailable() error {
	return fmt.Errorf("cannot use adapter_type zmq: %w: this procguard was built without ZeroMQ "+
		"(cgo and the build tag zmq; `make build` sets both)", bus.ErrUnavailable)
}

// New fails: this binary was built without ZeroMQ.
func New(bus.Options, bus.Handler) (bus.Bus, error) { return nil, unavailable() }

// OpenHub fails as New does.
func OpenHub(HubOptions) link.Open { return refuse }

// OpenNode fails as New does.
func OpenNode(NodeOptions) link.Open { return refuse }

func refuse(link.Inlet) (link.Carrier, error) { return nil, unavailable() }
