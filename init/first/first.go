// Package first takes over, before the rest of the program is initialised, where the
// command line calls for a plain init.
//
// Go initialises packages in the order of their import paths, as far as their own imports
// allow. This one imports little, so its turn comes before the configuration, the
// metrics, ZeroMQ and all else that a plain init has no use for: it starts its command
// after 1 ms instead of 3, and in a third of the memory. The main package imports it
// for that effect alone, and never sees such a call.
package first

import (
	"os"

	"github.com/procguard/procguard/init/plain"
	"github.com/procguard/procguard/reaper/solo"
)

func init() {
	solo.Listener(os.Args)
	if code, ok := plain.Main(os.Args, os.Environ()); ok {
		os.Exit(code)
	}
}
