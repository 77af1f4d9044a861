package supervise

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/procguard/procguard/state/journal/incident"
	"github.com/procguard/procguard/supervise/cause"
	"github.com/procguard/procguard/supervise/evidence"
	"github.com/procguard/procguard/supervise/logs"
)

// looked adds what was seen of a worker whose incident is begun already when that is known: one
// that hangs and is left alone, that took longer to dump than there was time, or that died
// meanwhile. The incident may even be over.
func (s *story) looked(worker string, w *instance) {
	c := w.told
	if s.to == nil || c == nil {
		return
	}
	i := slices.IndexFunc(c.Workers, func(d incident.Worker) bool { return d.WorkerID == worker && d.Generation == w.gen })
	if i < 0 {
		return
	}
	if !slices.ContainsFunc(c.deaths, func(d cause.Death) bool { return d.Worker == worker }) {
		c.deaths = append(c.deaths, w.found.death)
	}
	w.found.describe(&c.Workers[i])
	c.headline()
	s.found(w, s.folder(c.Number, worker))
	s.save(c)
}

// place is the directory of the incident that a worker is looked at for: the one that tells of
// it already, else the next one there will be. Should another come first, what the dump command
// writes lies with that. Without a volume it is our scratch directory.
func (s *story) place(worker string, w *instance) string {
	if s.to == nil {
		return s.l.scratch
	}
	if s.last == 0 {
		s.last = s.l.fleet.Snapshot().Incidents
	}
	for _, c := range s.open {
		if c.Culprit == worker && len(c.Workers) > 0 && c.Workers[0].Generation == w.gen {
			return incident.Path(s.l.dir, c.Number)
		}
	}
	return incident.Path(s.l.dir, s.last+1)
}

// folder writes files into a worker's part of an incident's folder.
func (s *story) folder(n uint64, worker string) func(string, []byte) {
	return func(name string, data []byte) { s.to.Write(n, worker+"/"+name, data) }
}

// evidence writes what was found about one that failed by itself, and what it said last once
// all of it has been read.
func (s *story) evidence(c *chapter, worker string, w *instance) {
	if w == nil {
		return
	}
	file := s.folder(c.Number, worker)
	s.cores(c, worker, w)
	if len(w.errorFile) > 0 {
		file("error.json", w.errorFile)
	}
	s.found(w, file)
	if w.lines == nil {
		return
	}
	drained, lines := w.drained, w.lines
	s.late.Add(1)
	go func() {
		defer s.late.Done()
		if drained != nil {
			select {
			case <-drained:
			case <-time.After(tailWait):
			}
		}
		for _, id := range []logs.Stream{logs.Stdout, logs.Stderr} {
			if tail := lines.Tail(id, tailBytes); len(tail) > 0 {
				file(id.String()+".tail", tail)
			}
		}
	}()
}

// cores looks for the core file of one that crashed.
func (s *story) cores(c *chapter, worker string, w *instance) {
	if w.exit == nil || !w.exit.CoreDumped() {
		return
	}
	s.afterwards(func() func() {
		core := s.l.inquest.core(w)
		return func() {
			if i := slices.IndexFunc(c.Workers, func(d incident.Worker) bool { return d.WorkerID == worker }); i >= 0 {
				c.Workers[i].Core = core
				s.save(c)
			}
		}
	})
}

func (s *story) found(w *instance, file func(string, []byte)) {
	f := w.found
	if f == nil {
		return
	}
	for _, x := range f.seen.Files {
		file(x.Name, x.Data)
	}
	if f.growth.Cgroup != nil {
		x := evidence.CgroupFile(f.growth.Cgroup)
		file(x.Name, x.Data)
	}
	if u := usage(w); u != nil {
		x := evidence.RusageFile(u)
		file(x.Name, x.Data)
	}
}

func lastLines(data []byte) []string {
	data = bytes.TrimRight(data, "\n")
	if len(data) == 0 {
		return nil
	}
	lines := strings.Split(strings.ToValidUTF8(string(data), "\uFFFD"), "\n")
	return slices.Clone(lines[max(0, len(lines)-tailLines):])
}
