package bus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

const (
	// MaxRequest is the longest request that is looked at, in bytes. A real one has a few hundred.
	MaxRequest = 64 << 10
	// MaxFrame is the longest frame that an adapter takes from a peer at all, in bytes. Between the two a peer gets an
	// answer that says why; above it the adapter drops the connection without reading on.
	MaxFrame = 4 * MaxRequest
	// maxName bounds commands and worker ids, in bytes, because both end up in logs and in answers.
	maxName = 256
)

// Request is what a peer asks.
type Request struct {
	Command  string         `json:"command"`
	WorkerID string         `json:"worker_id"`
	Kwargs   map[string]any `json:"kwargs"`
	From     string         `json:"-"` // the name of the key that it came with; empty where there are no keys
}

// Response is the answer to a Request.
type Response struct {
	WorkerID  string  `json:"worker_id"`
	Status    string  `json:"status"`    // "ok", a worker's status, or "error"
	Timestamp float64 `json:"timestamp"` // seconds since 1970, when the answer was made
	Error     string  `json:"error,omitempty"`
}

// Decode reads one request. Unknown fields are ignored, so that newer peers can talk to older ones; a missing
// worker_id or kwargs is left empty.
func Decode(frame []byte) (Request, error) {
	var r Request
	if len(frame) > MaxRequest {
		return Request{}, fmt.Errorf("request of %d bytes is longer than %d", len(frame), MaxRequest)
	}
	if !utf8.Valid(frame) {
		return Request{}, errors.New("request is not UTF-8")
	}
	if trimmed := bytes.TrimLeft(frame, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return Request{}, errors.New("request is not a JSON object")
	}
	if err := json.Unmarshal(frame, &r); err != nil {
		return Request{}, fmt.Errorf("request is not as expected: %w", err)
	}
	if err := r.check(); err != nil {
		return Request{}, err
	}
	return r, nil
}

func (r Request) check() error {
	switch {
	case r.Command == "":
		return errors.New("request has no command")
	case len(r.Command) > maxName:
		return fmt.Errorf("command is longer than %d bytes", maxName)
	case len(r.WorkerID) > maxName:
		return fmt.Errorf("worker_id is longer than %d bytes", maxName)
	}
	return nil
}

// Encode writes a response.
func Encode(r Response) []byte {
	frame, err := json.Marshal(r)
	if err != nil {
		// Only a Timestamp that is not a number can bring us here.
		r.Timestamp, r.Status, r.Error = 0, "error", err.Error()
		frame, _ = json.Marshal(r)
	}
	return frame
}

// complete fills in what a handler left to its defaults.
func complete(resp Response, req Request, now time.Time) Response {
	if resp.WorkerID == "" {
		resp.WorkerID = req.WorkerID
	}
	if resp.Status == "" {
		resp.Status = "ok"
		if resp.Error != "" {
			resp.Status = "error"
		}
	}
	if resp.Timestamp == 0 {
		resp.Timestamp = float64(now.UnixNano()) / 1e9
	}
	return resp
}

func failure(req Request, text string) []byte {
	return Encode(complete(Response{Error: text}, req, time.Now()))
}
