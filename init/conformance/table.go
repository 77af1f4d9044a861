package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
)

var formats = map[string]func(io.Writer, *report) error{"text": asText, "markdown": asMarkdown, "json": asJSON}

// title marks what is required.
func (w row) title() string {
	if w.required {
		return w.name + " *"
	}
	return w.name
}

func (r *report) heading() []string {
	h := []string{""}
	for _, s := range r.Subjects {
		h = append(h, s.Name)
	}
	return h
}

func (r *report) line(w row) []string {
	l := []string{w.title()}
	for _, s := range r.Subjects {
		l = append(l, r.Cells[w.name][s.Name].Cell)
	}
	return l
}

func asText(out io.Writer, r *report) error {
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, a := range r.areas {
		h := r.heading()
		h[0] = strings.ToUpper(a.title)
		fmt.Fprintln(tw, strings.Join(h, "\t"))
		for _, w := range a.rows {
			fmt.Fprintln(tw, strings.Join(r.line(w), "\t"))
		}
		fmt.Fprintln(tw)
	}
	fmt.Fprintln(tw, "* any correct PID 1 does this; - there is no means to ask for it")
	for _, s := range r.Subjects {
		fmt.Fprintf(tw, "%s: %s, %s\n", s.Name, s.Path, s.Version)
	}
	fmt.Fprintln(tw, r.Kernel)
	return tw.Flush()
}

func asJSON(out io.Writer, r *report) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

func asMarkdown(out io.Writer, r *report) error {
	fmt.Fprintf(out, "Measured on %s, with", r.Kernel)
	var with []string
	for _, s := range r.Subjects {
		if !strings.Contains(s.Name, " as ") {
			with = append(with, " "+s.Version)
		}
	}
	fmt.Fprintf(out, "%s.\n", strings.Join(with, ","))
	for _, a := range r.areas {
		fmt.Fprintf(out, "\n### %s\n\n", a.title)
		markdownLine(out, r.heading())
		fmt.Fprintf(out, "|%s\n", strings.Repeat("---|", len(r.Subjects)+1))
		for _, w := range a.rows {
			markdownLine(out, r.line(w))
		}
		fmt.Fprintln(out)
		for _, w := range a.rows {
			fmt.Fprintf(out, "- **%s**: %s\n", w.name, w.means)
		}
	}
	return nil
}

func markdownLine(out io.Writer, cells []string) {
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(c, "|", `\|`)
	}
	fmt.Fprintf(out, "| %s |\n", strings.Join(cells, " | "))
}

// The tables in a document are between these lines.
const (
	markBegin = "<!-- conformance: begin; `make conformance UPDATE=doc/init.md` writes this -->\n"
	markEnd   = "<!-- conformance: end -->\n"
)

// update replaces what is between the marks of a file.
func update(path string, r *report) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(data), markBegin)
	_, after, ended := strings.Cut(rest, markEnd)
	if !found || !ended {
		return fmt.Errorf("%s has no marks to write between", path)
	}
	var b strings.Builder
	if err := asMarkdown(&b, r); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(before+markBegin+"\n"+b.String()+"\n"+markEnd+after), 0o644)
}
