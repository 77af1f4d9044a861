package plain

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Linux's real-time signals as C libraries number them; glibc and musl keep the
// first two or three for themselves, so both agree that RTMIN is 34 or more.
const rtMin, rtMax = 34, 64

// parseSignal takes a name, with or without SIG, in any case, RTMIN+n, RTMAX-n, or
// a number.
func parseSignal(text string) (syscall.Signal, bool) {
	if n, err := strconv.Atoi(text); err == nil {
		return syscall.Signal(n), n >= 1 && n <= rtMax
	}
	name := strings.TrimPrefix(strings.ToUpper(text), "SIG")
	if rest, ok := strings.CutPrefix(name, "RTMIN"); ok {
		return realTime(rtMin, rest)
	}
	if rest, ok := strings.CutPrefix(name, "RTMAX"); ok {
		return realTime(rtMax, rest)
	}
	n := unix.SignalNum("SIG" + name)
	return n, n != 0
}

func realTime(base int, offset string) (syscall.Signal, bool) {
	n, err := strconv.Atoi(offset)
	if offset == "" {
		n, err = 0, nil
	} else if offset[0] != '+' && offset[0] != '-' {
		return 0, false
	}
	n += base
	return syscall.Signal(n), err == nil && n >= rtMin && n <= rtMax
}

func signalName(s syscall.Signal) string {
	switch name := unix.SignalName(s); {
	case name != "":
		return name
	case s == rtMin:
		return "SIGRTMIN"
	case s > rtMin && s <= rtMax:
		return "SIGRTMIN+" + strconv.Itoa(int(s)-rtMin)
	}
	return "signal " + strconv.Itoa(int(s))
}

// parseSeconds takes a number of seconds, or a duration as Go writes it. Both are
// more than 0, and less than the 292 years of a time.Duration.
func parseSeconds(text string) (time.Duration, bool) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		d, err := time.ParseDuration(text)
		return d, err == nil && d > 0
	}
	ns := math.Round(f * float64(time.Second))
	return time.Duration(ns), ns > 0 && ns < math.MaxInt64
}

func parseCode(text string) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 0 && n <= 255
}

// parseRewrite takes FROM:TO.
func parseRewrite(text string) (from, to syscall.Signal, err error) {
	a, b, ok := strings.Cut(text, ":")
	if !ok {
		return 0, 0, fmt.Errorf("it has no colon")
	}
	if from, ok = parseSignal(a); !ok {
		return 0, 0, fmt.Errorf("there is no signal %q", a)
	}
	switch from {
	case syscall.SIGKILL, syscall.SIGSTOP:
		return 0, 0, fmt.Errorf("nobody can catch %s", signalName(from))
	case syscall.SIGCHLD:
		return 0, 0, fmt.Errorf("SIGCHLD is not passed on")
	}
	if b == "0" {
		return from, 0, nil
	}
	if to, ok = parseSignal(b); !ok {
		return 0, 0, fmt.Errorf("there is no signal %q", b)
	}
	return from, to, nil
}

// cNumber reads a decimal number from the start of text as strtol(3) and scanf(3)
// do: blanks and a sign may come first. Without digits nothing is read.
func cNumber(text string) (n int, rest string, ok bool) {
	digits := strings.TrimLeft(text, " \t\n\v\f\r")
	negative := strings.HasPrefix(digits, "-")
	if negative || strings.HasPrefix(digits, "+") {
		digits = digits[1:]
	}
	rest = strings.TrimLeft(digits, "0123456789")
	if len(rest) == len(digits) {
		return 0, text, false
	}
	n, err := strconv.Atoi(digits[:len(digits)-len(rest)])
	if err != nil {
		n = math.MaxInt
	}
	if negative {
		n = -n
	}
	return n, rest, true
}
