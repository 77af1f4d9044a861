package incident

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/procguard/procguard/state/journal/disk"
)

const folder = "incidents"

// Path is the folder of incident n below the state directory dir.
func Path(dir string, n uint64) string {
	return filepath.Join(dir, folder, fmt.Sprintf("%06d", n))
}

// numbers lists the incidents in dir that have a folder, oldest first.
func numbers(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(filepath.Join(dir, folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []uint64
	for _, e := range entries {
		n, err := strconv.ParseUint(e.Name(), 10, 64)
		if err == nil && e.IsDir() && filepath.Base(Path(dir, n)) == e.Name() {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list, nil
}

// List loads all incidents in dir, oldest first. One that cannot be read has
// its number and a note that says why.
func List(dir string) ([]*Incident, error) {
	ns, err := numbers(dir)
	if err != nil {
		return nil, err
	}
	list := make([]*Incident, 0, len(ns))
	for _, n := range ns {
		inc, err := Load(dir, n)
		if errors.Is(err, fs.ErrNotExist) && !folderExists(dir, n) {
			continue // removed since it was listed
		}
		if err != nil {
			inc = &Incident{Number: n, Notes: []string{err.Error()}}
		}
		list = append(list, inc)
	}
	return list, nil
}

func folderExists(dir string, n uint64) bool {
	_, err := os.Stat(Path(dir, n))
	return err == nil
}

// Load reads incident n; the error is fs.ErrNotExist (errors.Is) where there is
// none, or only files without a description.
func Load(dir string, n uint64) (*Incident, error) {
	path := Path(dir, n)
	data, err := os.ReadFile(filepath.Join(path, FileName))
	if err != nil {
		return nil, err
	}
	inc := &Incident{}
	if err := json.Unmarshal(data, inc); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(path, FileName), err)
	}
	inc.Files, err = files(path)
	return inc, err
}

// files lists what is beside the description, with the workers' folders.
func files(path string) (list []string, err error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.IsDir() {
			list = addFile(list, e.Name())
			continue
		}
		inner, err := os.ReadDir(filepath.Join(path, e.Name()))
		if err != nil {
			return nil, err
		}
		for _, f := range inner {
			list = addFile(list, e.Name()+"/"+f.Name())
		}
	}
	return list, nil
}

func addFile(list []string, name string) []string {
	if name == FileName || strings.HasSuffix(name, disk.Temporary) {
		return list
	}
	return append(list, name)
}
