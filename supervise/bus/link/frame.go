package link

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Version is that of the frames written and understood here.
const Version = 1

// The kinds of frames.
const (
	hello   = "hello"   // node to hub: who it is, and that it has no session
	welcome = "welcome" // hub to node: the session it may use
	data    = "data"    // a message
	ack     = "ack"     // an acknowledgement, and a sign of life
	reset   = "reset"   // the session is over
)

// frame is the wire format, doc/protocol.md.
type frame struct {
	V       int             `json:"v"`
	Kind    string          `json:"kind"`
	Node    string          `json:"node,omitempty"`    // hello, welcome
	Inc     string          `json:"inc,omitempty"`     // hello, welcome: the node's incarnation
	Round   uint64          `json:"round,omitempty"`   // hello: sessions that this incarnation has had
	Hub     string          `json:"hub,omitempty"`     // welcome: the hub's incarnation
	Session string          `json:"session,omitempty"` // all but hello
	Seq     uint64          `json:"seq,omitempty"`     // data: from 1 up in each direction
	Ack     uint64          `json:"ack,omitempty"`     // data, ack: all up to it were delivered
	Gap     bool            `json:"gap,omitempty"`     // ack: the one after Ack is missing, later ones are here
	At      int64           `json:"at,omitempty"`      // the sender's own clock, in nanoseconds, growing
	Echo    int64           `json:"echo,omitempty"`    // the greatest At that came from the peer
	Type    string          `json:"type,omitempty"`    // data
	Epoch   uint64          `json:"epoch,omitempty"`   // data
	Lease   int64           `json:"lease,omitempty"`   // data
	Body    json.RawMessage `json:"body,omitempty"`    // data
	Why     string          `json:"why,omitempty"`     // reset
}

// versionError says that a frame is of another version.
type versionError int

func (v versionError) Error() string {
	return fmt.Sprintf("speaks version %d of the link protocol, and this procguard version %d: run the same release everywhere", int(v), Version)
}

// decode reads a frame. Unknown fields are ignored; another version is a versionError, whatever else is in it.
func decode(raw []byte) (*frame, error) {
	if len(raw) > MaxFrame {
		return nil, fmt.Errorf("frame of %d bytes is longer than %d", len(raw), MaxFrame)
	}
	if !utf8.Valid(raw) || len(raw) == 0 || raw[0] != '{' {
		return nil, errors.New("frame is not a JSON object")
	}
	var f frame
	if err := json.Unmarshal(raw, &f); err != nil {
		var only struct{ V int }
		if json.Unmarshal(raw, &only) == nil && only.V != Version && only.V > 0 {
			return nil, versionError(only.V)
		}
		return nil, errors.New("frame is not as expected")
	}
	if f.V != Version {
		return nil, versionError(f.V)
	}
	return &f, f.check()
}

func (f *frame) check() error {
	for _, s := range []string{f.Node, f.Inc, f.Hub, f.Session, f.Type, f.Why} {
		if len(s) > maxName {
			return errors.New("a name in the frame is too long")
		}
	}
	if f.At < 0 || f.Echo < 0 || len(f.Body) > MaxBody {
		return errors.New("a value in the frame is out of range")
	}
	missing := false
	switch f.Kind {
	case hello:
		missing = f.Node == "" || f.Inc == ""
	case welcome:
		missing = f.Node == "" || f.Inc == "" || f.Hub == "" || f.Session == ""
	case data:
		missing = f.Session == "" || f.Seq == 0 || f.Type == ""
	case ack, reset:
		missing = f.Session == ""
	default:
		return errors.New("a frame of no known kind")
	}
	if missing {
		return fmt.Errorf("the %s frame lacks a field", f.Kind)
	}
	return nil
}

// encode writes a frame whose Body, if any, is JSON: seal has checked it.
func encode(f *frame) []byte {
	f.V = Version
	raw, err := json.Marshal(f)
	if err != nil {
		panic("link: " + err.Error()) // only a Body that is not JSON could bring us here
	}
	return raw
}

// seal checks a message and makes its body compact, and ours.
func seal(m Message) (Message, error) {
	if m.Type == "" || len(m.Type) > maxName/2 || !utf8.ValidString(m.Type) {
		return m, fmt.Errorf("%w: its type is empty or too long", ErrMessage)
	}
	if m.Body == nil {
		return m, nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, m.Body); err != nil || !utf8.Valid(m.Body) {
		return m, fmt.Errorf("%w: its body is not JSON", ErrMessage)
	}
	if m.Body = b.Bytes(); len(m.Body) > MaxBody || growth(m.Body)+len(m.Body) > MaxFrame-2048 {
		return m, fmt.Errorf("%w: its body of %d bytes is longer than %d", ErrMessage, len(m.Body), MaxBody)
	}
	return m, nil
}

// growth is how many bytes encoding/json adds when it escapes what could end a script in HTML.
func growth(body []byte) int {
	n := bytes.Count(body, []byte("<")) + bytes.Count(body, []byte(">")) + bytes.Count(body, []byte("&"))
	return n * len(`\u003`)
}

func (f *frame) message() Message {
	return Message{Type: f.Type, Epoch: f.Epoch, Lease: f.Lease, Body: f.Body}
}

// random is a name that nobody can guess: 128 bits.
func random() string { return rand.Text()[:26] }
