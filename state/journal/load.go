package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/procguard/procguard/state"
)

// MirrorName is the file with the snapshot that people and tools read.
const MirrorName = "state.json"

// loaded is what a state directory holds.
type loaded struct {
	dir      string
	segments []*scanned // oldest first

	mirror    *state.Snapshot // nil: missing or damaged
	mirrorErr error           // why it is damaged
	mirrorAt  time.Time
	raw       []byte // of the mirror, where an older version wrote it
	from      int    // that version

	snap  *state.Snapshot
	notes []string // what was repaired, for the log
}

// load reads dir and works out the newest state that it proves. It changes
// nothing.
func load(dir string) (*loaded, error) {
	l := &loaded{dir: dir}
	if err := l.readMirror(); err != nil {
		return nil, err
	}
	if err := l.readSegments(); err != nil {
		return nil, err
	}
	return l, l.choose()
}

func (l *loaded) readMirror() error {
	path := filepath.Join(l.dir, MirrorName)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st, err := os.Stat(path); err == nil {
		l.mirrorAt = st.ModTime()
	}
	return l.takeMirror(path, data)
}

func (l *loaded) takeMirror(path string, data []byte) error {
	if len(strings.TrimSpace(string(data))) == 0 {
		l.notes = append(l.notes, path+" is empty: ignored")
		return nil
	}
	snap, from, err := decodeSnapshot(data)
	if v := (*VersionError)(nil); errors.As(err, &v) {
		v.Path = path
		return v
	}
	l.mirror, l.mirrorErr = snap, err
	if err == nil && from != state.Version {
		l.raw, l.from = data, from
	}
	return nil
}

func (l *loaded) readSegments() error {
	paths, err := segmentPaths(l.dir)
	if err != nil {
		return err
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		s, err := scanSegment(path, data)
		if err != nil {
			return err
		}
		l.segments = append(l.segments, s)
	}
	return nil
}

// segmentPaths lists the segments, oldest first: the numbers in their names
// have a fixed width.
func segmentPaths(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		if ok, _ := filepath.Match("journal-"+strings.Repeat("[0-9]", 20)+".jsonl", e.Name()); ok {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, nil
}

// choose sets snap. Every segment begins with a checked snapshot, so normally
// the newest segment alone gives the answer. The mirror and older segments are
// for when it is damaged: any snapshot will do from which the known records
// lead, without a gap, to the newest one.
func (l *loaded) choose() error {
	recs := l.merge()
	var first error
	for _, base := range l.bases(recs) {
		snap, err := replay(base, recs)
		if err == nil {
			l.snap = snap
			l.preferMirror()
			l.describe(first)
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return l.corrupt(first)
}

// merge returns the records of all segments in order, each number once. Where
// two segments have the same one the newer segment is right.
func (l *loaded) merge() []*state.Record {
	var recs []*state.Record
	for _, s := range slices.Backward(l.segments) {
		for i := range s.recs {
			recs = append(recs, &s.recs[i])
		}
	}
	slices.SortStableFunc(recs, func(a, b *state.Record) int {
		switch {
		case a.Seq < b.Seq:
			return -1
		case a.Seq > b.Seq:
			return 1
		}
		return 0
	})
	return slices.CompactFunc(recs, func(a, b *state.Record) bool { return a.Seq == b.Seq })
}

// bases lists the snapshots to start from, best first.
func (l *loaded) bases(recs []*state.Record) []*state.Snapshot {
	var list []*state.Snapshot
	for i, s := range slices.Backward(l.segments) {
		if s.base != nil {
			list = append(list, s.base)
		}
		if i == len(l.segments)-1 && l.mirror != nil {
			list = append(list, l.mirror)
		}
	}
	if len(l.segments) == 0 && l.mirror != nil {
		list = append(list, l.mirror)
	}
	if l.blank() || (len(recs) > 0 && recs[0].Seq == 1) {
		list = append(list, state.New())
	}
	return list
}

// blank reports that nothing was ever written here, as far as can be told.
func (l *loaded) blank() bool {
	for _, s := range l.segments {
		if s.base != nil || len(s.recs) > 0 || len(s.torn) > 0 {
			return false
		}
	}
	return l.mirror == nil && l.mirrorErr == nil
}

// replay returns base with all records after it applied. It fails where they
// do not follow each other.
func replay(base *state.Snapshot, recs []*state.Record) (*state.Snapshot, error) {
	snap := base.Clone()
	for _, r := range recs {
		if r.Seq <= base.Seq {
			continue
		}
		if err := state.Apply(snap, r); err != nil {
			return nil, err
		}
	}
	return snap, snap.Validate()
}

// preferMirror takes the mirror where it is ahead of the journal: records that
// were never synced can be lost in a power failure which the mirror, always
// synced, outlives.
func (l *loaded) preferMirror() {
	m := l.mirror
	if m == nil || m.Seq <= l.snap.Seq || (l.snap.Volume != "" && l.snap.Volume != m.Volume) {
		return
	}
	l.notes = append(l.notes, fmt.Sprintf("the journal ends at record %d, going on from %s at %d", l.snap.Seq, MirrorName, m.Seq))
	l.snap = m.Clone()
}

// newest is the segment that was written last, or nil.
func (l *loaded) newest() *scanned {
	if len(l.segments) == 0 {
		return nil
	}
	return l.segments[len(l.segments)-1]
}

func (l *loaded) describe(failed error) {
	if l.mirrorErr != nil {
		l.notes = append(l.notes, fmt.Sprintf("%s is damaged (%v): rebuilt from the journal", MirrorName, l.mirrorErr))
	}
	s := l.newest()
	if s == nil {
		return
	}
	if len(s.torn) > 0 {
		l.notes = append(l.notes, fmt.Sprintf("%s: unfinished end of %d bytes cut off", s.path, len(s.torn)))
	}
	if s.damage != nil || failed != nil {
		l.notes = append(l.notes, fmt.Sprintf("%s is damaged: nothing was lost, another copy had it", s.path))
	}
}

// corrupt is the error for a directory that proves nothing.
func (l *loaded) corrupt(why error) error {
	e := &CorruptError{Path: filepath.Join(l.dir, MirrorName), Why: l.mirrorErr}
	s := l.newest()
	if s == nil {
		e.hint = fmt.Sprintf("repair it, or move it away to start afresh: mv %s %s.damaged", e.Path, e.Path)
		return e
	}
	e.Path, e.Why = s.path, why
	if s.damage != nil {
		e.Line, e.Offset, e.Why = s.damage.line, int64(s.damage.offset), s.damage.why
	}
	if e.Why == nil {
		e.Why = errShape
	}
	e.hint = l.corruptHint(e.Path)
	return e
}

func (l *loaded) corruptHint(path string) string {
	if l.mirror != nil {
		return fmt.Sprintf("to go on from %s, the state of %s (record %d): mv %s %s.damaged",
			MirrorName, l.mirrorAt.Format(time.DateTime), l.mirror.Seq, path, path)
	}
	return fmt.Sprintf("restore %s from a backup, or move it away to start afresh: mv %s %s.damaged", l.dir, l.dir, l.dir)
}
