//go:build cgo && zmq

package zmq

import (
	"errors"
	"fmt"

	"github.com/procguard/procguard/supervise/bus"
)

func (o HubOptions) check() error {
	return bus.Options{Host: o.Host, PortBase: o.Port, Timeout: 1, Keys: o.Keys, Insecure: o.Insecure}.Check()
}

// check gives the hub's public key, empty without keys.
func (o NodeOptions) check() (key string, err error) {
	switch {
	case o.Host == "" || o.Port < 1 || o.Port > 65535:
		return "", errors.New("the hub's host or port is missing")
	case o.Keys == nil && !o.Insecure && !bus.Loopback(o.Host):
		return "", fmt.Errorf("the hub at %q is elsewhere and there are no keys: give keys, or set insecure: true", o.Host)
	case o.Keys == nil:
		return "", nil
	}
	if err := o.Keys.Check(); err != nil {
		return "", err
	}
	g, known := o.Keys.Allow[o.Hub]
	if !known {
		return "", fmt.Errorf("there is no key of %q, the hub", o.Hub)
	}
	return g.Key, nil
}
