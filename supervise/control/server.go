package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Backend answers what the door is asked.
type Backend interface {
	// Status is a copy of what is known now.
	Status(ctx context.Context) (*Status, error)
	// Incidents are all that are kept, oldest first, as JSON.
	Incidents(ctx context.Context) (any, error)
	// Incident is one of them; fs.ErrNotExist if there is none.
	Incident(ctx context.Context, n uint64) (any, error)
}

// answerTime bounds how long a request may wait for the backend.
const answerTime = 5 * time.Second

// Server listens on a unix socket until Close.
type Server struct {
	http *http.Server
	path string
	done chan struct{}
}

// Listen opens the door at path. A socket file that nobody listens on, left by a
// procguard that was killed, is replaced; one that answers is an error.
func Listen(path string, b Backend) (*Server, error) {
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("control socket %s is in use by another procguard", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket == 0 {
		return nil, fmt.Errorf("control socket %s: a file that is not a socket is in the way", path)
	}
	_ = os.Remove(path) // stale, or not there
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, err
	}
	s := &Server{path: path, done: make(chan struct{})}
	s.http = &http.Server{Handler: handler(b), ReadHeaderTimeout: answerTime, WriteTimeout: 2 * answerTime,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: log.New(discard{}, "", 0)}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(l) // ends with ErrServerClosed
	}()
	return s, nil
}

// discard drops net/http's own messages: a peer's broken request is its problem.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// Close ends all connections and removes the socket.
func (s *Server) Close() {
	_ = s.http.Close()
	<-s.done
	_ = os.Remove(s.path) // the listener has usually done so
}

func handler(b Backend) http.Handler {
	mux := http.NewServeMux()
	serve := func(pattern string, answer func(context.Context, *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), answerTime)
			defer cancel()
			doc, err := answer(ctx, r)
			reply(w, doc, err)
		})
	}
	serve("GET /v1/status", func(ctx context.Context, _ *http.Request) (any, error) { return b.Status(ctx) })
	serve("GET /v1/incidents", func(ctx context.Context, _ *http.Request) (any, error) { return b.Incidents(ctx) })
	serve("GET /v1/incidents/{n}", func(ctx context.Context, r *http.Request) (any, error) {
		n, err := strconv.ParseUint(r.PathValue("n"), 10, 64)
		if err != nil {
			return nil, fs.ErrNotExist
		}
		return b.Incident(ctx, n)
	})
	return mux
}

func reply(w http.ResponseWriter, doc any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		code := http.StatusServiceUnavailable
		if errors.Is(err, fs.ErrNotExist) {
			code = http.StatusNotFound
		}
		w.WriteHeader(code)
		doc = map[string]string{"error": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(doc) // a peer that has left does not want it
}

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
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
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
