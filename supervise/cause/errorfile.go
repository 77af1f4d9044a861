package cause

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// ErrorFile is what torch's elastic error handler writes when a rank's main
// function raises.
type ErrorFile struct {
	Message string
	// Time is when the exception was caught. It is in whole seconds in all versions
	// of torch so far; Resolution says how much later it may really have been.
	Time       time.Time
	Resolution time.Duration
	Stack      string
}

// ParseErrorFile reads an error.json; ok is false if it is none.
func ParseErrorFile(data []byte) (f ErrorFile, ok bool) {
	var outer struct {
		Message   json.RawMessage `json:"message"`
		Timestamp json.RawMessage `json:"timestamp"`
	}
	if json.Unmarshal(data, &outer) != nil || len(outer.Message) == 0 {
		return f, false
	}
	var inner struct {
		Message string `json:"message"`
		Extra   struct {
			Stack     string          `json:"py_callstack"`
			Timestamp json.RawMessage `json:"timestamp"`
		} `json:"extraInfo"`
	}
	if json.Unmarshal(outer.Message, &inner) == nil {
		f.Message, f.Stack = inner.Message, inner.Extra.Stack
	} else if json.Unmarshal(outer.Message, &f.Message) != nil {
		return f, false
	}
	for _, raw := range []json.RawMessage{inner.Extra.Timestamp, outer.Timestamp} {
		if f.stamp(strings.Trim(string(raw), `" `)) {
			break
		}
	}
	return f, true
}

// stamp takes a number of seconds since the epoch, with or without a fraction.
func (f *ErrorFile) stamp(s string) bool {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || v < 1e6 || v > 1e11 {
		return false
	}
	sec, frac := math.Modf(v)
	f.Time, f.Resolution = time.Unix(int64(sec), int64(frac*1e9)), time.Second
	if strings.Contains(s, ".") {
		f.Resolution = time.Millisecond
	}
	return true
}
