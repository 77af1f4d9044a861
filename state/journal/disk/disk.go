// Package disk is the handful of file system calls that journal and incident
// make to write, as an interface, so that tests can make each of them fail or
// stall.
//
// It promises that WriteFile never leaves a half-written file under its final
// name. The caller owes one writer per path. Nothing here has a time limit: on
// a stalled disk every call may block for as long as the kernel does.
package disk

import (
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// File is an open file that is only ever appended to.
type File interface {
	io.Writer
	// Truncate cuts the file to size bytes.
	Truncate(size int64) error
	// Datasync returns once the data is on stable storage (fdatasync(2)). After
	// an error the file must not be used any more: the kernel reports a lost
	// page once and then forgets it.
	Datasync() error
	Close() error
}

// FS makes and moves files.
type FS interface {
	// MkdirAll is os.MkdirAll with mode 0755.
	MkdirAll(dir string) error
	// Create opens path for appending and empties it if it exists; mode 0644.
	Create(path string) (File, error)
	Rename(from, to string) error
	Remove(path string) error
	RemoveAll(path string) error
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
}

// OS is the real file system.
type OS struct{}

type osFile struct{ *os.File }

// MkdirAll implements FS.
func (OS) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o755) }

// Create implements FS.
func (OS) Create(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Rename implements FS.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements FS.
func (OS) Remove(path string) error { return os.Remove(path) }

// RemoveAll implements FS.
func (OS) RemoveAll(path string) error { return os.RemoveAll(path) }

// SyncDir implements FS.
func (OS) SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Datasync implements File.
func (f osFile) Datasync() error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err != unix.EINTR {
			return os.NewSyscallError("fdatasync "+f.Name(), err)
		}
	}
}

// Temporary is the ending of a file that is not finished. One that is found
// later was left by a crash and can be removed.
const Temporary = ".tmp"

// WriteFile replaces path by data: readers see the old content or the new one,
// never a part. With durable set the new content survives a power failure once
// WriteFile returns nil; without it, a crash of the machine (not of the
// process) may leave either. On an error the old content is still there.
func WriteFile(fs FS, path string, data []byte, durable bool) error {
	tmp := path + Temporary
	if err := fill(fs, tmp, data, durable); err != nil {
		_ = fs.Remove(tmp) // on a full disk its blocks are needed
		return err
	}
	if err := fs.Rename(tmp, path); err != nil {
		_ = fs.Remove(tmp)
		return err
	}
	if !durable {
		return nil
	}
	return fs.SyncDir(filepath.Dir(path))
}

func fill(fs FS, tmp string, data []byte, durable bool) error {
	f, err := fs.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && durable {
		err = f.Datasync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
