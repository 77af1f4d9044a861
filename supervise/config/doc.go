// Package config turns a ProcGuard file into a [Config] that a supervisor can
// run as it stands: every default filled in, every replica a worker of its own,
// every command split, every dependency and task owner a worker id.
//
// It owns the list of keys. One table (keys.go and the files beside it) names
// each key with its type, default, effect and example; parsing, defaults, the
// JSON Schema ([Schema]) and the tables of doc/config.md are all made from it,
// so they cannot disagree.
//
// It promises:
//
//   - All mistakes at once, sorted by position, each an [*Error] with file, line
//     and column inside one go-multierror. With any mistake there is no Config.
//   - Nothing parsed and ignored: an unknown key is an error, and so is one that
//     a later version will know.
//   - Bounded work. Files over [MaxFileSize], deep nesting, alias bombs, runaway
//     replicas and expansions are refused with an error, never with a panic.
//   - No side effects: it reads the file, the env files it names and the given
//     environment, and touches nothing else. Users, directories and ports are
//     looked up when a worker starts, not here.
//   - The result shares no memory with the input, and no two workers share a map
//     or a slice.
//
// The caller treats a Config as read-only once it is shared between goroutines,
// resolves relative paths (other than env files, which are read here) against
// its own working directory, and copies Worker.Env before adding to it.
package config
