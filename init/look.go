package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/go-multierror"
	"github.com/spf13/cobra"

	"github.com/procguard/procguard/state"
	"github.com/procguard/procguard/state/journal"
	"github.com/procguard/procguard/state/journal/incident"
	"github.com/procguard/procguard/supervise"
	"github.com/procguard/procguard/supervise/config"
	"github.com/procguard/procguard/supervise/control"
)

func checkCommand(code *int, file *string) *cobra.Command {
	return &cobra.Command{
		Use: "check [FILE]", Short: "Check a configuration file and say what it means", Args: cobra.MaximumNArgs(1),
		Example: "  procguard check train.yaml && procguard --config train.yaml",
		Run: func(_ *cobra.Command, args []string) {
			if len(args) > 0 {
				*file = args[0]
			}
			cfg, ok := load(*file)
			if !ok {
				*code = codeUsage
				return
			}
			fmt.Printf("%s is good: %s\n", cfg.File, supervise.Summary(cfg))
		},
	}
}

// printMistakes prints every mistake of a configuration on a line of its own.
func printMistakes(err error) {
	var all *multierror.Error
	if !errors.As(err, &all) {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	for _, e := range all.Errors {
		fmt.Fprintln(os.Stderr, e)
	}
	n := "1 mistake"
	if len(all.Errors) != 1 {
		n = fmt.Sprintf("%d mistakes", len(all.Errors))
	}
	fmt.Fprintf(os.Stderr, "procguard: %s in the configuration, nothing was started\n", n)
}

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of the configuration file, for editors", Args: cobra.NoArgs,
		Run: func(*cobra.Command, []string) { _, _ = os.Stdout.Write(config.Schema()) },
	}
}

// place is where a procguard's state is, and its socket.
type place struct {
	dirs    []string // of the state, the first that exists counts
	sockets []string // in the order to ask
	config  string   // its file, "" if unknown
	anyone  bool     // whoever answers is the one that is meant
}

// placeFlags adds the ways to say which procguard is meant.
func placeFlags(c *cobra.Command, dir, socket *string) {
	c.Flags().StringVar(dir, "state-dir", "", "`DIR` of the state (default: as the configuration says)")
	c.Flags().StringVar(socket, "socket", "", "control `SOCKET` (default: as the configuration says)")
}

// where finds the place. Without a configuration the defaults are tried.
func where(file, dir, socket string) (p place, ok bool) {
	cfg := config.Default()
	p.anyone = socket != "" || dir == ""
	if dir == "" || socket == "" {
		if path, err := search(file); err == nil {
			if cfg, ok = load(path); !ok {
				return p, false
			}
			p.config, p.anyone = path, socket != ""
		}
	}
	if dir != "" {
		p.dirs = []string{dir}
	} else {
		p.dirs = supervise.StateDirs(cfg)
	}
	if socket != "" {
		p.sockets = []string{socket}
	} else {
		p.sockets = socketsOf(cfg, p.dirs)
	}
	return p, true
}

// socketsOf are the sockets of all dirs; the one that they share comes last.
func socketsOf(cfg *config.Config, dirs []string) (paths []string) {
	for _, d := range dirs {
		for _, path := range supervise.SocketPaths(cfg, d) {
			if path != cfg.Control.Socket {
				paths = append(paths, path)
			}
		}
	}
	return append(paths, cfg.Control.Socket)
}

// ask tries the sockets in turn. It says whether the procguard that is meant
// answered on one of them.
func (p place) ask(question func(*control.Client) error) (answered bool, err error) {
	for _, path := range p.sockets {
		c := control.Dial(path)
		err := p.identify(path, c)
		if err == nil {
			err = question(c)
		}
		if !errors.Is(err, control.ErrNobody) {
			return true, err
		}
	}
	return false, nil
}

// identify is ErrNobody if the procguard behind a socket is not the one of this
// place. A socket beside the state needs no question: whose else could it be? And
// its procguard may know the directory by another name, in another container.
func (p place) identify(path string, c *control.Client) error {
	if p.anyone || slices.ContainsFunc(p.dirs, func(d string) bool { return sameFile(d, filepath.Dir(path)) }) {
		return nil
	}
	s, err := c.Status(context.Background())
	switch {
	case err != nil && len(p.sockets) > 1:
		// One that cannot say who it is, when there are sockets of our own that
		// nobody listens on, is most likely another.
		return control.ErrNobody
	case err == nil && !p.is(s):
		return fmt.Errorf("%w: on %s listens the one of %s", control.ErrNobody, path, s.StateDir)
	}
	return err
}

// is says whether s is of this place. A procguard that could not write its state
// has no directory; then the name of its configuration must do.
func (p place) is(s *control.Status) bool {
	if s.StateDir == "" {
		return p.config == "" || s.Config == "" || filepath.Base(p.config) == filepath.Base(s.Config)
	}
	return slices.ContainsFunc(p.dirs, func(d string) bool { return sameFile(d, s.StateDir) })
}

// sameFile says whether two paths lead to the same file, or would if it existed.
func sameFile(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// stored reads the first volume that has a state.
func (p place) stored() (dir string, snap *state.Snapshot, err error) {
	for _, dir = range p.dirs {
		if snap, err = journal.Read(dir); err == nil {
			return dir, snap, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return dir, nil, err
		}
	}
	return "", nil, fmt.Errorf("no procguard answers and there is no state in %v", p.dirs)
}

func statusCommand(code *int, file *string) *cobra.Command {
	var format, dir, socket string
	c := &cobra.Command{
		Use: "status", Short: "Say how the job is, at a glance", Args: cobra.NoArgs,
		Long: `Asks the running procguard, or reads the volume when none runs.
Exit code: 0 all is well, 3 nothing runs, 4 it runs and something is not as it should be.`,
		Example: "  procguard status\n  procguard status --format json | jq '.workers[] | select(.status != \"running\")'",
		Run: func(*cobra.Command, []string) {
			p, ok := where(*file, dir, socket)
			if !ok {
				*code = codeUsage
				return
			}
			s, err := p.status()
			if err != nil {
				fail("no status", err, "give --config, --state-dir or --socket of the procguard that is meant")
				*code = 3
				return
			}
			if format == "json" {
				printJSON(s)
			} else {
				_ = control.Show(os.Stdout, s, time.Now()) // nobody reads it
			}
			*code = s.ExitCode()
		},
	}
	formatFlag(c, &format)
	placeFlags(c, &dir, &socket)
	return c
}

func (p place) status() (s *control.Status, err error) {
	answered, err := p.ask(func(c *control.Client) (err error) {
		s, err = c.Status(context.Background())
		return err
	})
	if answered {
		return s, err
	}
	dir, snap, err := p.stored()
	if err != nil {
		return nil, err
	}
	return control.Stored(dir, snap), nil
}

func incidentsCommand(code *int, file *string) *cobra.Command {
	var format, dir, socket string
	c := &cobra.Command{
		Use: "incidents [NUMBER]", Short: "List the failures, or show one with its timeline", Args: cobra.MaximumNArgs(1),
		Example: "  procguard incidents\n  procguard incidents 3\n  procguard incidents 3 --format json | jq .phases",
		Run: func(_ *cobra.Command, args []string) {
			p, ok := where(*file, dir, socket)
			if !ok {
				*code = codeUsage
				return
			}
			if err := p.showIncidents(args, format == "json"); err != nil {
				fail("no incidents", err, "")
				*code = 3
			}
		},
	}
	formatFlag(c, &format)
	placeFlags(c, &dir, &socket)
	return c
}

func (p place) showIncidents(args []string, asJSON bool) error {
	if len(args) == 0 {
		list, err := p.incidents()
		if err != nil {
			return err
		}
		if asJSON {
			printJSON(list)
			return nil
		}
		return supervise.ShowIncidents(os.Stdout, list)
	}
	n, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil {
		return fmt.Errorf("%q is not the number of an incident", args[0])
	}
	inc, err := p.incident(n)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no incident %d (or it is older than state.keep_incidents)", n)
	}
	if err != nil {
		return err
	}
	if asJSON {
		printJSON(inc)
		return nil
	}
	return supervise.ShowIncident(os.Stdout, inc)
}

func (p place) incidents() (list []*incident.Incident, err error) {
	answered, err := p.ask(func(c *control.Client) error { return c.Incidents(context.Background(), &list) })
	if answered {
		return list, err
	}
	dir, _, err := p.stored()
	if err != nil {
		return nil, err
	}
	return incident.List(dir)
}

func (p place) incident(n uint64) (inc *incident.Incident, err error) {
	inc = &incident.Incident{}
	answered, err := p.ask(func(c *control.Client) error { return c.Incident(context.Background(), n, inc) })
	if answered {
		return inc, err
	}
	dir, _, err := p.stored()
	if err != nil {
		return nil, err
	}
	return incident.Load(dir, n)
}

func printJSON(v any) {
	e := json.NewEncoder(os.Stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // nobody reads it
}
