package zmq

import (
	"bytes"
	"errors"
	"testing"
)

func frames(texts ...string) [][]byte {
	var f [][]byte
	for _, t := range texts {
		f = append(f, []byte(t))
	}
	return f
}

func TestOpen(t *testing.T) {
	cases := []struct {
		name    string
		in      [][]byte
		whole   bool
		address int // frames
		body    string
		err     error
	}{
		{"a REQ", frames("id", "", "body"), true, 2, "body", nil},
		{"a REQ behind a proxy", frames("id", "id2", "", "body"), true, 3, "body", nil},
		{"an empty body", frames("id", "", ""), true, 2, "", nil},
		{"a body of two frames", frames("id", "", "a", "b"), true, 2, "", errBody},
		{"no body", frames("id", ""), true, 2, "", errBody},
		{"cut off", frames("id", "", "body"), false, 2, "", errBody},
		{"a DEALER without delimiter", frames("id", "body"), true, 0, "", errNoDelimiter},
		{"a name alone", frames("id"), true, 0, "", errNoDelimiter},
		{"an empty name", frames(""), true, 0, "", errNoDelimiter},
		{"nothing", nil, true, 0, "", errNoDelimiter},
	}
	for _, c := range cases {
		e, err := open(c.in, c.whole)
		if !errors.Is(err, c.err) || len(e.address) != c.address || string(e.body) != c.body {
			t.Errorf("%s: %d address frames, body %q, %v", c.name, len(e.address), e.body, err)
		}
	}
}

// FuzzOpen splits its input into frames at each 0 byte.
func FuzzOpen(f *testing.F) {
	f.Add([]byte("id\x00\x00body"), true)
	f.Add([]byte("\x00\x00"), false)
	f.Fuzz(func(t *testing.T, in []byte, whole bool) {
		parts := bytes.Split(in, []byte{0})
		e, err := open(parts, whole)
		if (err == nil || errors.Is(err, errBody)) && len(e.address[len(e.address)-1]) != 0 {
			t.Fatal("an address that does not end with the delimiter")
		}
		if err == nil && (!whole || len(e.address)+1 != len(parts)) {
			t.Fatal("accepted a body that is not the one frame after the delimiter")
		}
	})
}
