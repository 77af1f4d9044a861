package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// The plain init, `procguard -- CMD`, beside the other inits that are installed. All take
// turns, in rounds, so that each has the same share of what else the machine does.

const (
	initRounds   = 300              // starts, for 1,000 kills
	initSignals  = 1000             // signals, likewise
	initStorms   = 3                // storms of orphans
	initSettle   = time.Second      // a started init is left alone before its memory is read
	initIdle     = 5 * time.Second  // how long its wakes are counted
	beforeSignal = time.Millisecond // an init that was just busy is not yet asleep
	beforeStorm  = 100 * time.Millisecond
)

// initPeers are asked for what they need to adopt orphans also where they are not PID 1.
var initPeers = []subject{
	{"tini", []string{"-s", "--"}},
	{"dumb-init", []string{"--"}},
	{"catatonit", []string{"--"}},
}

// bareName is the command with no init at all, baseName what the others are compared with.
const bareName, baseName, ourName = "no init", "tini", "procguard"

// standing is what was measured of one init.
type standing struct {
	subject
	start, whole, signal, storm sample
	footprint
	threads, wakes int // wakes while it rested
}

// initRace is one measure of all inits.
type initRace struct {
	b       *bench
	where   how
	inits   []*standing
	missing []string
}

func (b *bench) inits(t *table) error {
	if runtime.GOARCH != "amd64" {
		fmt.Fprintln(t.out, "\ninits: on amd64 alone: the commands that they run are machine code")
		return nil
	}
	r := b.newInitRace()
	for _, step := range []func() error{r.starts, r.stays, r.storms} {
		if err := step(); err != nil {
			return err
		}
	}
	r.print(t.out)
	return nil
}

func (b *bench) newInitRace() *initRace {
	places := b.places()
	r := &initRace{b: b, where: places[len(places)-1]}
	r.inits = []*standing{{subject: subject{name: bareName}}, {subject: subject{ourName, []string{b.procguard, "--"}}}}
	for _, p := range initPeers {
		path, err := exec.LookPath(p.name)
		if err != nil {
			r.missing = append(r.missing, p.name)
			continue
		}
		r.inits = append(r.inits, &standing{subject: subject{p.name, append([]string{path}, p.argv...)}})
	}
	return r
}

// turns has each init do something, again and again, all in the first round first.
func (r *initRace) turns(rounds int, do func(int, *standing) error) error {
	for range rounds {
		for i, s := range r.inits {
			if err := do(i, s); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	return nil
}

// starts measures from fork to the command's first instruction, and to the end.
func (r *initRace) starts() error {
	command, err := r.b.program("stamp", stampCode)
	if err != nil {
		return err
	}
	in, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer in.Close()
	stamps, out, err := os.Pipe()
	if err != nil {
		return err
	}
	defer stamps.Close()
	defer out.Close()
	cold := len(r.inits) // what has to be read from the disk, is now
	return r.turns(1+r.b.rounds(initRounds), func(_ int, s *standing) error {
		at, end, err := s.runOnce(command, in, out, stamps)
		if cold > 0 {
			cold--
			return err
		}
		s.start.add(at)
		s.whole.add(end)
		return err
	})
}

// stays starts each init once: it rests, and then gets signals.
func (r *initRace) stays() (err error) {
	stays, err := r.launch("take", takeCode)
	defer func() { err = errors.Join(err, endAll(stays)) }()
	if err != nil {
		return err
	}
	for i, y := range stays {
		if _, err := readStamp(y.stamps); err != nil {
			return fmt.Errorf("%s: %w", r.inits[i].name, err)
		}
	}
	if err := r.rest(stays); err != nil {
		return err
	}
	return r.turns(r.b.rounds(initSignals), func(i int, s *standing) error {
		time.Sleep(beforeSignal)
		d, err := stays[i].signal()
		s.signal.add(d)
		return err
	})
}

// rest reads memory, and counts wakes.
func (r *initRace) rest(stays []*stay) error {
	time.Sleep(initSettle)
	before := make([]int, len(stays))
	err := r.turns(1, func(i int, s *standing) (err error) {
		if s.footprint, err = memoryOf(stays[i].pid); err == nil {
			s.threads, before[i], err = wakesOf(stays[i].pid)
		}
		return err
	})
	if err != nil {
		return err
	}
	time.Sleep(r.idle())
	return r.turns(1, func(i int, s *standing) error {
		_, n, err := wakesOf(stays[i].pid)
		s.wakes = n - before[i]
		return err
	})
}

func (r *initRace) idle() time.Duration { return min(initIdle, r.b.idle) }

// storms needs inits that are PID 1: not all of them adopt orphans elsewhere.
func (r *initRace) storms() error {
	if r.where != asFirst {
		return nil
	}
	command, err := r.b.program("storm", stormCode)
	if err != nil {
		return err
	}
	return r.turns(r.b.rounds(initStorms), func(_ int, s *standing) error {
		if s.name == bareName {
			return nil
		}
		y, err := s.launch(r.where, command)
		if err != nil {
			return err
		}
		time.Sleep(beforeStorm)
		cpu, err := y.storm()
		s.storm.add(cpu)
		return errors.Join(err, y.end())
	})
}

// launch starts a command under each init.
func (r *initRace) launch(name string, code []byte) (all []*stay, err error) {
	command, err := r.b.program(name, code)
	if err != nil {
		return nil, err
	}
	err = r.turns(1, func(_ int, s *standing) error {
		y, err := s.launch(r.where, command)
		if err == nil {
			all = append(all, y)
		}
		return err
	})
	return all, err
}

func endAll(stays []*stay) error {
	var errs []error
	for _, y := range stays {
		errs = append(errs, y.end())
	}
	return errors.Join(errs...)
}
