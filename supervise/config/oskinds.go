package config

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/supervise/config/dotenv"
)

// name is an identifier that becomes part of file names, variables and messages.
func nameKind(want string) valueKind[string] {
	want += " of letters, digits and . _ - : @ +, at most 128 bytes, starting with a letter or digit"
	return textKind(want, func(s string) (string, bool) {
		for i, r := range s {
			plain := unicode.IsLetter(r) || unicode.IsDigit(r)
			if !plain && (i == 0 || !strings.ContainsRune("._-:@+", r)) {
				return "", false
			}
		}
		return "", s != "" && len(s) <= 128
	})
}

// signal is a signal by name, with or without SIG, or by number. It refuses
// those that can end no process.
var signal = valueKind[syscall.Signal]{name: "signal", want: "a signal that ends a process, such as TERM or INT",
	js: schema{"type": []string{"string", "integer"}},
	parse: func(s scalar) (syscall.Signal, string, bool) {
		n, ok := signalNumber(s.text)
		if !ok {
			return 0, meant(strings.TrimPrefix(strings.ToUpper(s.text), "SIG"), []string{"TERM", "INT", "QUIT", "HUP", "KILL", "USR1", "USR2"}), false
		}
		switch n {
		case unix.SIGCONT, unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGCHLD, unix.SIGURG:
			return 0, "", false
		}
		return n, "", true
	}}

// Linux's real-time signals as C libraries number them; glibc and musl keep the
// first two or three for themselves, so both agree that RTMIN is 34 or more.
const rtMin, rtMax = 34, 64

func signalNumber(text string) (syscall.Signal, bool) {
	if n, err := strconv.Atoi(text); err == nil {
		return syscall.Signal(n), n >= 1 && n <= rtMax
	}
	name := strings.TrimPrefix(strings.ToUpper(text), "SIG")
	for base, from := range map[string]int{"RTMIN": rtMin, "RTMAX": rtMax} {
		if rest, ok := strings.CutPrefix(name, base); ok {
			offset, err := strconv.Atoi(rest)
			n := from + offset
			return syscall.Signal(n), (err == nil || rest == "") && n >= rtMin && n <= rtMax
		}
	}
	n := unix.SignalNum("SIG" + name)
	return n, n != 0
}

// umask is written in octal, whether or not YAML takes it for a number.
var umask = valueKind[int]{name: "octal", want: "an octal mask such as \"022\", at most 777", js: schema{"type": []string{"string", "integer"}},
	parse: func(s scalar) (int, string, bool) {
		n, err := strconv.ParseUint(strings.TrimPrefix(s.text, "0o"), 8, 16)
		return int(n), "", err == nil && n <= 0o777
	}}

var pattern = valueKind[*regexp.Regexp]{name: "regular expression", want: "a regular expression (RE2)", js: typed("string"),
	parse: func(s scalar) (*regexp.Regexp, string, bool) {
		re, err := regexp.Compile(s.text)
		if err != nil {
			return nil, strings.TrimPrefix(err.Error(), "error parsing regexp: "), false
		}
		return re, "", s.text != ""
	}}

var httpURL = textKind("a URL such as http://127.0.0.1:8080/healthz", func(s string) (string, bool) {
	u, err := url.Parse(sample(s))
	if err != nil {
		return "", false
	}
	return "", (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.Port() != "0"
})

// tcpAddr is host:port; a port alone is on the loopback interface.
var tcpAddr = valueKind[string]{name: "host:port", want: "host:port or a port", js: schema{"type": []string{"string", "integer"}},
	parse: func(s scalar) (string, string, bool) {
		host, port, err := net.SplitHostPort(s.text)
		if err != nil {
			host, port = "", s.text
		}
		if host == "" {
			host = "127.0.0.1"
		}
		n, err := strconv.ParseUint(sample(port), 10, 16)
		return net.JoinHostPort(host, port), "", err == nil && n > 0
	}}

// user is checked for its shape only: who it is is looked up when a worker starts,
// in the container where it starts.
var user = textKind("a user name or uid, optionally followed by : and a group", func(s string) (string, bool) {
	name, group, both := strings.Cut(s, ":")
	return "", isAccount(name) && (!both || isAccount(group))
})

func isAccount(s string) bool {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r == ':' || r == '/' }) {
		return false
	}
	if strings.HasPrefix(s, "-") {
		return false
	}
	if strings.Trim(s, "0123456789") == "" {
		n, err := strconv.ParseUint(s, 10, 32)
		return err == nil && n != 1<<32-1 // -1 means "leave unchanged" to setuid's relatives
	}
	return true
}

// cpuList is a list of CPU numbers and ranges, as text or as a YAML list.
type cpuList struct{}

const cpuWant = `CPU numbers such as "0-3,6", each below 1024`

// maxCPU is the room in the kernel's classic CPU set (CPU_SETSIZE).
const maxCPU = 1024

func (cpuList) label() string { return "CPU list" }

func (cpuList) decode(d *decoder, c cursor, dst any) {
	parts := []cursor{c}
	if n := c.target(); n.Kind != 0 && len(n.Content) > 0 {
		parts = d.items(c, cpuWant)
	}
	var cpus []int
	for _, p := range parts {
		s, ok := d.scalar(p, cpuWant)
		if !ok {
			return
		}
		some, ok := parseCPUs(s.text)
		if !ok {
			d.fail(p, "", "expected %s, got %s", cpuWant, describeScalar(p, s))
			return
		}
		cpus = append(cpus, some...)
	}
	slices.Sort(cpus)
	*dst.(*[]int) = slices.Compact(cpus)
}

func parseCPUs(text string) ([]int, bool) {
	var cpus []int
	for part := range strings.SplitSeq(text, ",") {
		lo, hi, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			hi = lo
		}
		from, err1 := strconv.ParseUint(lo, 10, 16)
		to, err2 := strconv.ParseUint(hi, 10, 16)
		if err1 != nil || err2 != nil || from > to || to >= maxCPU || len(cpus) > maxCPU {
			return nil, false
		}
		for cpu := from; cpu <= to; cpu++ {
			cpus = append(cpus, int(cpu))
		}
	}
	return cpus, true
}

// rlimitNames are setrlimit(2)'s resources in lower case.
var rlimitNames = []string{"as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue",
	"nice", "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack"}

type rlimits struct{}

const rlimitWant = `a number, "unlimited" or "soft:hard"`

func (rlimits) label() string { return "mapping" }

func (rlimits) decode(d *decoder, c cursor, dst any) {
	m := clone(*dst.(*map[string]Rlimit))
	for _, p := range d.pairs(c) {
		at := c.key(dotenv.Clip(p.name), p.value)
		if !slices.Contains(rlimitNames, p.name) {
			d.fail(cursor{p.key, at.path}, meant(p.name, rlimitNames), "unknown resource limit")
			continue
		}
		s, ok := d.scalar(at, rlimitWant)
		if !ok {
			continue
		}
		lim, ok := parseRlimit(s.text)
		if !ok {
			d.fail(at, "", "expected %s, got %s", rlimitWant, describeScalar(at, s))
			continue
		}
		if lim.Soft > lim.Hard {
			d.fail(at, "", "the soft limit is above the hard limit")
			continue
		}
		m[p.name] = lim
	}
	*dst.(*map[string]Rlimit) = m
}

func parseRlimit(text string) (Rlimit, bool) {
	softText, hardText, both := strings.Cut(text, ":")
	soft, ok := parseLimit(softText)
	if !both {
		return Rlimit{soft, soft}, ok
	}
	hard, ok2 := parseLimit(hardText)
	return Rlimit{soft, hard}, ok && ok2
}

func parseLimit(text string) (uint64, bool) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "unlimited", "infinity":
		return Unlimited, true
	}
	return parseSize(strings.TrimSpace(text))
}

// clone copies a map, nil to empty, so that nothing is ever added to a map that
// another worker sees.
func clone[K comparable, V any](m map[K]V) map[K]V {
	out := make(map[K]V, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}
