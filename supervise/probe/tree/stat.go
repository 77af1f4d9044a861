package tree

import (
	"bytes"
	"errors"
)

// Stat is what we use of /proc/PID/stat, see proc_pid_stat(5). Times are in USER_HZ
// ticks, 100 a second.
type Stat struct {
	State                byte
	PPID, Group, Session int
	Ticks                uint64 // user and system time of all its threads, also of those that have ended
	Reaped               uint64 // the same of the children that it has waited for, and of theirs
	Threads              int
	Start                uint64 // since boot
	Pages                uint64 // resident
}

var errStat = errors.New("malformed /proc/PID/stat")

// The places of what we use, in proc_pid_stat(5)'s count less 3: counting begins
// after the name, which may contain blanks and parentheses.
const (
	atPPID, atGroup, atSession = 4 - 3, 5 - 3, 6 - 3
	atUtime, atStime           = 14 - 3, 15 - 3
	atCutime, atCstime         = 16 - 3, 17 - 3
	atThreads, atStart, atRSS  = 20 - 3, 22 - 3, 24 - 3
)

// Parse takes the file apart without an allocation.
func (s *Stat) Parse(b []byte) error {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 || end+3 >= len(b) {
		return errStat
	}
	b = b[end+2:]
	*s = Stat{State: b[0]}
	for i := 0; i <= atRSS; i++ {
		cut := bytes.IndexByte(b, ' ')
		if cut <= 0 { // the kernel leaves no field empty
			return errStat
		}
		s.set(i, b[:cut])
		b = b[cut+1:]
	}
	return nil
}

func (s *Stat) set(i int, field []byte) {
	switch i {
	case atPPID:
		s.PPID = int(Number(field))
	case atGroup:
		s.Group = int(Number(field))
	case atSession:
		s.Session = int(Number(field))
	case atUtime, atStime:
		s.Ticks += Number(field)
	case atCutime, atCstime:
		s.Reaped += Number(field)
	case atThreads:
		s.Threads = int(Number(field))
	case atStart:
		s.Start = Number(field)
	case atRSS:
		s.Pages = Number(field)
	}
}

func (s *Stat) total() uint64 { return s.Ticks + s.Reaped }

// Dead: it has ended and waits for its parent. A process whose main thread has ended
// shows the same state, and lives.
func (s *Stat) Dead() bool { return s.State == 'X' || s.State == 'Z' && s.Threads <= 1 }

// Number is strconv.ParseUint for what the kernel prints, without making a string. It
// is 0 for what is not a number, and for negative ones, as in a time that ran backwards.
func Number(b []byte) (n uint64) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + uint64(c-'0')
	}
	return n
}
