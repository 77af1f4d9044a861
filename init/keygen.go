package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/procguard/procguard/supervise/bus/curve"
)

func keygenCommand(code *int) *cobra.Command {
	dir := "."
	c := &cobra.Command{
		Use: "keygen [NAME]", Short: "Make a CURVE key pair for a node or a tool", Args: cobra.MaximumNArgs(1),
		Long: `Makes a key pair for the bus and writes NAME.key (secret, for its owner's eyes only) and NAME.pub.
The public key is printed. NAME is the host's name unless given. Files that are there are never overwritten.`,
		Example: `  procguard keygen --out /run/secrets trainer-0
  procguard keygen ops-laptop`,
		Run: func(_ *cobra.Command, args []string) {
			public, err := keygen(dir, args)
			if err != nil {
				fail("cannot make a key", err, keygenHint(err))
				*code = codeUnknown
				return
			}
			fmt.Println(public)
		},
	}
	c.Flags().StringVar(&dir, "out", dir, "`DIR` for the files")
	return c
}

func keygenHint(err error) string {
	if errors.Is(err, fs.ErrExist) {
		return "a key that is in use cannot be made again; choose another name, or remove both files"
	}
	return ""
}

// keygen writes both files and returns the public key.
func keygen(dir string, args []string) (public string, err error) {
	name, err := keyName(args)
	if err != nil {
		return "", err
	}
	secret, public, err := curve.Generate()
	if err != nil {
		return "", err
	}
	base := filepath.Join(dir, name)
	// The public one first: if it is there, no secret is written that has no public key beside it.
	if err := writeNew(base+".pub", public, 0o644); err != nil {
		return "", err
	}
	if err := writeNew(base+".key", secret.Reveal(), 0o600); err != nil {
		_ = os.Remove(base + ".pub")
		return "", err
	}
	return public, nil
}

func keyName(args []string) (string, error) {
	if len(args) == 0 {
		return os.Hostname()
	}
	name := args[0]
	if name == "" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-") || strings.ContainsAny(name, "/\x00\n") {
		return "", fmt.Errorf("%q is no name for a key", name)
	}
	return name, nil
}

// writeNew writes a file that must not be there yet, with exactly this mode, and sees to it that it is on the disk.
func writeNew(path, text string, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text + "\n")
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		_ = os.Remove(path)
	}
	return err
}
