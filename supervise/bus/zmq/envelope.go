package zmq

import "errors"

var (
	errNoDelimiter = errors.New("message without an empty delimiter frame")
	errBody        = errors.New("request must be one frame")
)

// envelope is a message from the ROUTER, taken apart. address ends with the empty delimiter and goes in front of the
// answer as it is.
type envelope struct {
	address [][]byte
	body    []byte
}

// open takes the frames of one message apart. whole is false if there were more than were kept. With errNoDelimiter
// there is no address to answer to; with errBody there is.
func open(frames [][]byte, whole bool) (envelope, error) {
	for i, f := range frames {
		if i == 0 || len(f) > 0 { // frame 0 is the ROUTER's own name for the peer
			continue
		}
		e := envelope{address: frames[:i+1]}
		if !whole || len(frames) != i+2 {
			return e, errBody
		}
		e.body = frames[i+1]
		return e, nil
	}
	return envelope{}, errNoDelimiter
}
