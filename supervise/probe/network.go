package probe

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
)

// network is how checks reach workers. Both give nil for success.
type network struct {
	get  func(ctx context.Context, url string) error
	dial func(ctx context.Context, addr string) error
}

// maxBody is how much of an answer is read, so that the server can finish writing a
// usual one before the connection is closed.
const maxBody = 64 << 10

// newNetwork keeps no connection between checks, since that a new one is accepted is
// part of what is checked, and uses no proxy, since workers are near.
func newNetwork() network {
	dialer := &net.Dialer{KeepAlive: -1}
	client := &http.Client{Transport: &http.Transport{
		DialContext: dialer.DialContext, DisableKeepAlives: true, MaxResponseHeaderBytes: maxBody,
	}}
	return network{
		get: func(ctx context.Context, url string) error { return get(ctx, client, url) },
		dial: func(ctx context.Context, addr string) error {
			c, err := dialer.DialContext(ctx, "tcp", addr)
			if err != nil {
				return err
			}
			return c.Close()
		},
	}
}

// get asks for a page and follows redirects, as frameworks add a slash that way.
func get(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "procguard")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("status %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	_, err = io.CopyN(io.Discard, resp.Body, maxBody)
	if err == io.EOF {
		err = nil
	}
	return err
}
