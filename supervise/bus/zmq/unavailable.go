//go:build !cgo || !zmq

package zmq

import (
	"fmt"

	"github.com/procguard/procguard/supervise/bus"
)

// Available tells whether this binary has the adapter.
const Available = false

// New fails: this binary was built without ZeroMQ.
func New(bus.Options, bus.Handler) (bus.Bus, error) {
	return nil, fmt.Errorf("cannot use adapter_type zmq: %w: this procguard was built without ZeroMQ "+
		"(cgo and the build tag zmq; `make build` sets both)", bus.ErrUnavailable)
}
