package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
)

func main() {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "@") {
		os.Exit(play(os.Args[1], os.Args[2:]))
	}
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
	}
	os.Exit(code)
}

// options are what the command line and the environment say.
type options struct {
	init   string // the one to judge; empty for all that are there
	format string
	only   string // rows whose name contains this
	update string // a file whose table is written anew
	jobs   int
}

func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("conformance", flag.ContinueOnError)
	fs.StringVar(&o.init, "init", os.Getenv("INIT"), "judge only the init at this `PATH`; $INIT does the same")
	fs.StringVar(&o.format, "format", "text", "text, markdown or json")
	fs.StringVar(&o.only, "only", "", "only the rows whose name contains this `TEXT`")
	fs.StringVar(&o.update, "update", "", "write the tables between the marks of this `FILE`, too")
	fs.IntVar(&o.jobs, "jobs", 3, "rows at a time")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	switch {
	case fs.NArg() > 0:
		return o, fmt.Errorf("takes flags alone, got %q", fs.Arg(0))
	case formats[o.format] == nil:
		return o, fmt.Errorf("no format %q: text, markdown or json", o.format)
	case o.jobs < 1:
		return o, errors.New("-jobs is at least 1")
	}
	return o, nil
}

func run(args []string) (int, error) {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return 0, nil
	}
	if err != nil {
		return 2, err
	}
	if os.Geteuid() != 0 {
		return 2, errors.New("needs root: it makes PID and mount namespaces (sudo make conformance)")
	}
	// A thread that ends would take with it what it forked with a parent-death signal.
	runtime.LockOSThread()
	b, err := newBench()
	if err != nil {
		return 2, err
	}
	defer b.close()
	return b.judge(o)
}

// judge runs the rows, prints, and finds the exit code.
func (b *bench) judge(o options) (int, error) {
	subjects, err := b.subjects(o.init)
	if err != nil {
		return 2, err
	}
	rows := chosen(o.only)
	if len(rows) == 0 {
		return 2, fmt.Errorf("no row's name contains %q", o.only)
	}
	r := b.measure(subjects, rows, o.jobs)
	if err := formats[o.format](os.Stdout, r); err != nil {
		return 2, err
	}
	if o.update != "" {
		if err := update(o.update, r); err != nil {
			return 2, err
		}
	}
	if missed := r.missed(); o.init != "" && len(missed) > 0 {
		return 1, fmt.Errorf("%s fails what is required: %s", o.init, strings.Join(missed, "; "))
	}
	return 0, nil
}
