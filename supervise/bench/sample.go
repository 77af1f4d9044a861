package main

import (
	"fmt"
	"slices"
	"time"
)

// sample is a set of times.
type sample struct{ ds []time.Duration }

func (s *sample) add(d time.Duration) { s.ds = append(s.ds, d) }

// pair is a measure and what the kernel alone took for the same.
type pair struct{ got, floor sample }

// quantile is the smallest time that at least the share q of all do not exceed
// (nearest rank), 0 of an empty sample.
func (s *sample) quantile(q float64) time.Duration {
	if len(s.ds) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s.ds))
	at := int(q*float64(len(sorted))+0.999999) - 1
	return sorted[min(max(at, 0), len(sorted)-1)]
}

func (s *sample) median() time.Duration { return s.quantile(0.5) }
func (s *sample) p99() time.Duration    { return s.quantile(0.99) }

// ms prints a time in milliseconds with three digits that mean something.
func ms(d time.Duration) string {
	v := float64(d) / float64(time.Millisecond)
	switch {
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
