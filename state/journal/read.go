package journal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/procguard/procguard/state"
)

// Read returns the state in dir without taking the lock and without changing
// anything, also while a ProcGuard is writing there. An unfinished record at
// the end is left out. The error is fs.ErrNotExist (errors.Is) where there is
// no state at all, else as from Open.
func Read(dir string) (*state.Snapshot, error) {
	// A segment may be replaced between the listing and the reading; then the
	// next try finds its successor. Five tries 10 ms apart outlast any writer
	// that replaces segments a MiB at a time.
	for try := 1; ; try++ {
		l, err := load(dir)
		if err == nil && len(l.segments) == 0 && l.mirror == nil {
			err = &fs.PathError{Op: "read", Path: filepath.Join(dir, MirrorName), Err: os.ErrNotExist}
		}
		if err == nil {
			return l.snap, nil
		}
		if v := (*VersionError)(nil); try == 5 || errors.As(err, &v) {
			return nil, err
		}
		if _, serr := os.Stat(dir); serr != nil {
			return nil, err
		}
		time.Sleep(10 * time.Millisecond)
	}
}
