package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
)

// network is how checks reach workers. All give nil for success.
type network struct {
	get  func(ctx context.Context, url string) error
	body func(ctx context.Context, url string) ([]byte, error) // get, and the first of what is there
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
	}, CheckRedirect: nearby}
	return network{
		get:  func(ctx context.Context, url string) error { _, err := get(ctx, client, url); return err },
		body: func(ctx context.Context, url string) ([]byte, error) { return get(ctx, client, url) },
		dial: func(ctx context.Context, addr string) error {
			c, err := dialer.DialContext(ctx, "tcp", addr)
			if err != nil {
				return err
			}
			return c.Close()
		},
	}
}

// nearby follows redirects within a host, as frameworks add a slash that way. What
// another host answers says nothing about the worker.
func nearby(req *http.Request, via []*http.Request) error {
	if req.URL.Host != via[0].URL.Host {
		return fmt.Errorf("redirected to another host, %s", req.URL.Host)
	}
	if len(via) >= 10 {
		return errors.New("redirected ten times")
	}
	return nil
}

// get asks for a page.
func get(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "procguard")
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, fmt.Errorf("status %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxBody))
}

// contains fails if the answer is not what it must be.
func contains(body []byte, want *regexp.Regexp) error {
	if !want.Match(body) {
		return fmt.Errorf("the answer does not match %q", want)
	}
	return nil
}
