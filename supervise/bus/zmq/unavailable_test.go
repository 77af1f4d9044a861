//go:build !cgo || !zmq

package zmq

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/procguard/procguard/supervise/bus"
)

func TestNewSaysWhatIsMissing(t *testing.T) {
	o := bus.Options{Host: "127.0.0.1", Timeout: time.Second}
	b, err := New(o, func(context.Context, bus.Request) bus.Response { return bus.Response{} })
	if b != nil || !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("New: %v, %v", b, err)
	}
	if Available {
		t.Error("Available is true")
	}
}
