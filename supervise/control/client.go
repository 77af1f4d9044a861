package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"syscall"
)

// Client speaks to a running procguard.
type Client struct{ http *http.Client }

// ErrNobody says that no procguard listens on the socket.
var ErrNobody = errors.New("no procguard answers")

// Dial makes a client for the socket at path. It does not connect yet.
func Dial(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	return &Client{&http.Client{Timeout: 2 * answerTime, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Status asks for the status. The error is ErrNobody if nothing listens there.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	s := &Status{}
	return s, c.get(ctx, "/v1/status", s)
}

// Incidents fills list with what Backend.Incidents gave.
func (c *Client) Incidents(ctx context.Context, list any) error {
	return c.get(ctx, "/v1/incidents", list)
}

// Incident fills doc with one incident; fs.ErrNotExist if there is none.
func (c *Client) Incident(ctx context.Context, n uint64, doc any) error {
	return c.get(ctx, "/v1/incidents/"+strconv.FormatUint(n, 10), doc)
}

func (c *Client) get(ctx context.Context, path string, doc any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://procguard"+path, nil)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	// EAGAIN is a full backlog: somebody is there, and does not keep up.
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" && !errors.Is(err, syscall.EAGAIN) {
		return fmt.Errorf("%w: %v", ErrNobody, op.Err)
	}
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusNotFound {
		return fs.ErrNotExist
	}
	if res.StatusCode != http.StatusOK {
		var e struct{ Error string }
		_ = json.NewDecoder(res.Body).Decode(&e) // without a text the code must do
		return fmt.Errorf("procguard answered %s: %s", res.Status, e.Error)
	}
	return json.NewDecoder(res.Body).Decode(doc)
}
