package zmq

import (
	"context"
	"time"

	"github.com/procguard/procguard/supervise/bus"
	"github.com/procguard/procguard/supervise/bus/curve"
)

// HubOptions say where a hub listens for its nodes.
type HubOptions struct {
	Host     string      // an address of this machine
	Port     int         // 0: any free one
	Keys     *curve.Ring // its own key, and the nodes'; nil: no CURVE
	Insecure bool        // accept a Host that others can reach, with no keys
	Bound    func(endpoint string)
	Report   func(bus.Refusal) // as in bus.Options
}

// NodeOptions say where a node finds its hub.
type NodeOptions struct {
	Host     string      // a name is resolved anew for each connection
	Port     int         //
	Keys     *curve.Ring // its own key, and the hub's; nil: no CURVE
	Hub      string      // the name of the hub's key
	Insecure bool        // accept a hub elsewhere with no keys: whoever answers there can give orders
	Report   func(bus.Refusal)

	Resolve func(ctx context.Context, host string) ([]string, error) // nil: the system's
	Dial    time.Duration                                            // for one attempt to connect, 2 s
	Silence time.Duration                                            // without a frame, after which it connects anew, 10 s
}
