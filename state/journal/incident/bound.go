package incident

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/procguard/procguard/state/journal/disk"
)

// encode leaves out what is long rather than to cut JSON in the middle.
func (i *Incidents) encode(inc *Incident) ([]byte, error) {
	data, err := marshal(inc)
	if err != nil || len(data) <= i.opt.MaxFile {
		return data, err
	}
	inc.Notes = append(slices.Clip(inc.Notes), "log lines and samples were left out: the file would be too large")
	inc.Workers = slices.Clone(inc.Workers)
	for k := range inc.Workers {
		inc.Workers[k].Tail, inc.Workers[k].Samples, inc.Workers[k].Kernel = nil, nil, nil
	}
	if data, err = marshal(inc); err != nil || len(data) <= i.opt.MaxFile {
		return data, err
	}
	inc.Notes = append(inc.Notes, fmt.Sprintf("%d workers and %d moves were left out", len(inc.Workers), len(inc.Moves)))
	inc.Workers, inc.Moves = nil, nil
	return marshal(inc)
}

func marshal(inc *Incident) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(inc)
	return buf.Bytes(), err
}

// shorten keeps the beginning and the end of what is too long: the one says
// what it is, the other what happened last.
func (i *Incidents) shorten(data []byte) []byte {
	limit := i.opt.MaxFile
	if len(data) <= limit {
		return data
	}
	note := fmt.Sprintf("\n... %d bytes left out ...\n", len(data)-limit)
	head := max(0, limit/2-len(note))
	tail := limit - head - len(note)
	out := append(bytes.Clone(data[:head]), note...)
	return append(out, data[len(data)-max(0, tail):]...)
}

// safePath allows one folder, for a worker: "w0/stack".
func safePath(name string) string {
	dir, base, found := strings.Cut(name, "/")
	if !found || dir == "" || base == "" || dir[0] == '.' || base[0] == '.' || strings.Contains(base, "/") {
		return safeName(name)
	}
	return safeName(dir) + "/" + safeName(base)
}

func safeName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == '/' || r < ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, name)
	if name = strings.TrimSuffix(strings.TrimLeft(name, "."), disk.Temporary); name == "" {
		return "_"
	}
	const longest = 200 // of the 255 that file systems take, with room for .tmp
	return name[:min(len(name), longest)]
}
