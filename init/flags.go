package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/procguard/procguard/init/plain"
)

// addPlainFlags makes root know the flags of a plain call, which is recognised
// before root is asked: here they are for help, for completion, and for being named
// where they do not belong.
func addPlainFlags(root *cobra.Command) {
	flags := plainFlags()
	root.Flags().AddFlagSet(flags)
	for name, words := range plainWords() {
		_ = root.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	}
	_ = root.MarkFlagDirname("chdir")
	root.PreRunE = func(c *cobra.Command, _ []string) error { return refusePlain(flags) }
	help := root.HelpFunc()
	root.SetHelpFunc(func(c *cobra.Command, args []string) {
		if c != root {
			help(c, args)
			return
		}
		text := flags.FlagUsages()
		flags.VisitAll(func(f *pflag.Flag) { f.Hidden = true })
		help(c, args)
		fmt.Fprintf(c.OutOrStdout(), "\nFlags of a plain init, before CMD:\n%s", text)
	})
}

func plainFlags() *pflag.FlagSet {
	flags := pflag.NewFlagSet("plain", pflag.ContinueOnError)
	flags.SortFlags = false
	for _, f := range plain.Flags() {
		if f.Argument == "" {
			flags.BoolP(f.Name, f.Short, false, f.Help)
			continue
		}
		flags.VarP(argument(f.Argument), f.Name, f.Short, f.Help)
	}
	return flags
}

// argument is a value of which only the name counts.
type argument string

func (a argument) String() string   { return "" }
func (a argument) Set(string) error { return nil }
func (a argument) Type() string     { return string(a) }

// plainWords completes what is one of a few words.
func plainWords() map[string][]string {
	signals := []string{"TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "KILL"}
	none := []string{}
	return map[string][]string{"stop-signal": signals, "parent-death": signals, "rewrite": none, "grace": none, "remap-exit": none, "user": none}
}

// refusePlain: with no command there is nothing that such a flag could be about.
func refusePlain(flags *pflag.FlagSet) error {
	var names []string
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			names = append(names, "--"+f.Name)
		}
	})
	if len(names) > 0 {
		return fmt.Errorf("%s: only for a command: procguard [flags] [--] CMD ARG…", strings.Join(names, ", "))
	}
	return nil
}
