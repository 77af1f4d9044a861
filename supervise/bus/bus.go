package bus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/procguard/procguard/supervise/bus/curve"
)

// Bus is a running adapter. All methods may be called by several goroutines at once.
type Bus interface {
	// Publish sends event, as JSON, to everyone subscribed to a prefix of topic. It queues and returns; the error is
	// that of encoding event or ErrClosed.
	Publish(topic string, event any) error
	// Endpoints tells where the bus listens.
	Endpoints() Endpoints
	// Stats returns the counters since the start.
	Stats() Stats
	// Close ends the requests in progress, waits for their handlers, and stops. It may be called again.
	Close() error
}

// Handler serves one request. ctx ends when Options.Timeout has passed or the bus closes; an answer that comes later
// is lost. Of the Response, a zero WorkerID becomes the request's, a zero Timestamp the present time, and an empty
// Status "ok", or "error" if Error is set.
type Handler func(ctx context.Context, r Request) Response

// Endpoints are the addresses of a bus, in the adapter's own notation (for zmq, what a client connects to).
type Endpoints struct {
	Requests string // answers requests; port_base
	Events   string // publishes events; port_base + 1
}

// Stats counts what passed through a bus.
type Stats struct {
	Requests  uint64 // handed to the handler
	Malformed uint64 // not a request: wrong frames, too long, not JSON, no command
	Busy      uint64 // refused because MaxInFlight requests were in progress
	Expired   uint64 // the handler did not return in time
	Published uint64 // events given to the adapter
	Dropped   uint64 // events lost because the queue was full
	Forbidden uint64 // requests for which the peer's key has no right
	Refused   uint64 // connections turned away: unknown key, no right, or no CURVE
}

var (
	// ErrClosed is returned by the methods of a closed bus.
	ErrClosed = errors.New("the bus is closed")
	// ErrUnavailable is returned by adapters that this binary was built without.
	ErrUnavailable = errors.New("adapter not built in")
)

// Options say where a bus listens. They are the seed's adapter_config.
type Options struct {
	Host     string        // an address of this machine, or "localhost"
	PortBase int           // requests; events go to the port after it. 0: any two free ports
	Timeout  time.Duration // for an answer, and for sending it
	Insecure bool          // accept a Host that others can reach, with no keys
	Keys     *curve.Ring   // whom to let in, and for what; nil: whoever can reach Host
	// Report is told of peers that were turned away: a bounded number of times, and never twice the same. It must
	// not wait. nil: nobody is told.
	Report func(Refusal)
}

// Refusal is a peer that was turned away.
type Refusal struct {
	Addr string // of the peer, as far as it is known
	Name string // of its key, as far as it is known
	Why  string
}

// Check says what is wrong with the options, or nil. Without keys anyone who reaches the port can stop workers, so
// every host but a loopback address is refused unless Insecure is set. A name other than "localhost" counts as
// reachable: what it resolves to can change.
func (o Options) Check() error {
	switch {
	case o.Host == "":
		return errors.New("host is empty")
	case o.PortBase < 0 || o.PortBase > 65534:
		return fmt.Errorf("port_base %d is not in 0..65534 (the port after it is used too)", o.PortBase)
	case o.Timeout <= 0:
		return fmt.Errorf("timeout %v is not positive", o.Timeout)
	case o.Keys != nil:
		return o.Keys.Check()
	case !o.Insecure && !Loopback(o.Host):
		return fmt.Errorf("host %q can be reached by others and there are no keys: use 127.0.0.1, give keys, or set insecure: true", o.Host)
	}
	return nil
}

// Loopback tells whether a host is this machine alone, whatever the network does.
func Loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
