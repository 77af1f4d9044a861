package disk_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/state/journal/disk"
	"github.com/procguard/procguard/state/journal/disk/disktest"
)

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, durable := range []bool{true, false} {
		for _, want := range []string{"one", "", "a longer one"} {
			if err := disk.WriteFile(disk.OS{}, path, []byte(want), durable); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != want {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		}
	}
}

// The bug of the original: a save that fails must leave the old file as it was.
func TestFailedWriteKeepsTheOldFile(t *testing.T) {
	for _, op := range []disktest.Op{disktest.Create, disktest.Write, disktest.Datasync, disktest.Rename} {
		dir := t.TempDir()
		path := filepath.Join(dir, "f")
		var faulty disktest.Faulty
		if err := disk.WriteFile(&faulty, path, []byte("old"), true); err != nil {
			t.Fatal(err)
		}
		faulty.Fail(op, "", unix.ENOSPC)
		faulty.Short(2)
		if err := disk.WriteFile(&faulty, path, []byte("new"), true); err != unix.ENOSPC {
			t.Errorf("%s: error is %v", op, err)
		}
		if got, _ := os.ReadFile(path); string(got) != "old" {
			t.Errorf("%s: file is %q", op, got)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 1 {
			t.Errorf("%s: left %v", op, entries)
		}
	}
}
