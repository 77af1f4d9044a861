package control

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log"
	"net/http"
	"strconv"
	"sync"
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

const (
	// answerTime bounds how long a request may wait for the backend.
	answerTime = 5 * time.Second
	// idleTime is how long a connection may be open without asking anything. The
	// kernel queues what is over maxConns in order, so a crowd of n that says
	// nothing delays the next client by n/maxConns of these; it is short, so that
	// a hundred still pass within a client's patience.
	idleTime = time.Second
	// maxConns bounds the connections of a Server over all its sockets. What more
	// there are wait in the kernel and cost no descriptor here: the supervisor
	// needs those to start workers.
	maxConns = 16
)

// Server answers on unix sockets until Close.
type Server struct {
	http   *http.Server
	slots  chan struct{} // one element for each connection
	closed chan struct{}
	end    func() // closes closed, once
	doors  []*door
	done   sync.WaitGroup // of the goroutines that accept
}

// New makes a server that listens nowhere yet.
func New(b Backend) *Server {
	closed := make(chan struct{})
	return &Server{
		slots:  make(chan struct{}, maxConns),
		closed: closed,
		end:    sync.OnceFunc(func() { close(closed) }),
		// ReadTimeout is longer than a handler may take: when it passes during a
		// request, net/http takes the peer for gone. It ends those that announce a
		// body and never send it.
		http: &http.Server{Handler: handler(b), ReadHeaderTimeout: idleTime, ReadTimeout: 2 * answerTime,
			WriteTimeout: 2 * answerTime, IdleTimeout: idleTime, MaxHeaderBytes: 16 << 10,
			ErrorLog: log.New(discard{}, "", 0)},
	}
}

// Listen opens a door at path, besides those that are open. A socket that nobody
// listens on, left by a procguard that was killed, is replaced; one that answers,
// or of which it cannot be told, is an error. Listen and Close must not run at
// the same time.
func (s *Server) Listen(path string) error {
	d, err := openDoor(path)
	if err != nil {
		return err
	}
	s.doors = append(s.doors, d)
	s.done.Go(func() {
		_ = s.http.Serve(limited{d.listener, s.slots, s.closed}) // ends with ErrServerClosed
	})
	return nil
}

// Close removes the sockets and ends all connections.
func (s *Server) Close() {
	for _, d := range s.doors {
		d.remove()
	}
	s.doors = nil // a second Close must not look at the paths again
	// First, because http.Server.Close waits for Accept before it closes the
	// connections, and Accept may wait for a connection to close.
	s.end()
	_ = s.http.Close()
	s.done.Wait()
}

// discard drops net/http's own messages: a peer's broken request is its problem.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

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
