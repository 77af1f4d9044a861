//go:build cgo && zmq

package zmq

import (
	zmq "github.com/pebbe/zmq4"

	"github.com/procguard/procguard/supervise/bus"
	"github.com/procguard/procguard/supervise/bus/curve"
)

// The domains of ZAP (RFC 27), one for each kind of socket.
const (
	requestDomain = "procguard.requests"
	eventDomain   = "procguard.events"
	linkDomain    = "procguard.link"
)

// userID and peerAddress are properties of a message whose connection has passed the gate.
const (
	userID      = "User-Id"
	peerAddress = "Peer-Address"
)

// entry is what a domain asks of a key: any of these rights.
var entry = map[string][]curve.Right{
	requestDomain: {curve.Status, curve.Heartbeat, curve.Commands},
	eventDomain:   {curve.Status},
	linkDomain:    {curve.Node},
}

// gate is the ZAP handler of one context: it decides who may connect. Its goroutine owns its socket, and ends with the
// context.
type gate struct {
	soc  *zmq.Socket
	ring *curve.Ring
	no   *bus.Refusals
	done chan struct{}
}

// openGate must come before the first bind.
func openGate(ctx *zmq.Context, ring *curve.Ring, no *bus.Refusals) (*gate, error) {
	soc, err := ctx.NewSocket(zmq.REP)
	if err != nil {
		return nil, err
	}
	_ = soc.SetLinger(0)
	if err := soc.Bind("inproc://zeromq.zap.01"); err != nil {
		_ = soc.Close()
		return nil, err
	}
	g := &gate{soc, ring, no, make(chan struct{})}
	go g.run()
	return g, nil
}

func (g *gate) run() {
	defer close(g.done)
	defer g.soc.Close()
	for {
		request, err := g.soc.RecvMessage(0)
		switch {
		case err == nil:
			_, _ = g.soc.SendMessage(g.answer(request))
		case zmq.AsErrno(err) == zmq.ETERM:
			return
		}
	}
}

// answer is that of RFC 27: version, request id, code, text, user id, metadata.
func (g *gate) answer(request []string) []string {
	id := ""
	if len(request) > 1 {
		id = request[1]
	}
	name, why := g.judge(request)
	if why == nil {
		return []string{"1.0", id, "200", "OK", name, ""}
	}
	g.no.Add(*why)
	return []string{"1.0", id, "400", "NO ACCESS", "", ""}
}

// judge is whose key it is, or why it does not come in. The frames of a request: version, request id, domain, address,
// identity, mechanism, credentials.
func (g *gate) judge(request []string) (name string, no *bus.Refusal) {
	if len(request) != 7 || request[0] != "1.0" || request[5] != "CURVE" || len(request[6]) != 32 {
		return "", &bus.Refusal{Why: "no CURVE key was shown"}
	}
	key := curve.Encode([32]byte([]byte(request[6])))
	name, grant, known := g.ring.Find(key)
	switch domain := request[2]; {
	case !known:
		return "", &bus.Refusal{Addr: request[3], Why: "the key " + key + " is not allowed here"}
	case !grant.Has(entry[domain]...):
		return "", &bus.Refusal{Addr: request[3], Name: name, Why: "the key has no right to " + domain}
	}
	return name, nil
}

// guard makes a socket a CURVE server behind the gate.
func guard(soc *zmq.Socket, ring *curve.Ring, domain string) error {
	return firstError(
		func() error { return soc.SetCurveServer(1) },
		func() error { return soc.SetCurveSecretkey(ring.Secret.Reveal()) },
		func() error { return soc.SetZapDomain(domain) },
		func() error { return soc.SetHandshakeIvl(handshake) },
	)
}

func firstError(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// about lists the properties to ask of a message.
func about(ring *curve.Ring) []string {
	if ring == nil {
		return nil
	}
	return []string{userID, peerAddress}
}
