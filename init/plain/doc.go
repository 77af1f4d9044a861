// Package plain turns a command line into one run of a plain init, for ProcGuard
// under its own name and under those of tini, dumb-init and catatonit.
//
// It owns the flags of `procguard [flags] [--] CMD ARG…` ([Flags]), the flags and
// environment variables of the other inits, and how each of them speaks and exits.
//
// It promises:
//
//   - A command line with a verb in the first place, or with any flag that is not
//     in [Flags], is not a plain call: the rest of the program gets it.
//   - The words after CMD are never looked at, with one exception under the names
//     tini and catatonit, see persona.permuted.
//   - A name's own usage errors, exit codes and streams, except where doc/init.md
//     says so.
//   - A message never blocks: where nobody reads it is given up, and all after it.
//     Standard error keeps its flags, because the command shares it.
//   - It is cheap, for it runs before the packages of the supervisor are set up: it
//     imports none of them, no regexp, no JSON, no network, and starts no goroutine.
//
// The caller sets [Version] and calls [Main] before anything else, on the main
// thread, and exits with the code.
package plain
