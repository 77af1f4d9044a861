package journal

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/procguard/procguard/state/journal/disk"
)

const (
	tornName = "journal.torn"
	// maxTorn bounds what is kept of an unfinished end; a batch of records is
	// far smaller.
	maxTorn = 64 << 10
)

// keepEvidence saves what loading had to leave out, for people to look at: the
// unfinished end of a segment, a damaged one, and the state file of an older
// version. None of it is needed to go on, so errors are only noted.
func (j *Journal) keepEvidence(l *loaded) {
	s := l.newest()
	if s != nil && len(s.torn) > 0 {
		torn := s.torn[:min(len(s.torn), maxTorn)]
		j.keep(tornName, torn, l)
	}
	if s != nil && (s.damage != nil || s.base == nil && len(s.recs) > 0) {
		if data, err := os.ReadFile(s.path); err == nil {
			j.keep(filepath.Base(s.path)+".damaged", data, l)
		}
	}
	if l.raw != nil {
		j.keep(fmt.Sprintf("%s.v%d", MirrorName, l.from), l.raw, l)
		l.notes = append(l.notes, fmt.Sprintf("%s migrated from version %d", MirrorName, l.from))
	}
	if l.mirrorErr != nil {
		if data, err := os.ReadFile(filepath.Join(l.dir, MirrorName)); err == nil {
			j.keep(MirrorName+".damaged", data, l)
		}
	}
}

func (j *Journal) keep(name string, data []byte, l *loaded) {
	if err := disk.WriteFile(j.opt.FS, filepath.Join(j.dir, name), data, false); err != nil {
		l.notes = append(l.notes, fmt.Sprintf("%s could not be kept: %v", name, err))
	}
}
