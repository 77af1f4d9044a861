package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// row is one behaviour: what is done to an init, and what came of it.
type row struct {
	name     string
	means    string // one line, for doc/init.md
	required bool   // any correct PID 1 does this
	loose    bool   // the cell depends on the machine and the moment: not to be compared between runs
	limit    time.Duration
	run      func(*trial) verdict
}

// area is a group of rows, printed as one table.
type area struct {
	title string
	rows  []row
}

// verdict is a cell. A verdict that is neither good nor empty is a failure.
type verdict struct {
	Cell string `json:"cell"`
	Good bool   `json:"good"`
}

const noMeans = "-"

func yes() verdict { return verdict{"yes", true} }

func no(format string, args ...any) verdict {
	if format == "" {
		return verdict{"no", false}
	}
	return verdict{"no: " + fmt.Sprintf(format, args...), false}
}

// value is a cell that says more than yes or no.
func value(good bool, format string, args ...any) verdict {
	return verdict{fmt.Sprintf(format, args...), good}
}

// when is yes or no.
func when(good bool, format string, args ...any) verdict {
	if good {
		return yes()
	}
	return no(format, args...)
}

// absent is for a behaviour that this init has no means to ask for.
func absent() verdict { return verdict{noMeans, true} }

func areas() []area {
	return []area{
		{"Signals", signalRows()},
		{"Terminals and job control", jobRows()},
		{"What the command starts with", startRows()},
		{"Exit codes", exitRows()},
		{"Reaping", reapRows()},
		{"Not as PID 1", guestRows()},
		{"Hard places", hardRows()},
		{"On request", requestRows()},
	}
}

// chosen leaves out the rows, and the areas without any, that were not asked for.
func chosen(only string) []area {
	var all []area
	for _, a := range areas() {
		a.rows = slices.DeleteFunc(a.rows, func(r row) bool { return !strings.Contains(r.name, only) })
		if len(a.rows) > 0 {
			all = append(all, a)
		}
	}
	return all
}
