// Command conformance finds out what an init does, by making it PID 1 and looking.
//
// It owns a list of behaviours (rows), each a small function that starts the init
// under test with real processes and says what it saw, and prints them as a table
// with a column for each init. It knows nothing of ProcGuard's inside and imports
// none of it: every init is a path, a command line and what /proc shows.
//
// Each row gets a PID and mount namespace of its own, a directory of its own and a
// time limit; whatever it leaves is killed with the namespace. The programs that
// run under the init are this binary in another role ("@catch", "@orphans", …), so
// it has to be static: build it with CGO_ENABLED=0. It needs root and Linux.
//
// A row marked as required is what any correct PID 1 does. The exit code is 1 if an
// init that was named fails one of those, 2 for a wrong command line, and 0
// otherwise, whatever the table says.
package main
