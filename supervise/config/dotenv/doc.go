// Package dotenv reads env files: lines of NAME=value, as `env_file:` and
// `--env-file` name them.
//
// It promises bounded work (files over [MaxSize], FIFOs and devices are refused),
// every mistake of a file at once, each with its line, and no side effects. It
// imports little, because a plain init reads its env file with it before the rest
// of the program is set up.
//
// The caller says which names it keeps for itself, and decides what a later
// definition of a name does to an earlier one.
package dotenv
