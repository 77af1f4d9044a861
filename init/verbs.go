package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/procguard/procguard/init/plain"
)

// execute parses the command line and runs the verb.
func execute(args []string, signals chan os.Signal) int {
	code := 0
	root := rootCommand(&code, signals)
	root.SetArgs(args)
	if err := root.Execute(); err != nil {
		fail("cannot do that", err, "procguard --help shows what can be done")
		return codeUsage
	}
	return code
}

func rootCommand(code *int, signals chan os.Signal) *cobra.Command {
	var file string
	var fresh bool
	root := &cobra.Command{
		Use: "procguard", Version: fullVersion(),
		Short: "Keeps training jobs alive in containers",
		Long: `ProcGuard starts the workers of a configuration file, sees their death at once, and brings the
whole group back: it records the failure, stops all, hands the failed worker's tasks to
healthy ones, and restarts.

  procguard [--config FILE]     run the workers
  procguard [--] CMD ARG…       run one command as a plain init; takes flags before CMD
  procguard VERB                look at what runs or ran`,
		Example: `  procguard --config train.yaml
  procguard -- python3 train.py --lr 0.1
  procguard --grace 25s --pre-stop "nginx -s quit" -- nginx -g "daemon off;"
  procguard check train.yaml
  procguard status --format json | jq .verdict
  procguard incidents 3`,
		Args:          cobra.NoArgs,
		SilenceErrors: true, SilenceUsage: true,
		Run: func(*cobra.Command, []string) { *code = run(file, fresh, signals) },
	}
	root.PersistentFlags().StringVarP(&file, "config", "c", "", "configuration `FILE` (default: $PROCGUARD_CONFIG, ./procguard.yaml, /etc/procguard/procguard.yaml)")
	root.Flags().BoolVar(&fresh, "fresh", false, "start the job over: forget budgets, tasks and exclusions of earlier runs")
	addPlainFlags(root)
	root.AddCommand(checkCommand(code, &file), statusCommand(code, &file), incidentsCommand(code, &file), schemaCommand(), keygenCommand(code), versionCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print version and commit", Args: cobra.NoArgs,
		Run: func(*cobra.Command, []string) { fmt.Println("procguard " + fullVersion()) },
	}
}

func fullVersion() string {
	if commit == "" {
		return plain.Version
	}
	return plain.Version + " (" + commit + ")"
}

// formatFlag adds --format to a verb that prints a list.
func formatFlag(c *cobra.Command, format *string) {
	c.Flags().StringVarP(format, "format", "o", "text", "`FORMAT` of the output: text or json")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	c.PreRunE = func(*cobra.Command, []string) error {
		if *format != "text" && *format != "json" {
			return fmt.Errorf("--format %s: known are text and json", *format)
		}
		return nil
	}
}
