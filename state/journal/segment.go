package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/state/journal/disk"
)

// segment is the file that is being written. Only one goroutine at a time has
// it: first the one that prepares it, then the writer.
type segment struct {
	fs   disk.FS
	file disk.File
	path string // final name
	size int64  // bytes that belong to whole lines
	base uint64 // sequence number of the snapshot in its first line
}

// segmentName names a segment by the first record that can be in it.
func segmentName(first uint64) string { return fmt.Sprintf("journal-%020d.jsonl", first) }

// prepareSegment writes a new segment holding snap under a temporary name and
// makes its content durable. adopt gives it its name.
func prepareSegment(fs disk.FS, dir string, snap *state.Snapshot) (*segment, error) {
	var e encoder
	body, err := e.encode(snap)
	if err != nil {
		return nil, err
	}
	s := &segment{fs: fs, path: filepath.Join(dir, segmentName(snap.Seq+1)), base: snap.Seq}
	if s.file, err = fs.Create(s.path + disk.Temporary); err != nil {
		return nil, err
	}
	err = s.append(appendLine(nil, keyBase, body))
	if err == nil {
		err = s.file.Datasync()
	}
	if err != nil {
		s.discard()
		return nil, err
	}
	return s, nil
}

// adopt adds the records that came since the snapshot and makes the segment
// part of the journal, durably. Before the rename it does not exist for a
// reader, so a segment's base is never torn.
func (s *segment) adopt(lines []byte) error {
	if len(lines) > 0 {
		if err := s.append(lines); err != nil {
			return err
		}
		if err := s.file.Datasync(); err != nil {
			return err
		}
	}
	if err := s.fs.Rename(s.path+disk.Temporary, s.path); err != nil {
		return err
	}
	return s.fs.SyncDir(filepath.Dir(s.path))
}

// append writes lines at once. When only a part could be written the part is
// cut off again; where that fails too, a reader takes it for a torn tail,
// since nothing is ever written behind it.
func (s *segment) append(lines []byte) error {
	n, err := s.file.Write(lines)
	if err != nil {
		if n > 0 {
			_ = s.file.Truncate(s.size)
		}
		return err
	}
	s.size += int64(len(lines))
	return nil
}

func (s *segment) discard() {
	_ = s.file.Close()
	_ = s.fs.Remove(s.path + disk.Temporary)
}

// scanned is a segment as it was found on the volume.
type scanned struct {
	path   string
	base   *state.Snapshot // nil: its first line is damaged
	recs   []state.Record
	torn   []byte  // what follows the last good line
	damage *damage // first bad line that good ones follow
}

type damage struct {
	line   int // from 1
	offset int // bytes
	why    error
}

// scanSegment reads all that can be trusted. It fails only where the segment
// was written by a newer version.
func scanSegment(path string, data []byte) (*scanned, error) {
	s := &scanned{path: path}
	var bad *damage
	good := 0
	for off, line := 0, 1; off < len(data); line++ {
		end := len(data)
		next := end
		if i := bytes.IndexByte(data[off:], '\n'); i >= 0 {
			end, next = off+i, off+i+1
		}
		err := s.take(data[off:end], line)
		if v := (*VersionError)(nil); errors.As(err, &v) {
			v.Path = path
			return nil, v
		}
		switch {
		case err == nil:
			good = next
			if s.damage == nil {
				s.damage = bad
			}
		case bad == nil:
			bad = &damage{line, off, err}
		}
		off = next
	}
	s.torn = data[good:]
	return s, nil
}

func (s *scanned) take(line []byte, number int) error {
	key, body, err := parseLine(line)
	if err != nil {
		return err
	}
	if key == keyBase {
		if number != 1 {
			return errShape
		}
		s.base, _, err = decodeSnapshot(body)
		return err
	}
	var r state.Record
	if err := json.Unmarshal(body, &r); err != nil {
		return err
	}
	s.recs = append(s.recs, r)
	return nil
}
